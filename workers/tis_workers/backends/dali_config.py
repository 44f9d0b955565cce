"""Completes and checks the config of a DALI pipeline by what the pipeline declares, as Triton's DALI backend does.

Inputs go by their names, outputs by their places: a config may give outputs other names. What a pipeline does not declare the
config must say. Inputs become ragged: DALI takes samples of different shapes in one batch.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tis.config.json_form import to_json
from tis.config.proto import ModelConfig, enum_name, model_config_pb2
from tis.contracts.datatypes import to_config
from tis.errors import TisError, invalid, unsupported
from tis_workers.backends.base import LoadContext
from tis_workers.backends.dali_definition import PipelineDefinition, PipelineTensor

_UNBATCHED: Final = re.compile(r"^\s*max_batch_size\s*:\s*0\s*(#.*)?$", re.MULTILINE)
_UNSAID: Final = "TYPE_INVALID"


def is_batched(context: LoadContext) -> bool:
    """Whether the server may put requests together: not where the config says so, which protobuf cannot tell from silence."""
    if context.spec.max_batch_size or not context.complete:
        return context.spec.max_batch_size > 0
    file = Path(context.spec.model_path) / "config.pbtxt"
    return not (file.is_file() and _UNBATCHED.search(file.read_text(errors="replace")))


def completed_config(context: LoadContext, pipeline: PipelineDefinition, split: Sequence[str]) -> str:
    """The whole config, as JSON; empty where it must not be completed.

    Args:
        context: with the config as far as it goes.
        pipeline: what the pipeline declares.
        split: outputs whose samples are taken apart along their first dimension.

    Raises:
        TisError: INVALID_ARG, in Triton's words, where config and pipeline contradict each other, or something is missing in
            a config that must not be completed; UNSUPPORTED for batch inputs and outputs.
    """
    config = ModelConfig.FromString(context.spec.config)
    batched = is_batched(context)
    if config.batch_input or config.batch_output:
        raise unsupported(
            f"unable to load model '{config.name}': batch inputs and batch outputs are not supported for DALI, whose batches "
            "are lists of samples"
        )
    names = {tensor.name for tensor in pipeline.inputs}
    for tensor in config.input:
        if tensor.name not in names:
            raise invalid(
                f"Configuration file contains config for {tensor.name} but such input is not present in the pipeline."
            )
    if len(config.output) > len(pipeline.outputs) or (
        not context.complete and len(config.output) < len(pipeline.outputs)
    ):
        raise invalid(
            "The number of outputs specified in the DALI pipeline and the configuration file do not match.\n"
            f"Model config outputs: {len(config.output)}\nPipeline outputs: {len(pipeline.outputs)}"
        )
    by_name = {tensor.name: tensor for tensor in config.input}
    for declared in pipeline.inputs:
        given = by_name.get(declared.name)
        if given is None and not context.complete:
            raise invalid(f'Missing config for "{declared.name}" input.')
        added = config.input.add(name=declared.name) if given is None else given
        _complete(added, declared, batched=batched, outer=0)
        if context.complete and batched:
            added.allow_ragged_batch = True
    for place, declared in enumerate(pipeline.outputs):
        added = config.output[place] if place < len(config.output) else config.output.add(name=declared.name)
        added.name = added.name or declared.name
        _complete(added, declared, batched=batched, outer=1 if added.name in split else 0)
    if batched:
        config.max_batch_size = config.max_batch_size or pipeline.batch_size
        if config.WhichOneof("scheduling_choice") is None:
            config.dynamic_batching.SetInParent()
    return json.dumps(to_json(config)) if context.complete else ""


def _complete(tensor: Any, declared: PipelineTensor, *, batched: bool, outer: int) -> None:
    """Write what is declared where the config is silent, and compare it where it is not."""
    configured = enum_name(tensor, "data_type")
    if declared.datatype and configured == _UNSAID:
        tensor.data_type = model_config_pb2.DataType.Value(to_config(declared.datatype))
    elif declared.datatype and configured != to_config(declared.datatype):
        raise invalid(
            f'Mismatch of data_type config for "{tensor.name}".\nData type defined in config: {configured}\n'
            f"Data type defined in pipeline: {to_config(declared.datatype)}"
        )
    elif not declared.datatype and configured == _UNSAID:
        raise invalid(f'Missing data_type config for "{tensor.name}"')
    if declared.rank is None:
        if not tensor.dims:
            raise invalid(f'Missing dims config for "{tensor.name}"')
        return
    rank = declared.rank - outer + (0 if batched else 1)
    dims = tuple(tensor.reshape.shape) if tensor.HasField("reshape") else tuple(tensor.dims)
    if not tensor.dims:
        # A sample without dimensions is one number, for which a config has no dims of its own.
        tensor.dims.extend([-1] * rank or [1])
        if not rank:
            tensor.reshape.SetInParent()
    elif len(dims) != rank:
        raise _misfit(tensor.name, len(dims), rank)


def _misfit(name: str, configured: int, declared: int) -> TisError:
    return invalid(
        f'Mismatch in number of dimensions for "{name}"\nNumber of dimensions defined in config: {configured}\n'
        f"Number of dimensions defined in pipeline: {declared}"
    )
