"""OpenVINO models: IR (`model.xml`), and by `default_model_filename` files of ONNX, TensorFlow, TensorFlow Lite and Paddle.

What parameters of the config mean is in `openvino_options.py`, how models are read in `openvino_model.py`. OpenVINO reads
inputs where they lie in the pool, and writes large answers there.
"""

import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tis.contracts.arrays import NUMPY
from tis.contracts.model_spec import ModelSignature, ModelSpec
from tis.errors import internal, invalid
from tis_workers.backends.base import Arrays, LoadContext, TensorBackend, Timings
from tis_workers.backends.openvino_model import compiled, read_model, said, shapes_follow, view_of
from tis_workers.backends.openvino_options import options
from tis_workers.request import WorkRequest

#: From this size on an answer is written by OpenVINO into the pool directly.
_IN_PLACE_BYTES: Final = 64 << 10
_SHAPES_REMEMBERED: Final = 256


def load(context: LoadContext) -> "OpenVinoBackend":
    """Load the model of an instance.

    Raises:
        TisError: as `read_model` and `compiled` say; INVALID_ARG for parameters that are none.
    """
    return OpenVinoBackend(context)


class OpenVinoBackend(TensorBackend):
    """One compiled model."""

    def __init__(self, context: LoadContext) -> None:
        chosen = options(context)
        read = read_model(context, chosen)
        model = compiled(read, chosen)
        self._signature = read.signature
        self._fixed_batch = read.fixed_batch
        self._request = model.create_infer_request()
        self._inputs = {tensor.name: (at, tensor.datatype) for at, tensor in enumerate(read.signature.inputs)}
        self._outputs = {tensor.name: (at, tensor.datatype) for at, tensor in enumerate(read.signature.outputs)}
        #: Shapes of all outputs seen for shapes of inputs; None where they may depend on more than that, or where the model
        #: has a memory, which belongs to one of OpenVINO's requests.
        self._shapes: dict[tuple[Any, ...], tuple[tuple[int, ...], ...]] | None = None
        if chosen.device == "CPU" and not read.fixed_batch and not read.model.get_variables() and shapes_follow(read):
            self._shapes = {}
            # Of its own, since the other's outputs must never be left in memory that is not this process's for good.
            self._placing_request = model.create_infer_request()

    def signature(self) -> ModelSignature:
        """The model's inputs and outputs as the config has shaped them; unknown dimensions are -1."""
        return self._signature

    def serve(self, spec: ModelSpec) -> None:
        """The completed specification, before the first batch."""
        super().serve(spec)
        if spec.state_outputs:
            self._shapes = None

    def run(self, inputs: Arrays, outputs: Sequence[str]) -> Arrays:
        """One inference. The arrays that it gives hold until the next."""
        rows = next(iter(inputs.values())).shape[0] if self._fixed_batch else 0
        self._infer(self._request, {name: _filled(array, self._fixed_batch) for name, array in inputs.items()})
        results = {name: self._result(name) for name in outputs}
        if self._fixed_batch:
            return {name: array[:rows] for name, array in results.items()}
        self._learn(inputs, results)
        return results

    def execute(self, requests: list[WorkRequest]) -> Timings:
        """A large answer to a single request is computed into the pool in place; everything else goes the common way."""
        if self._shapes and self.goes_as_it_is(requests):
            timings = self._execute_in_place(requests[0])
            if timings is not None:
                return timings
        return super().execute(requests)

    def _execute_in_place(self, request: WorkRequest) -> Timings | None:
        """Let OpenVINO write into a block of the pool; None where the shapes are not known or the answer is small."""
        start_ns = time.monotonic_ns()
        shapes = self._shapes.get(_shape_key(request.inputs)) if self._shapes else None
        names = [output.name for output in request.wanted]
        if shapes is None or len(names) != len(self._outputs) or request.writes_over_inputs:
            return None
        places = [self._outputs[name] for name in names]
        rows = request.batch_size
        if any(output.reshape is not None for output in request.wanted) or (
            rows and any(shape[:1] != (rows,) for shape in shapes)
        ):
            return None
        reservation = request.reserve(
            [(name, datatype, shapes[at]) for name, (at, datatype) in zip(names, places, strict=True)]
        )
        if reservation is None:
            return None
        for (at, datatype), array in zip(places, reservation.arrays, strict=True):
            self._placing_request.set_output_tensor(at, view_of(array, datatype))
        input_end_ns = time.monotonic_ns()
        try:
            self._infer(self._placing_request, request.inputs)
        except Exception:
            request.give_back(reservation)
            raise
        infer_end_ns = time.monotonic_ns()
        request.respond_reserved(reservation)
        return Timings(start_ns, input_end_ns, infer_end_ns)

    def _infer(self, request: Any, inputs: Arrays) -> None:
        if len(inputs) < len(self._inputs):
            # What OpenVINO saw there the last time is another's memory by now.
            missing = ", ".join(f"'{name}'" for name in self._inputs if name not in inputs)
            raise invalid(f"OpenVINO knows no optional inputs; missing: {missing}")
        arrays = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        try:
            for name, array in arrays.items():
                at, datatype = self._inputs[name]
                request.set_input_tensor(at, view_of(array, datatype))
            request.infer(share_inputs=True, share_outputs=True)
        except Exception as error:
            raise internal(f"openvino error in running inference : {said(error)}") from error

    def _result(self, name: str) -> npt.NDArray[Any]:
        """An output as it lies in OpenVINO's memory."""
        at, datatype = self._outputs[name]
        array: npt.NDArray[Any] = self._request.get_output_tensor(at).data
        return array if array.dtype == NUMPY[datatype] else array.view(NUMPY[datatype])

    def _learn(self, inputs: Arrays, results: Arrays) -> None:
        """Remember the shapes of a large answer for the next request of the same shapes."""
        known = self._shapes
        if known is None or len(results) < len(self._outputs):
            return
        arrays = [results[name] for name in self._outputs]
        if sum(array.nbytes for array in arrays) < _IN_PLACE_BYTES or not all(array.size for array in arrays):
            return
        if len(known) >= _SHAPES_REMEMBERED:
            known.clear()
        known[_shape_key(inputs)] = tuple(array.shape for array in arrays)


def _shape_key(inputs: Arrays) -> tuple[Any, ...]:
    return tuple(sorted((name, array.shape) for name, array in inputs.items()))


def _filled(array: npt.NDArray[Any], rows: int) -> npt.NDArray[Any]:
    """The rows of an input, filled up with zeros to a number of them; as it is where that is 0."""
    if not rows or array.shape[0] == rows:
        return array
    filled = np.zeros((rows, *array.shape[1:]), array.dtype)
    filled[: array.shape[0]] = array
    return filled
