"""What Python a model asks for, in the `parameters` of its config. Looks at no file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from tis.errors import invalid

#: Triton's own parameter: an archive as `conda-pack` makes it, or a directory.
ENVIRONMENT: Final = "EXECUTION_ENV_PATH"
#: Ours: a file of requirements for an environment that the server builds; an interpreter, for that or as it is.
REQUIREMENTS: Final = "tis.requirements"
PYTHON: Final = "tis.python"
#: In these, stands for the directory of the model.
MODEL_DIRECTORY: Final = "$$TRITON_MODEL_DIRECTORY"


@dataclass(frozen=True, slots=True)
class Wish:
    """An environment as a model wants it. At least one of the paths is there; a model with none wants the server's own."""

    model: str
    #: Of the environment: an archive or a directory.
    environment: str = ""
    #: Of a file of requirements.
    requirements: str = ""
    #: Of an interpreter.
    python: str = ""

    def as_json(self) -> str:
        """For another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Wish":
        """What `as_json` made."""
        return cls(**json.loads(text))


def wish_of(model: str, model_path: str, parameters: Mapping[str, str]) -> Wish | None:
    """What a Python model asks for; None where it runs in the server's own environment, as it is.

    A relative path of ours begins at the model's directory; one of Triton's parameter, as there, where the server runs.

    Raises:
        TisError: INVALID_ARG for two answers to the same question.
    """
    environment, requirements, python = (
        parameters.get(key, "").replace(MODEL_DIRECTORY, model_path) for key in (ENVIRONMENT, REQUIREMENTS, PYTHON)
    )
    if not (environment or requirements or python):
        return None
    if environment and (requirements or python):
        other = REQUIREMENTS if requirements else PYTHON
        raise invalid(f"model '{model}' has both '{ENVIRONMENT}' and '{other}' in its parameters; expected one of them")
    return Wish(model, environment, _below(model_path, requirements), _below(model_path, python))


def _below(folder: str, path: str) -> str:
    return f"{folder}/{path}" if path and not path.startswith("/") else path
