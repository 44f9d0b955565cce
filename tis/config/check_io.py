"""Rejections of inputs, outputs and batch tensors. They are checked once they are complete, so not before the model was read.

Texts begin with Triton's words (ValidateModelIOConfig and below in its core): the fault, then ` for <model>`.
"""

from collections.abc import Sequence
from typing import Final

from tis.config.backends import TENSORRT_PLATFORM
from tis.config.proto import Message, enum_name, model_config_pb2
from tis.errors import TisError, invalid

_WILDCARD: Final = -1
_IMAGE_FORMATS: Final = ("FORMAT_NHWC", "FORMAT_NCHW")
_IMAGE_RANK: Final = 3


def check_io(config: Message) -> None:
    """Rejects wrong inputs, outputs, batch inputs and batch outputs of a completed config.

    Raises:
        TisError: INVALID_ARG, naming the tensor, what was expected and what was given.
    """
    for tensor in config.input:
        _check_tensor(config, tensor, "model input ")
        if enum_name(tensor, "format") in _IMAGE_FORMATS and len(tensor.dims) != _IMAGE_RANK:
            raise _fault(config, "model input NHWC/NCHW require 3 dims", f"'{tensor.name}' has {list(tensor.dims)}")
    for tensor in config.output:
        _check_tensor(config, tensor, "model output ")
    inputs = {tensor.name for tensor in config.input}
    for batch_input in config.batch_input:
        _check_sources(config, batch_input, "batch input", inputs)
        data_type = enum_name(batch_input, "data_type")
        if data_type not in ("TYPE_INT32", "TYPE_FP32"):
            raise _fault(config, "batch input data type must be TYPE_INT32 or TYPE_FP32", f"got {data_type}")
    for batch_output in config.batch_output:
        _check_sources(config, batch_output, "batch output", inputs)
        _check_targets(config, batch_output)


def _fault(config: Message, fault: str, given: str = "") -> TisError:
    return invalid(f"{fault} for {config.name}" + (f"; {given}" if given else ""))


def _check_tensor(config: Message, tensor: Message, prefix: str) -> None:
    if not tensor.name:
        raise _fault(config, f"{prefix}must specify 'name'")
    where = f"{prefix}'{tensor.name}' "
    if tensor.data_type == model_config_pb2.TYPE_INVALID:
        raise _fault(config, f"{where}must specify 'data_type'")
    if not tensor.dims:
        raise _fault(config, f"{where}must specify 'dims'")
    if tensor.HasField("reshape") and not tensor.reshape.shape and config.max_batch_size == 0:
        raise _fault(
            config, f"{where}cannot have empty reshape for non-batching model as scalar tensors are not supported"
        )
    _check_dims(config, tensor.dims, f"{where}dimension")
    if tensor.HasField("reshape"):
        _check_dims(config, tensor.reshape.shape, f"{where}reshape dimensions")
        _check_reshape(config, tensor, where)
    if config.platform != TENSORRT_PLATFORM:
        given = f"'{tensor.name}' is one, platform is '{config.platform}'"
        if tensor.is_shape_tensor:
            raise _fault(config, "shape tensors are only supported for TensorRT platform", given)
        if tensor.is_non_linear_format_io:
            raise _fault(config, "Non-linear IO format is only supported for the TensorRT platform", given)


def _check_dims(config: Message, dims: Sequence[int], where: str) -> None:
    for dim in dims:
        if dim < 1 and dim != _WILDCARD:
            fault = f"{where} must be integer >= 1, or -1 to indicate a variable-size dimension"
            raise _fault(config, fault, f"got {list(dims)}")


def _check_reshape(config: Message, tensor: Message, where: str) -> None:
    """Element counts must be equal between every two variable-size dimensions: [2,4,-1,6] may become [8,-1,1,6]."""
    ours, theirs = _counts(tensor.dims), _counts(tensor.reshape.shape)
    given = f"got dims {list(tensor.dims)} and reshape {list(tensor.reshape.shape)}"
    if len(ours) != len(theirs) and min(len(ours), len(theirs)) > 1:
        fault = f"{where}has different number of variable-size dimensions for dims and reshape"
        raise _fault(config, fault, given)
    if ours != theirs:
        raise _fault(config, f"{where}has different size for dims and reshape", given)


def _counts(dims: Sequence[int]) -> list[int]:
    """Element counts of the runs between variable-size dimensions; an empty shape counts one element."""
    counts = [1]
    for dim in dims:
        if dim == _WILDCARD:
            counts.append(1)
        else:
            counts[-1] *= dim
    return counts


def _check_sources(config: Message, batch_tensor: Message, what: str, inputs: set[str]) -> None:
    kind = enum_name(batch_tensor, "kind")
    sources = list(batch_tensor.source_input)
    if kind.isdigit():
        raise _fault(config, f"unknown {what} kind '{kind}'")
    if len(sources) != 1:
        raise _fault(config, f"{what} kind '{kind}' expects 1 source input, got {len(sources)}")
    if sources[0] not in inputs:
        raise _fault(config, f"unknown source input name '{sources[0]}'", f"inputs are {sorted(inputs)}")


def _check_targets(config: Message, batch_output: Message) -> None:
    outputs = {tensor.name for tensor in config.output}
    seen: set[str] = set()
    for target in batch_output.target_name:
        if target not in outputs:
            raise _fault(config, f"unknown target output name '{target}'", f"outputs are {sorted(outputs)}")
        if target in seen:
            raise _fault(config, f"target output name '{target}' can only be specified once")
        seen.add(target)
