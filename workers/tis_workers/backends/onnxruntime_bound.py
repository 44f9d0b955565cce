"""Runs of ONNX Runtime whose outputs are computed into the pool: for large answers of a shape that has been seen before.

A graph does not say what shape an output will have, so that is learned from the first run. With batching, rows are what
is learned: a batch of other size has as many rows as its inputs.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tis.contracts import messages as m
from tis.contracts.arrays import NUMPY
from tis.contracts.datatypes import ELEMENT_BYTES
from tis.contracts.model_spec import ModelSpec
from tis_workers.backends.execution import Execution
from tis_workers.batch.parts import Arrays
from tis_workers.output import ALIGNMENT_BYTES
from tis_workers.request import WorkRequest
from tis_workers.split_outputs import LARGE_BYTES, WORTH_LENDING_BYTES, split_outputs

_SHAPES_REMEMBERED: Final = 256

_Key = tuple[Any, ...]


class _Place(NamedTuple):
    """Outputs of so many rows: their shapes, and how they lie in one block."""

    outputs: list[tuple[str, str, tuple[int, ...]]]
    refs: list[m.OutputRef]
    size_bytes: int


class _Plan:
    """Outputs of a known shape."""

    __slots__ = ("_outputs", "_places", "key", "names", "row_bytes", "types", "works")

    def __init__(self, key: _Key, outputs: list[tuple[str, str, tuple[int, ...]]]) -> None:
        self.key = key
        self.names = tuple(name for name, _, _ in outputs)
        self.types = [NUMPY[datatype].type for _, datatype, _ in outputs]
        #: Bytes of all outputs, of one row where the model has batches.
        self.row_bytes = sum(_size_bytes(datatype, shape) for _, datatype, shape in outputs)
        #: It has been seen that the outputs are written where they are wanted.
        self.works = False
        self._outputs = outputs
        self._places: dict[int, _Place] = {}

    def place(self, rows: int) -> _Place:
        """For so many rows; 0 for a model without batching."""
        place = self._places.get(rows)
        if place is None:
            outputs = [(name, datatype, (rows, *shape) if rows else shape) for name, datatype, shape in self._outputs]
            refs: list[m.OutputRef] = []
            at = 0
            for name, datatype, shape in outputs:
                size_bytes = _size_bytes(datatype, shape)
                refs.append(m.OutputRef(name, datatype, shape, at, size_bytes))
                at += -(-size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
            place = self._places[rows] = _Place(outputs, refs, at)
        return place


#: Makes the common execution of the same batch from its inputs and when they were begun with.
Otherwise = Callable[[Arrays, int], Execution]


class _Target(NamedTuple):
    """Where the outputs of a batch are computed to, and how they are sent or given back."""

    place: _Place
    addresses: list[int]
    send: Callable[[], None]
    give_back: Callable[[], None]


class _BoundExecution(Execution):
    """A run into a target; where that does not work, it is made again in the common way."""

    __slots__ = ("_inputs", "_otherwise", "_plan", "_runs", "_target")

    def __init__(
        self, runs: "BoundRuns", plan: _Plan, target: _Target, inputs: Arrays, otherwise: Otherwise, start_ns: int
    ) -> None:
        super().__init__(start_ns)
        self._runs = runs
        self._plan = plan
        self._target = target
        self._inputs = inputs
        self._otherwise = otherwise

    def compute(self) -> None:
        """Run into the target."""
        target = self._target
        self.answers_only = self._runs.run(self._plan, target.place, self._inputs, target.addresses)
        self.computed()

    def answer(self) -> None:
        """Send what lies in the target."""
        if self.answers_only:
            self._target.send()
            return
        self._target.give_back()
        execution = self._otherwise(self._inputs, self.timings.start_ns)
        self._runs.doubted = self._plan.key
        try:
            execution.compute()
        finally:
            self._runs.doubted = None
        self.timings = execution.timings
        execution.answer()

    def abandon(self) -> None:
        """Nothing was computed that is wanted."""
        self._target.give_back()


class BoundRuns:
    """For a session on the CPU whose tensors all have types that numpy has."""

    def __init__(self, session: Any, run_options: Any, spec: ModelSpec, datatypes: dict[str, str]) -> None:
        self._session = session
        self._run_options = run_options
        self._datatypes = datatypes
        self._batched = spec.max_batch_size > 0
        self._outputs = spec.outputs
        self._every = tuple(output.name for output in spec.outputs)
        self._reshaped = {output.name for output in spec.outputs if output.reshape is not None}
        #: By the shapes of inputs; None once outputs were seen not to follow from them.
        self._plans: dict[_Key, _Plan] | None = {}
        #: What has just failed: if the same run succeeds in another way, it was not for its inputs.
        self.doubted: _Key | None = None

    def __bool__(self) -> bool:
        """False where no shape is known, and so everything goes the common way."""
        return bool(self._plans)

    def learn(self, inputs: Arrays, outputs: Sequence[str], results: Sequence[Any]) -> None:
        """See what a run in another way has given."""
        plans = self._plans
        if plans is None:
            return
        if self.doubted is None and sum([result.nbytes for result in results]) < LARGE_BYTES:
            return
        key = self._key(inputs, tuple(outputs))
        if key == self.doubted:
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

    def begin(
        self,
        requests: list[WorkRequest],
        wanted: Callable[[list[WorkRequest]], list[str]],
        gather: Callable[[], Arrays],
        otherwise: Otherwise,
    ) -> Execution | None:
        """Have inputs and places ready; None where nothing was done, and the common way is to be taken.

        Args:
            requests: one, or several whose whole rows make the batch.
            wanted: gives the names of the outputs that any of them wants.
            gather: gives the inputs of several.
            otherwise: makes the common execution, for where this one turns out not to work.
        """
        if not self._plans:
            return None
        start_ns = time.monotonic_ns()
        first, alone = requests[0], len(requests) == 1
        names = self._every if alone and first.wanted is self._outputs else tuple(wanted(requests))
        plan = self._plans.get(self._key(first.inputs, names))
        if plan is None:
            return None
        target = self._target_of_one(plan, first) if alone else self._target_of_batch(plan, requests)
        if target is None:
            return None
        try:
            inputs = first.inputs if alone else gather()
        except BaseException:
            target.give_back()
            raise
        return _BoundExecution(self, plan, target, inputs, otherwise, start_ns)

    def _target_of_one(self, plan: _Plan, request: WorkRequest) -> _Target | None:
        rows = request.batch_size
        if plan.row_bytes * (rows or 1) < LARGE_BYTES:
            return None
        place = plan.place(rows)
        writer = request.pool_writer
        if writer is None or request.has_placements:
            # The answer does not simply go to the pool.
            reservation = None if request.writes_over_inputs else request.reserve(place.outputs)
            if reservation is None:
                return None
            addresses = [array.ctypes.data for array in reservation.arrays]
            send, give_back = partial(request.respond_reserved, reservation), partial(request.give_back, reservation)
            return _Target(place, addresses, send, give_back)
        block = writer.take(place.size_bytes)
        address = writer.address(block)
        send, give_back = partial(request.respond_lent, [block], place.refs), partial(writer.free, block)
        return _Target(place, [address + ref.start for ref in place.refs], send, give_back)

    def _target_of_batch(self, plan: _Plan, requests: list[WorkRequest]) -> _Target | None:
        rows = sum([request.batch_size for request in requests])
        if not self._batched or plan.row_bytes * rows < max(LARGE_BYTES, WORTH_LENDING_BYTES * len(requests)):
            return None
        place = plan.place(rows)
        split = split_outputs(requests, place.outputs)
        if split is None:
            return None
        addresses = [split.arrays[name].ctypes.data for name in plan.names]
        return _Target(place, addresses, split.respond, split.give_back)

    def run(self, plan: _Plan, place: _Place, inputs: Arrays, addresses: list[int]) -> bool:
        """Compute to these addresses; False where that cannot be, and the common way will tell why."""
        binding = self._session.io_binding()
        try:
            for name, array in inputs.items():
                binding.bind_cpu_input(name, array)
            for (name, _, shape), kind, address in zip(place.outputs, plan.types, addresses, strict=True):
                binding.bind_output(name, "cpu", 0, kind, shape, address)
            self._session.run_with_iobinding(binding, self._run_options)
        except Exception:  # noqa: BLE001 - ONNX Runtime has no narrower class; the common way runs again and reports
            # Either the inputs are bad, or the outputs' shapes do not follow from theirs.
            return False
        if not plan.works:
            # An input that is an output, too, is given back where it lies, and nothing is written.
            if [value.data_ptr() for value in binding.get_outputs()] != addresses:
                self._plans = None
                return False
            plan.works = True
        return True

    def _key(self, inputs: Arrays, names: tuple[str, ...]) -> _Key:
        if self._batched:
            return (names, *inputs, *[array.shape[1:] for array in inputs.values()])
        return (names, *inputs, *[array.shape for array in inputs.values()])


def _size_bytes(datatype: str, shape: tuple[int, ...]) -> int:
    return prod(shape) * ELEMENT_BYTES[datatype]


def _same_rows(arrays: Sequence[npt.NDArray[Any]]) -> bool:
    """True where the first dimension of all is the same."""
    return len({array.shape[:1] for array in arrays}) == 1
