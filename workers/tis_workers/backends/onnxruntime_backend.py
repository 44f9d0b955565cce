"""ONNX models on ONNX Runtime: CPU, or CUDA for GPU instances.

Parameters of the config that it knows, as Triton's onnxruntime backend names them, are in `onnxruntime_options.py` and
`onnxruntime_providers.py`.
"""

import ctypes
from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tis.contracts.arrays import NUMPY
from tis.contracts.datatypes import ELEMENT_BYTES
from tis.contracts.model_spec import ModelSignature, ModelSpec, TensorSignature
from tis.errors import internal, invalid, not_found, unsupported
from tis_workers.backends.base import Arrays, LoadContext, TensorBackend
from tis_workers.backends.execution import Execution
from tis_workers.batch.kept_buffers import KeptBuffers
from tis_workers.request import WorkRequest

try:
    import onnxruntime as ort
except ImportError as error:
    raise unsupported(
        "the model needs ONNX Runtime, which is not installed; install it with: pip install 'tis[onnx]' "
        "(or 'tis[onnx-gpu]' for NVIDIA GPUs)"
    ) from error

from tis_workers.backends.onnxruntime_bound import BoundRuns
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


def load(context: LoadContext) -> "OnnxRuntimeBackend":
    """Load the model file of an instance.

    Raises:
        TisError: NOT_FOUND without a file, INTERNAL with ONNX Runtime's text where it refuses the file.
    """
    return OnnxRuntimeBackend(context)


class OnnxRuntimeBackend(TensorBackend):
    """One inference session."""

    overlaps = True

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
        self._buffers = KeptBuffers()
        #: Runs that write into the pool; None where there can be none.
        self._bound: BoundRuns | None = None

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
        if self._bound is not None:
            self._bound.learn(inputs, outputs, results)
        return dict(zip(outputs, results, strict=True))

    def serve(self, spec: ModelSpec) -> None:
        """The completed specification, before the first batch."""
        super().serve(spec)
        if self._on_cpu and not self._has_bf16:
            datatypes = {node.name: _DATATYPES[node.type] for node in self._session.get_outputs()}
            self._bound = BoundRuns(self._session, self._run_options, spec, datatypes)

    def begin(self, requests: list[WorkRequest], *, beside: bool = False) -> Execution:
        """Large answers of known shapes are computed into the pool in place; everything else goes the common way."""
        bound = self._bound
        if bound:
            as_it_is = self.goes_as_it_is(requests)
            if as_it_is or (self._shaping is None and len(requests) > 1):
                gather = partial(self._buffers.gather, requests, beside=beside)
                otherwise = partial(self.begun, requests, as_it_is=as_it_is)
                execution = bound.begin(requests, self._wanted_by, gather, otherwise)
                if execution is not None:
                    return execution
        return super().begin(requests, beside=beside)

    def tidy(self) -> None:
        """Give up memory that was gathered in but is not any more."""
        self._buffers.look()

    def _gather(self, requests: list[WorkRequest], *, beside: bool) -> Arrays:
        # ONNX Runtime keeps nothing of its inputs, and its outputs are no views of them.
        if self._shaping is None:
            return self._buffers.gather(requests, beside=beside)
        return super()._gather(requests, beside=beside)

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
