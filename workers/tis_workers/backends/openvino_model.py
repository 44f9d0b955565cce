"""Reads a model with OpenVINO and gives it the shapes and datatypes that its config asks for; compiles it, runs nothing."""

import ctypes
from collections.abc import Container
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tis.contracts.datatypes import to_config
from tis.contracts.model_spec import ModelSignature, ModelSpec, TensorSignature, TensorSpec
from tis.errors import TisError, internal, invalid, not_found, unsupported
from tis_workers.backends.base import LoadContext
from tis_workers.backends.openvino_options import Options

try:
    import openvino as ov
except ImportError as error:
    raise unsupported(
        "the model needs OpenVINO, which is not installed; install it with: pip install 'tis[openvino]'"
    ) from error

#: Protocol datatypes by OpenVINO's names.
DATATYPES: Final = {
    "boolean": "BOOL",
    "u8": "UINT8",
    "u16": "UINT16",
    "u32": "UINT32",
    "u64": "UINT64",
    "i8": "INT8",
    "i16": "INT16",
    "i32": "INT32",
    "i64": "INT64",
    "f16": "FP16",
    "bf16": "BF16",
    "f32": "FP32",
    "f64": "FP64",
}
TYPES: Final = {datatype: getattr(ov.Type, name) for name, datatype in DATATYPES.items()}
#: What stands for a dimension of any size where it is tried out whether shapes follow from shapes.
_TRIED_SIZE: Final = 32


@dataclass(slots=True)
class ReadModel:
    """A model that is ready to be compiled."""

    core: Any
    model: Any
    signature: ModelSignature
    #: The size that every batch must have; 0 for any.
    fixed_batch: int


def read_model(context: LoadContext, options: Options) -> ReadModel:
    """Read the model of an instance and shape it as its config asks.

    Raises:
        TisError: NOT_FOUND without a file; INTERNAL with OpenVINO's text where it refuses the file, a shape or a datatype;
            INVALID_ARG where neither file nor config say a shape; UNSUPPORTED for a tensor without a name, or one that no
            protocol datatype stands for.
    """
    path, spec = context.model_file, context.spec
    if not path.exists():
        raise not_found(f"unable to find '{path}' for model '{spec.name}'")
    core = ov.Core()
    core.set_property({"ENABLE_MMAP": options.maps_weights})
    try:
        if options.extension:
            core.add_extension(options.extension)
    except Exception as error:
        raise internal(f"openvino error in loading custom CPU extensions : {said(error)}") from error
    try:
        model = core.read_model(path)
    except Exception as error:
        raise internal(f"openvino error in reading model : {said(error)}") from error
    batched = spec.max_batch_size > 0
    laid_out = _says_batch(model)
    if not batched and laid_out and context.complete and not options.fixed_batch:
        # The config may be completed to one with batches.
        batched = not ((spec.inputs or spec.batch_inputs) and spec.outputs)
    fixed = _shape(model, spec, options, batched=batched)
    _convert(model, spec)
    lead = (-1,) if fixed else ()
    signature = ModelSignature(
        tuple(_signature(port, spec, spec.inputs_by_name, lead) for port in model.inputs),
        tuple(_signature(port, spec, spec.outputs_by_name, lead) for port in model.outputs),
        first_is_batch=laid_out or spec.max_batch_size > 0,
    )
    return ReadModel(core, model, signature, fixed)


def compiled(read: ReadModel, options: Options) -> Any:
    """The model, compiled for its device.

    Raises:
        TisError: INTERNAL with OpenVINO's text where there is no such device, or it cannot run the model.
    """
    try:
        return read.core.compile_model(read.model, options.device, options.properties)
    except Exception as error:
        has = ", ".join(read.core.available_devices)
        raise internal(
            f"openvino error in loading model : {said(error)} (device {options.device}; OpenVINO has: {has})"
        ) from error


def shapes_follow(read: ReadModel) -> bool:
    """True where the shapes of all outputs follow from those of the inputs, whatever the inputs hold."""
    if all(port.partial_shape.is_static for port in read.model.outputs):
        return True
    trial = read.model.clone()
    try:
        trial.reshape({port: [_TRIED_SIZE if dim < 0 else dim for dim in _dims(port)] for port in trial.inputs})
    except Exception:  # noqa: BLE001 - it was a trial: some models only take certain sizes
        return False
    return all(port.partial_shape.is_static for port in trial.outputs)


def view_of(array: npt.NDArray[Any], datatype: str) -> Any:
    """OpenVINO's view of a contiguous array, which must live while a request may read or write there.

    OpenVINO takes no array that may not be written to, though it does not write to inputs: hence the detour for those.
    """
    if not array.size:
        return ov.Tensor(TYPES[datatype], ov.Shape(list(array.shape)))
    if not array.flags.writeable:
        raw = (ctypes.c_uint8 * array.nbytes).from_address(array.ctypes.data)
        array = np.frombuffer(memoryview(raw), array.dtype).reshape(array.shape)
    if datatype == "BF16":
        return ov.Tensor(array, ov.Shape(list(array.shape)), TYPES[datatype])
    return ov.Tensor(array, shared_memory=True)


def said(error: Exception) -> str:
    """OpenVINO's text of an error in one line, without the places in its source."""
    lines = [line.strip() for line in str(error).splitlines()]
    return " ".join(line for line in lines if line and not line.startswith("Exception from ")) or str(error)


def name_of(port: Any, configured: Container[str]) -> str:
    """What clients call an input or output: the name that the config has for it, else OpenVINO's first."""
    names: list[str] = sorted(port.get_names())
    if not names:
        raise unsupported("the model has inputs or outputs without a name; save it with names")
    return next((name for name in names if name in configured), names[0])


def _says_batch(model: Any) -> bool:
    """Whether the layouts of all inputs and outputs begin with a batch; most files say no layout."""
    layouts = [ov.layout_helpers.get_layout(port) for port in (*model.inputs, *model.outputs)]
    return all(layout.has_name("N") and layout.get_index_by_name("N") == 0 for layout in layouts)


def _shape(model: Any, spec: ModelSpec, options: Options, *, batched: bool) -> int:
    """Give the inputs their shapes; gives the size that every batch must have, 0 for any."""
    shapes: dict[Any, list[int]] = {}
    for port in model.inputs:
        configured = spec.inputs_by_name.get(name_of(port, spec.inputs_by_name))
        given = None if configured is None else configured.shape if configured.reshape is None else configured.reshape
        if given is not None and (options.reshapes or port.partial_shape.rank.is_dynamic):
            shapes[port] = [-1, *given] if batched else list(given)
        elif port.partial_shape.rank.is_dynamic:
            raise _unsaid(spec.name, port, {})
        elif batched and port.partial_shape.rank.get_length():
            shapes[port] = [-1, *_dims(port)[1:]]
    fixed = spec.max_batch_size
    if not (fixed and options.fixed_batch):
        try:
            _reshape(model, shapes)
        except TisError:
            if not fixed:
                raise
        else:
            if not fixed or all(_starts_with(port, -1) for port in model.outputs):
                return 0
    # The size of a batch is built into the model, or is to be.
    _reshape(model, {port: [fixed, *dims[1:]] for port, dims in shapes.items()})
    for port in model.outputs:
        if not _starts_with(port, fixed):
            raise invalid(
                f"model '{spec.name}', tensor '{name_of(port, spec.outputs_by_name)}': for the model to support batching the "
                f"shape should have at least 1 dimension and the first dimension must be -1, or {fixed} as the config says; "
                f"but shape expected by the model is {_dims(port)}"
            )
    return fixed


def _starts_with(port: Any, size: int) -> bool:
    return bool(port.partial_shape.rank.is_dynamic) or _dims(port)[:1] == [size]


def _reshape(model: Any, shapes: dict[Any, list[int]]) -> None:
    if all(not port.partial_shape.rank.is_dynamic and _dims(port) == dims for port, dims in shapes.items()):
        return
    try:
        model.reshape(shapes)
    except Exception as error:
        raise internal(f"openvino error in setting shapes : {said(error)}") from error


def _convert(model: Any, spec: ModelSpec) -> None:
    """Let OpenVINO convert inputs and outputs that have other datatypes in the config, as Triton's backend does."""
    steps = ov.preprocess.PrePostProcessor(model)
    for side, ports, tensors in (
        ("input", model.inputs, spec.inputs_by_name),
        ("output", model.outputs, spec.outputs_by_name),
    ):
        for index, port in enumerate(ports):
            tensor = tensors.get(name_of(port, tensors))
            if tensor is None or DATATYPES.get(port.element_type.to_string()) == tensor.datatype:
                continue
            if tensor.datatype not in TYPES:
                raise internal(
                    f"unsupported datatype {to_config(tensor.datatype)} for {side} '{tensor.name}' for model '{spec.name}'"
                )
            info = steps.input(index) if side == "input" else steps.output(index)
            info.tensor().set_element_type(TYPES[tensor.datatype])
    try:
        steps.build()
    except Exception as error:
        raise internal(f"openvino error in setting precision : {said(error)}") from error


def _signature(port: Any, spec: ModelSpec, configured: dict[str, TensorSpec], lead: tuple[int, ...]) -> TensorSignature:
    name, element = name_of(port, configured), port.element_type.to_string()
    if element not in DATATYPES:
        raise unsupported(f"tensor '{name}' of the model has the type {element}, which this server cannot carry")
    if port.partial_shape.rank.is_dynamic:
        tensor = configured.get(name)
        if tensor is None:
            raise _unsaid(spec.name, port, configured)
        batch = (-1,) if spec.max_batch_size > 0 else ()
        dims = (*batch, *(tensor.shape if tensor.reshape is None else tensor.reshape))
    else:
        dims = tuple(_dims(port))
    return TensorSignature(name, DATATYPES[element], (*lead, *dims[1:]) if lead else dims)


def _dims(port: Any) -> list[int]:
    return [-1 if dim.is_dynamic else dim.get_length() for dim in port.partial_shape]


def _unsaid(model: str, port: Any, configured: dict[str, TensorSpec]) -> TisError:
    return invalid(
        f"Unable to autofill for '{model}': the rank of model tensor '{name_of(port, configured)}' is not known and its "
        "dimensions are not defined in the config"
    )
