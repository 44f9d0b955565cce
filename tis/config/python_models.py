"""What processes that run Python models are told of configs, and what they say: JSON text.

Such a process may run in an interpreter and among packages that are the model's own, where no protobuf fits ours.
"""

import json

from tis.config.json_form import from_json, to_json
from tis.config.proto import Message, ModelConfig
from tis.contracts.model_spec import ModelSpec
from tis.errors import TisError, invalid


def config_text(spec: ModelSpec) -> str:
    """The config as a Python model gets it; empty for models that are none."""
    if not spec.runs_python:
        return ""
    return json.dumps(to_json(ModelConfig.FromString(spec.config)), separators=(",", ":"), ensure_ascii=False)


def proposed_config(name: str, text: str) -> Message | None:
    """What the `auto_complete_config` of a model gave, from its JSON text; None for an empty one.

    Raises:
        TisError: INVALID_ARG where it is no config. Triton goes on with as much of it as it could read, be it nothing.
    """
    if not text:
        return None
    try:
        return from_json(text, ignore_unknown=True)
    except TisError as error:
        raise invalid(f"auto_complete_config function in model '{name}' gave no valid config: {error}") from error
