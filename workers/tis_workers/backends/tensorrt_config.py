"""Completes and checks the config of a TensorRT engine: as for other formats, but that the engine bounds the batch."""

import json

from tis.config.agreement import check_agreement
from tis.config.completion import completed
from tis.config.json_form import to_json
from tis.config.proto import ModelConfig
from tis.contracts.model_spec import ModelSignature
from tis.errors import internal
from tis_workers.backends.base import LoadContext


def completed_config(context: LoadContext, signature: ModelSignature, largest_batch: int) -> str:
    """The whole config, as JSON; empty where it must not be completed.

    Args:
        context: with the config as far as it goes.
        signature: what the engine declares.
        largest_batch: what its profiles take.

    Raises:
        TisError: INTERNAL, in Triton's words, for larger batches than the engine takes; else as `completed` and
            `check_agreement` say.
    """
    config = ModelConfig.FromString(context.spec.config)
    if config.max_batch_size > largest_batch:
        raise internal(
            f"autofill failed for model '{config.name}': configuration specified max-batch {config.max_batch_size} but "
            f"TensorRT engine only supports max-batch {largest_batch}"
        )
    if context.complete:
        config = completed(config, signature, default_max_batch_size=largest_batch)
    check_agreement(config, signature)
    return json.dumps(to_json(config)) if context.complete else ""
