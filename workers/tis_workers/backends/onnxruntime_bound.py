"""Runs of ONNX Runtime whose outputs are computed into the pool: for large answers of a shape that has been seen before.

A graph does not say what shape an output will have, so that is learned from the first run. With batching, rows are what
is learned: a batch of other size has as many rows as its inputs.
"""

import time
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tis.contracts.arrays import NUMPY
from tis.contracts.datatypes import ELEMENT_BYTES
from tis.contracts.model_spec import ModelSpec
from tis_workers.backends.base import Arrays, Timings
from tis_workers.batch.kept_buffers import KeptBuffers
from tis_workers.request import WorkRequest
from tis_workers.split_outputs import LARGE_BYTES, WORTH_LENDING_BYTES, split_outputs

_SHAPES_REMEMBERED: Final = 256

_Key = tuple[Any, ...]


class _Plan:
    """Outputs of a known shape."""

    __slots__ = ("key", "names", "outputs", "row_bytes", "types", "works")

    def __init__(self, key: _Key, outputs: list[tuple[str, str, tuple[int, ...]]]) -> None:
        self.key = key
        self.names = tuple(name for name, _, _ in outputs)
        #: Name, datatype and shape: that of a row, where the model has batches.
        self.outputs = outputs
        self.types = [NUMPY[datatype].type for _, datatype, _ in outputs]
        self.row_bytes = sum(prod(shape) * ELEMENT_BYTES[datatype] for _, datatype, shape in outputs)
        #: It has been seen that the outputs are written where they are wanted.
        self.works = False


class BoundRuns:
    """For a session on the CPU whose tensors all have types that numpy has."""

    def __init__(self, session: Any, run_options: Any, spec: ModelSpec, datatypes: dict[str, str]) -> None:
        self._session = session
        self._run_options = run_options
        self._datatypes = datatypes
        self._batched = spec.max_batch_size > 0
        self._takes_batches = self._batched and spec.sequences is None
        self._outputs = spec.outputs
        self._every = tuple(output.name for output in spec.outputs)
        self._reshaped = {output.name for output in spec.outputs if output.reshape is not None}
        #: By the shapes of inputs; None once outputs were seen not to follow from them.
        self._plans: dict[_Key, _Plan] | None = {}
        #: What has just failed: if the same run succeeds in another way, it was not for its inputs.
        self._doubted: _Key | None = None

    def learn(self, inputs: Arrays, outputs: Sequence[str], results: Sequence[Any]) -> None:
        """See what a run in another way has given."""
        plans = self._plans
        if plans is None:
            return
        if self._doubted is None and sum([result.nbytes for result in results]) < LARGE_BYTES:
            return
        key = self._key(inputs, tuple(outputs))
        if key == self._doubted:
            self._plans = None
        elif key not in plans and sum([result.nbytes for result in results]) >= LARGE_BYTES:
            self._remember(plans, key, inputs, outputs, results)

    def _remember(
        self, plans: dict[_Key, _Plan], key: _Key, inputs: Arrays, outputs: Sequence[str], results: Sequence[Any]
    ) -> None:
        if any(name in self._reshaped for name in outputs):
            return
        if any(not array.size or array.dtype == np.object_ for array in (*inputs.values(), *results)):
            return
        if self._batched and not _same_rows([*inputs.values(), *results]):
            return
        if len(plans) >= _SHAPES_REMEMBERED:
            plans.clear()
        lead = 1 if self._batched else 0
        shapes = [
            (name, self._datatypes[name], array.shape[lead:]) for name, array in zip(outputs, results, strict=True)
        ]
        plans[key] = _Plan(key, shapes)

    def execute(
        self, requests: list[WorkRequest], wanted: Callable[[list[WorkRequest]], list[str]], buffers: KeptBuffers
    ) -> Timings | None:
        """Run and answer; None where nothing was done, and the common way is to be taken.

        Args:
            requests: one, or several whose whole rows make the batch.
            wanted: gives the names of the outputs that any of them wants.
            buffers: to gather in.
        """
        if not self._plans:
            return None
        start_ns = time.monotonic_ns()
        self._doubted = None
        first, alone = requests[0], len(requests) == 1
        names = self._every if alone and first.wanted is self._outputs else tuple(wanted(requests))
        plan = self._plans.get(self._key(first.inputs, names))
        if plan is None:
            return None
        return self._run_one(plan, first, start_ns) if alone else self._run_batch(plan, requests, start_ns, buffers)

    def _run_one(self, plan: _Plan, request: WorkRequest, start_ns: int) -> Timings | None:
        rows = request.batch_size
        if plan.row_bytes * (rows or 1) < LARGE_BYTES or request.writes_over_inputs:
            return None
        reservation = request.reserve(_with_rows(plan, rows))
        if reservation is None:
            return None
        input_end_ns = time.monotonic_ns()
        if not self._run(plan, request.inputs, reservation.arrays):
            request.give_back(reservation)
            return None
        infer_end_ns = time.monotonic_ns()
        request.respond_reserved(reservation)
        return Timings(start_ns, input_end_ns, infer_end_ns)

    def _run_batch(
        self, plan: _Plan, requests: list[WorkRequest], start_ns: int, buffers: KeptBuffers
    ) -> Timings | None:
        rows = sum(request.batch_size for request in requests)
        if not self._takes_batches or plan.row_bytes * rows < max(LARGE_BYTES, WORTH_LENDING_BYTES * len(requests)):
            return None
        split = split_outputs(requests, _with_rows(plan, rows))
        if split is None:
            return None
        try:
            inputs = buffers.gather(requests)
            input_end_ns = time.monotonic_ns()
            if not self._run(plan, inputs, [split.arrays[name] for name in plan.names]):
                return None
            infer_end_ns = time.monotonic_ns()
            split.respond()
        finally:
            split.give_back()
        return Timings(start_ns, input_end_ns, infer_end_ns)

    def _run(self, plan: _Plan, inputs: Arrays, arrays: Sequence[npt.NDArray[Any]]) -> bool:
        """Compute into these arrays; False where that cannot be."""
        binding = self._session.io_binding()
        try:
            for name, array in inputs.items():
                binding.bind_cpu_input(name, array)
            for name, kind, array in zip(plan.names, plan.types, arrays, strict=True):
                binding.bind_output(name, "cpu", 0, kind, array.shape, array.ctypes.data)
            self._session.run_with_iobinding(binding, self._run_options)
        except Exception:  # noqa: BLE001 - ONNX Runtime has no narrower class; the common way runs again and reports
            # Either the inputs are bad, or the outputs' shapes do not follow from theirs: the common way will tell.
            self._doubted = plan.key
            return False
        if not plan.works:
            # An input that is an output, too, is given back where it lies, and nothing is written.
            values = binding.get_outputs()
            if any(value.data_ptr() != array.ctypes.data for value, array in zip(values, arrays, strict=True)):
                self._plans = None
                return False
            plan.works = True
        return True

    def _key(self, inputs: Arrays, names: tuple[str, ...]) -> _Key:
        if self._batched:
            return (names, *inputs, *[array.shape[1:] for array in inputs.values()])
        return (names, *inputs, *[array.shape for array in inputs.values()])


def _with_rows(plan: _Plan, rows: int) -> list[tuple[str, str, tuple[int, ...]]]:
    if not rows:
        return plan.outputs
    return [(name, datatype, (rows, *shape)) for name, datatype, shape in plan.outputs]


def _same_rows(arrays: Sequence[npt.NDArray[Any]]) -> bool:
    """True where the first dimension of all is the same."""
    return len({array.shape[:1] for array in arrays}) == 1
