"""Rejections of inputs, outputs and batch tensors. They are checked once they are complete, so not before the model was read.

Texts begin with Triton's words (ValidateModelIOConfig and below in its core): the fault, then ` for <model>`.
"""

from collections.abc import Sequence
from typing import Final

from tis.config.backends import TENSORRT_PLATFORM
from tis.config.fault import ConfigFault, Faults, Report, raise_it, tell
from tis.config.proto import Message, enum_name, model_config_pb2

_WILDCARD: Final = -1
_IMAGE_FORMATS: Final = ("FORMAT_NHWC", "FORMAT_NCHW")
_IMAGE_RANK: Final = 3


def check_io(config: Message, report: Report = raise_it) -> None:
    """Rejects wrong inputs, outputs, batch inputs and batch outputs of a completed config.

    Raises:
        TisError: INVALID_ARG, naming the tensor, what was expected and what was given; the first, unless `report` keeps them.
    """
    tell(_faults(config), report)


def _faults(config: Message) -> Faults:
    for index, tensor in enumerate(config.input):
        at = f"input[{index}]"
        yield from _tensor_faults(config, at, tensor, "model input ")
        if enum_name(tensor, "format") in _IMAGE_FORMATS and len(tensor.dims) != _IMAGE_RANK:
            given = f"'{tensor.name}' has {list(tensor.dims)}"
            yield _fault(config, f"{at}.dims", "model input NHWC/NCHW require 3 dims", given, expected="3 dims")
    for index, tensor in enumerate(config.output):
        yield from _tensor_faults(config, f"output[{index}]", tensor, "model output ")
    inputs = {tensor.name for tensor in config.input}
    for index, batch_input in enumerate(config.batch_input):
        at = f"batch_input[{index}]"
        yield from _source_faults(config, at, batch_input, "batch input", inputs)
        data_type = enum_name(batch_input, "data_type")
        if data_type not in ("TYPE_INT32", "TYPE_FP32"):
            fault = "batch input data type must be TYPE_INT32 or TYPE_FP32"
            yield _fault(config, f"{at}.data_type", fault, f"got {data_type}", expected="TYPE_INT32 or TYPE_FP32")
    for index, batch_output in enumerate(config.batch_output):
        at = f"batch_output[{index}]"
        yield from _source_faults(config, at, batch_output, "batch output", inputs)
        yield from _target_faults(config, at, batch_output)


def _fault(config: Message, field: str, fault: str, given: str = "", *, expected: str = "") -> ConfigFault:
    text = f"{fault} for {config.name}" + (f"; {given}" if given else "")
    return ConfigFault(field, text, expected=expected)


def _tensor_faults(config: Message, at: str, tensor: Message, prefix: str) -> Faults:
    if not tensor.name:
        yield _fault(config, f"{at}.name", f"{prefix}must specify 'name'", expected="a name")
    where = f"{prefix}'{tensor.name}' "
    if tensor.data_type == model_config_pb2.TYPE_INVALID:
        yield _fault(config, f"{at}.data_type", f"{where}must specify 'data_type'", expected="a data type")
    if not tensor.dims:
        yield _fault(config, f"{at}.dims", f"{where}must specify 'dims'", expected="at least one dimension")
    if tensor.HasField("reshape") and not tensor.reshape.shape and config.max_batch_size == 0:
        fault = f"{where}cannot have empty reshape for non-batching model as scalar tensors are not supported"
        yield _fault(config, f"{at}.reshape", fault, expected="a shape")
    yield from _dims_faults(config, f"{at}.dims", tensor.dims, f"{where}dimension")
    if tensor.HasField("reshape"):
        yield from _dims_faults(config, f"{at}.reshape.shape", tensor.reshape.shape, f"{where}reshape dimensions")
        yield from _reshape_faults(config, at, tensor, where)
    if config.platform != TENSORRT_PLATFORM:
        given = f"'{tensor.name}' is one, platform is '{config.platform}'"
        if tensor.is_shape_tensor:
            fault = "shape tensors are only supported for TensorRT platform"
            yield _fault(config, f"{at}.is_shape_tensor", fault, given, expected="false")
        if tensor.is_non_linear_format_io:
            fault = "Non-linear IO format is only supported for the TensorRT platform"
            yield _fault(config, f"{at}.is_non_linear_format_io", fault, given, expected="false")


def _dims_faults(config: Message, at: str, dims: Sequence[int], where: str) -> Faults:
    for index, dim in enumerate(dims):
        if dim < 1 and dim != _WILDCARD:
            fault = f"{where} must be integer >= 1, or -1 to indicate a variable-size dimension"
            yield _fault(config, f"{at}[{index}]", fault, f"got {list(dims)}", expected="1 or more, or -1")


def _reshape_faults(config: Message, at: str, tensor: Message, where: str) -> Faults:
    """Element counts must be equal between every two variable-size dimensions: [2,4,-1,6] may become [8,-1,1,6]."""
    ours, theirs = _counts(tensor.dims), _counts(tensor.reshape.shape)
    given = f"got dims {list(tensor.dims)} and reshape {list(tensor.reshape.shape)}"
    expected = f"a shape of as many elements as {list(tensor.dims)}"
    if len(ours) != len(theirs) and min(len(ours), len(theirs)) > 1:
        fault = f"{where}has different number of variable-size dimensions for dims and reshape"
        yield _fault(config, f"{at}.reshape", fault, given, expected=expected)
    elif ours != theirs:
        yield _fault(
            config, f"{at}.reshape", f"{where}has different size for dims and reshape", given, expected=expected
        )


def _counts(dims: Sequence[int]) -> list[int]:
    """Element counts of the runs between variable-size dimensions; an empty shape counts one element."""
    counts = [1]
    for dim in dims:
        if dim == _WILDCARD:
            counts.append(1)
        else:
            counts[-1] *= dim
    return counts


def _source_faults(config: Message, at: str, batch_tensor: Message, what: str, inputs: set[str]) -> Faults:
    kind = enum_name(batch_tensor, "kind")
    sources = list(batch_tensor.source_input)
    if kind.isdigit():
        yield _fault(config, f"{at}.kind", f"unknown {what} kind '{kind}'")
    if len(sources) != 1:
        fault = f"{what} kind '{kind}' expects 1 source input, got {len(sources)}"
        yield _fault(config, f"{at}.source_input", fault, expected="1 source input")
    elif sources[0] not in inputs:
        fault = f"unknown source input name '{sources[0]}'"
        given = f"inputs are {sorted(inputs)}"
        yield _fault(config, f"{at}.source_input[0]", fault, given, expected=f"one of {', '.join(sorted(inputs))}")


def _target_faults(config: Message, at: str, batch_output: Message) -> Faults:
    outputs = {tensor.name for tensor in config.output}
    seen: set[str] = set()
    for index, target in enumerate(batch_output.target_name):
        field = f"{at}.target_name[{index}]"
        if target not in outputs:
            given = f"outputs are {sorted(outputs)}"
            expected = f"one of {', '.join(sorted(outputs))}"
            yield _fault(config, field, f"unknown target output name '{target}'", given, expected=expected)
        elif target in seen:
            fault = f"target output name '{target}' can only be specified once"
            yield _fault(config, field, fault, expected="each output once")
        seen.add(target)
