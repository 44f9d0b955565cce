"""ONNX models on ONNX Runtime: CPU, or CUDA for GPU instances.

Parameters of the config that it knows, as Triton's onnxruntime backend names them, are in `onnxruntime_options.py` and
`onnxruntime_providers.py`.
"""

import ctypes
import time
from collections.abc import Sequence
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tis.contracts.arrays import NUMPY
from tis.contracts.datatypes import ELEMENT_BYTES
from tis.contracts.model_spec import ModelSignature, TensorSignature
from tis.errors import internal, invalid, not_found, unsupported
from tis_workers.backends.base import Arrays, LoadContext, TensorBackend, Timings
from tis_workers.request import WorkRequest

try:
    import onnxruntime as ort
except ImportError as error:
    raise unsupported(
        "the model needs ONNX Runtime, which is not installed; install it with: pip install 'tis[onnx]' "
        "(or 'tis[onnx-gpu]' for NVIDIA GPUs)"
    ) from error

from tis_workers.backends.onnxruntime_options import run_options, session_options
from tis_workers.backends.onnxruntime_providers import providers

_DATATYPES: Final = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(bfloat16)": "BF16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
_BF16: Final = "tensor(bfloat16)"
_BF16_ONNX_TYPE: Final = 16
#: From this size on an answer is written by ONNX Runtime into the pool directly.
_IN_PLACE_BYTES: Final = 64 << 10
_SHAPES_REMEMBERED: Final = 256


def load(context: LoadContext) -> "OnnxRuntimeBackend":
    """Load the model file of an instance.

    Raises:
        TisError: NOT_FOUND without a file, INTERNAL with ONNX Runtime's text where it refuses the file.
    """
    return OnnxRuntimeBackend(context)


class OnnxRuntimeBackend(TensorBackend):
    """One inference session."""

    def __init__(self, context: LoadContext) -> None:
        path = context.model_file
        if path.is_dir():
            # A model whose weights lie in files beside it.
            path = path / "model.onnx"
        if not path.exists():
            raise not_found(f"unable to find '{path}' for model '{context.spec.name}'")
        options, chosen = session_options(context), providers(context, ort.get_available_providers())
        self._run_options = run_options(context)
        try:
            self._session = ort.InferenceSession(str(path), sess_options=options, providers=chosen)
        except Exception as error:
            raise internal(f"onnx runtime error: {error}") from error
        self._declared = {node.name: node for node in (*self._session.get_inputs(), *self._session.get_outputs())}
        self._on_cpu = self._session.get_providers()[0] == "CPUExecutionProvider"
        self._has_bf16 = any(node.type == _BF16 for node in self._declared.values())
        self._answers_bf16 = any(node.type == _BF16 for node in self._session.get_outputs())
        if self._answers_bf16 and any(node.type == "tensor(string)" for node in self._session.get_inputs()):
            raise unsupported(
                f"model '{context.spec.name}' takes strings and gives BF16, which ONNX Runtime's Python interface cannot "
                "pass in one run; cast the outputs to FP32 in the model"
            )
        #: Output shapes seen for input shapes; None once an output's shape was seen to depend on more than that.
        self._shapes: dict[tuple[Any, ...], list[tuple[int, ...]]] | None = {}

    def signature(self) -> ModelSignature:
        """The graph's inputs and outputs; symbolic and unknown dimensions are -1."""
        return ModelSignature(
            tuple(_signature(node) for node in self._session.get_inputs()),
            tuple(_signature(node) for node in self._session.get_outputs()),
        )

    def run(self, inputs: Arrays, outputs: Sequence[str]) -> Arrays:
        """One session run."""
        feeds = {name: self._feed(name, array) for name, array in inputs.items()}
        try:
            if self._answers_bf16:
                values = self._session.run_with_ort_values(
                    list(outputs),
                    {name: _as_ort_value(array, self._declared[name]) for name, array in feeds.items()},
                    self._run_options,
                )
                results = [_from_ort_value(value) for value in values]
            elif self._has_bf16:
                mixed = {
                    name: _as_ort_value(array, self._declared[name]) if self._declared[name].type == _BF16 else array
                    for name, array in feeds.items()
                }
                results = self._session.run(list(outputs), mixed, self._run_options)
            else:
                results = self._session.run(list(outputs), feeds, self._run_options)
        except Exception as error:
            raise internal(f"onnx runtime error: {error}") from error
        self._learn(inputs, outputs, results)
        return dict(zip(outputs, results, strict=True))

    def execute(self, requests: list[WorkRequest]) -> Timings:
        """A large answer to a single request is computed into the pool in place; everything else goes the common way."""
        if self._on_cpu and not self._has_bf16 and self._shapes is not None and self.goes_as_it_is(requests):
            timings = self._execute_in_place(requests[0])
            if timings is not None:
                return timings
        return super().execute(requests)

    def _execute_in_place(self, request: WorkRequest) -> Timings | None:
        """Bind the outputs to a block of the pool and run; None where the shapes are not known or the answer is small."""
        start_ns = time.monotonic_ns()
        names = [output.name for output in request.wanted]
        shapes = self._shapes.get(_shape_key(request.inputs, names)) if self._shapes else None
        if shapes is None:
            return None
        datatypes = [_DATATYPES[self._declared[name].type] for name in names]
        if request.writes_over_inputs or any(output.reshape is not None for output in request.wanted):
            return None
        reservation = request.reserve(list(zip(names, datatypes, shapes, strict=True)))
        if reservation is None:
            return None
        binding = self._session.io_binding()
        for name, array in request.inputs.items():
            binding.bind_cpu_input(name, self._feed(name, array))
        for name, array in zip(names, reservation.arrays, strict=True):
            binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        input_end_ns = time.monotonic_ns()
        try:
            self._session.run_with_iobinding(binding, self._run_options)
        except Exception:  # noqa: BLE001 - ONNX Runtime has no narrower class; the common way runs again and reports
            # Either the inputs are bad, or the shapes do not follow from the inputs' shapes: never bind again.
            request.give_back(reservation)
            self._shapes = None
            return None
        infer_end_ns = time.monotonic_ns()
        request.respond_reserved(reservation)
        return Timings(start_ns, input_end_ns, infer_end_ns)

    def _learn(self, inputs: Arrays, outputs: Sequence[str], results: Sequence[Any]) -> None:
        """Remember the shapes of a large answer for the next request of the same shapes."""
        known = self._shapes
        if known is None or sum(result.nbytes for result in results) < _IN_PLACE_BYTES:
            return
        if any(result.dtype == np.object_ for result in results):
            return
        if self.spec.max_batch_size and not _same_rows([*inputs.values(), *results]):
            return
        if len(known) >= _SHAPES_REMEMBERED:
            known.clear()
        known[_shape_key(inputs, outputs)] = [result.shape for result in results]

    def _feed(self, name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """An input as ONNX Runtime takes it; strings are Python strings there."""
        if array.dtype != np.object_:
            return array
        try:
            return np.array([element.decode() for element in array.ravel()], dtype=np.object_).reshape(array.shape)
        except UnicodeDecodeError as error:
            raise invalid(
                f"input '{name}' holds bytes that are not UTF-8, which ONNX strings must be: {error}"
            ) from None


def _same_rows(arrays: Sequence[npt.NDArray[Any]]) -> bool:
    """True where the first dimension of all is the same."""
    return len({array.shape[:1] for array in arrays}) == 1


def _shape_key(inputs: Arrays, outputs: Sequence[str]) -> tuple[Any, ...]:
    return (*((name, array.shape) for name, array in inputs.items()), *outputs)


def _signature(node: Any) -> TensorSignature:
    datatype = _DATATYPES.get(node.type)
    if datatype is None:
        raise unsupported(f"tensor '{node.name}' of the model has the type {node.type}, which this server cannot carry")
    shape = tuple(dim if isinstance(dim, int) and dim >= 0 else -1 for dim in node.shape)
    return TensorSignature(node.name, datatype, shape)


def _as_ort_value(array: npt.NDArray[Any], declared: Any) -> Any:
    """An input of a model that has BF16 tensors, for which numpy has no type."""
    if declared.type == _BF16:
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(np.ascontiguousarray(array), _BF16_ONNX_TYPE)
    return ort.OrtValue.ortvalue_from_numpy(array)


def _from_ort_value(value: Any) -> npt.NDArray[Any]:
    """An output as a numpy array; BF16 as its bits in uint16."""
    if value.element_type() != _BF16_ONNX_TYPE:
        array: npt.NDArray[Any] = value.numpy()
        return array
    shape = tuple(value.shape())
    size_bytes = prod(shape) * ELEMENT_BYTES["BF16"]
    raw = (ctypes.c_uint8 * size_bytes).from_address(value.data_ptr())
    return np.frombuffer(raw, NUMPY["BF16"]).reshape(shape).copy()
