"""Reading a TensorRT plan: what its engine says of inputs, outputs and profiles. Executes nothing.

TensorRT's library is given to these functions, so that they need no GPU to be imported. Names are those of TensorRT 10.
"""

from pathlib import Path
from typing import Any, Final

from tis.contracts.model_spec import ModelSignature, TensorSignature
from tis.errors import internal, unsupported
from tis.log import get_logger
from tis_workers.backends.tensorrt_profiles import Profile, Range

#: Protocol datatypes by TensorRT's names.
_DATATYPES: Final = {
    "FLOAT": "FP32",
    "HALF": "FP16",
    "BF16": "BF16",
    "INT8": "INT8",
    "UINT8": "UINT8",
    "INT32": "INT32",
    "INT64": "INT64",
    "BOOL": "BOOL",
}

_log = get_logger(__name__)


def logger_of(trt: Any) -> Any:
    """A logger that writes into the server's log and remembers the last error, which no exception tells."""

    class Logger(trt.ILogger):  # type: ignore[misc]  # the library ships no types
        """Passes on what TensorRT says."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last_error = ""

        def log(self, severity: Any, message: str) -> None:
            """Called by TensorRT, from any of its threads."""
            if severity in (trt.Logger.ERROR, trt.Logger.INTERNAL_ERROR):
                self.last_error = message
                _log.error("%s", message)
            elif severity == trt.Logger.WARNING:
                _log.warning("%s", message)
            else:
                _log.debug("%s", message)

    return Logger()


def read_engine(trt: Any, logger: Any, path: Path) -> Any:
    """The engine of a plan, with the runtime that it needs as long as it lives.

    Raises:
        TisError: INTERNAL with what TensorRT said where it refuses the file.
    """
    trt.init_libnvinfer_plugins(logger, "")
    runtime = trt.Runtime(logger)
    engine = runtime.deserialize_cuda_engine(path.read_bytes())
    if engine is None:
        raise internal(f"unable to create TensorRT engine: {logger.last_error}")
    return runtime, engine


def signature_of(trt: Any, engine: Any, name: str) -> ModelSignature:
    """Inputs and outputs of an engine.

    Raises:
        TisError: UNSUPPORTED for a tensor that this server cannot carry: of a datatype that the protocol does not have, whose
            values are shapes, or that is not laid out in rows.
    """
    inputs: list[TensorSignature] = []
    outputs: list[TensorSignature] = []
    for index in range(engine.num_io_tensors):
        tensor = engine.get_tensor_name(index)
        kind = engine.get_tensor_dtype(tensor).name
        if kind not in _DATATYPES:
            raise unsupported(f"unable to load model '{name}': tensor '{tensor}' has the type {kind} of TensorRT")
        if engine.is_shape_inference_io(tensor):
            raise unsupported(f"unable to load model '{name}': '{tensor}' is a shape tensor, which is not served here")
        if engine.get_tensor_format(tensor) != trt.TensorFormat.LINEAR:
            raise unsupported(
                f"unable to load model '{name}': '{tensor}' is not laid out linearly, but "
                f"{engine.get_tensor_format(tensor).name}"
            )
        signature = TensorSignature(tensor, _DATATYPES[kind], tuple(engine.get_tensor_shape(tensor)))
        is_input = engine.get_tensor_mode(tensor) == trt.TensorIOMode.INPUT
        (inputs if is_input else outputs).append(signature)
    return ModelSignature(tuple(inputs), tuple(outputs))


def profiles_of(engine: Any, signature: ModelSignature) -> tuple[Profile, ...]:
    """All profiles of an engine, with the shapes that each takes."""
    return tuple(
        Profile(
            number,
            {
                tensor.name: Range(*(tuple(shape) for shape in engine.get_tensor_profile_shape(tensor.name, number)))
                for tensor in signature.inputs
            },
        )
        for number in range(engine.num_optimization_profiles)
    )
