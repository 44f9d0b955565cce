"""Sequences in a worker: the control tensors and states that requests get as inputs, and the fillers between them.

What the tensors say was decided by the scheduler (`Wishes`); which slots a batch has, too.
"""

import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from tis.contracts import messages as m
from tis.contracts.arrays import NUMPY
from tis.contracts.model_spec import ModelSpec
from tis.contracts.scheduling_spec import ControlSpec
from tis.errors import TisError
from tis_shm.pool import Pool
from tis_workers.answers import Answers
from tis_workers.backends.base import Backend, Timings
from tis_workers.model_inputs import ModelInputs
from tis_workers.output import OutputWriter, Parameters, Reservation
from tis_workers.regions import ClientRegions, Placements
from tis_workers.request import WorkRequest
from tis_workers.states import States, nothing_like

Array = npt.NDArray[Any]

_NO_WISHES: Final = m.Wishes()
_NO_BODY: Final[msgspec.Raw] = m.encode_body(m.WorkBody("", (), (), ()))


class _Mute(OutputWriter):
    """Where the answers to fillers go."""

    def __init__(self) -> None:
        """It has no slab."""

    def reply(
        self,
        asker: int,
        request_id: int,
        outputs: list[tuple[str, Array, str]],
        placements: Placements | None = None,
        parameters: Parameters | None = None,
        *,
        final: bool = True,
        takes_data: bool = False,
    ) -> None:
        """Nobody waits for it."""

    def end(self, asker: int, request_id: int) -> None:
        """Nobody waits for it."""

    def reserve(
        self,
        outputs: list[tuple[str, str, tuple[int, ...]]],  # noqa: ARG002 - the writer's
        placements: Placements | None = None,  # noqa: ARG002
    ) -> Reservation | None:
        """Nothing is written in place."""
        return None

    def fail(self, asker: int, request_id: int, error: TisError, *, final: bool = True) -> None:
        """Nobody waits for it."""

    def tell(self, asker: int, message: m.Message) -> None:
        """Nobody waits for it."""


class Filler(WorkRequest):
    """Stands in for an empty slot. Its inputs are set when it is known what it shares a batch with."""

    __slots__ = ()

    def __init__(self, spec: ModelSpec, pool: Pool, regions: ClientRegions) -> None:
        super().__init__(spec, m.BatchItem(m.FILLER, m.FILLER, 1, _NO_BODY), pool, _Mute(), regions)


class StatefulRequest(WorkRequest):
    """A request whose model has implicit state."""

    __slots__ = ("states",)

    states: States

    def respond(
        self, outputs: Mapping[str, Array], parameters: Parameters | None = None, *, final: bool = True
    ) -> None:
        """Keep the state for the next request, then answer."""
        if (self.wishes or _NO_WISHES).sequence_end:
            self.states.end(self.slot)
        else:
            self.states.keep(self.slot, outputs)
        super().respond(outputs, parameters, final=final)

    @property
    def pool_writer(self) -> OutputWriter | None:
        """Answers go through `respond` only, which sees the state."""
        return None

    def reserve(self, outputs: list[tuple[str, str, tuple[int, ...]]]) -> Reservation | None:  # noqa: ARG002
        """An answer that the model writes in place would leave its state out."""
        return None


class Sequences:
    """What a model with `sequence_batching` gets besides its clients' inputs."""

    def __init__(
        self, spec: ModelSpec, pool: Pool, writer: Answers, regions: ClientRegions, owned: ModelInputs | None = None
    ) -> None:
        self._owned = owned
        self._spec = spec
        self._pool = pool
        self._writer = writer
        self._regions = regions
        self._states = States(spec)
        shape = (1, 1) if spec.max_batch_size > 0 else (1,)
        self._shape = shape
        controls = spec.sequences.controls if spec.sequences is not None else ()
        self._id_control = next((control for control in controls if control.kind == "CORRID"), None)
        #: Tensors of the other controls: name, kind, for false and for true.
        self._flags = [
            (control.name, control.kind, _flag(control, shape, value=False), _flag(control, shape, value=True))
            for control in controls
            if control.kind != "CORRID"
        ]
        #: Whether a request's place in the batch means something to the model.
        self._has_places = spec.sequences is not None and not spec.sequences.oldest

    def request(self, item: m.BatchItem) -> WorkRequest:
        """An item of a batch, as the model sees it but for what `execute` adds."""
        if item.asker == m.FILLER:
            return self._filler()
        if not self._states:
            return WorkRequest(self._spec, item, self._pool, self._writer, self._regions, self._owned)
        # Even if it cannot run in the end: no other sequence's state must be left in the slot.
        if (item.wishes or _NO_WISHES).sequence_start:
            self._states.begin(item.slot)
        request = StatefulRequest(self._spec, item, self._pool, self._writer, self._regions, self._owned)
        request.states = self._states
        return request

    def execute(self, backend: Backend, requests: list[WorkRequest]) -> Timings:
        """Give the requests of a batch their tensors and run them; one that has been answered leaves a filler behind.

        Sequences whose states differ in shape run one after another.
        """
        began_ns = time.monotonic_ns()
        real = [request for request in requests if not request.answered and not isinstance(request, Filler)]
        if not real:
            return Timings(began_ns, began_ns, began_ns)
        for request in real:
            self._equip(request)
        if self._states.vary:
            groups = _grouped(real, self._states)
            if len(groups) > 1:
                timings = [backend.execute(group) for group in groups]
                return Timings(timings[0].start_ns, timings[0].input_end_ns, timings[-1].infer_end_ns)
        if self._has_places and len(real) < len(requests):
            return backend.execute(self._filled(requests, real[0]))
        return backend.execute(real)

    def _equip(self, request: WorkRequest) -> None:
        wishes = request.wishes or _NO_WISHES
        says = {"START": wishes.sequence_start, "END": wishes.sequence_end, "READY": True}
        inputs = request.inputs
        for name, kind, no, yes in self._flags:
            inputs[name] = yes if says[kind] else no
        if self._id_control is not None:
            inputs[self._id_control.name] = _id_tensor(self._id_control, wishes.sequence_id, self._shape)
        if self._states:
            inputs.update(self._states.of(request.slot))

    def _filled(self, requests: list[WorkRequest], like: WorkRequest) -> list[WorkRequest]:
        """Fillers in every place that has no request to run, with inputs as another request has them."""
        extra = {name for name, _, _, _ in self._flags}
        states = self._states.of(like.slot) if self._states else {}
        inputs = {
            # The model may answer the other request, which gives its memory back, and then read on.
            **{name: array.copy() for name, array in like.inputs.items() if name not in extra and name not in states},
            **{name: no for name, _, no, _ in self._flags},
            **nothing_like(states),
        }
        if self._id_control is not None:
            none: int | str = "" if self._id_control.datatype == "BYTES" else 0
            inputs[self._id_control.name] = _id_tensor(self._id_control, none, self._shape)
        batch: list[WorkRequest] = []
        for request in requests:
            if isinstance(request, Filler):
                filler = request
            elif request.answered:
                filler = self._filler()
            else:
                batch.append(request)
                continue
            filler.inputs = dict(inputs)
            filler.wanted = like.wanted
            batch.append(filler)
        return batch

    def _filler(self) -> Filler:
        return Filler(self._spec, self._pool, self._regions)


def _grouped(requests: list[WorkRequest], states: States) -> list[list[WorkRequest]]:
    """Requests whose states have the same shapes, together and in order."""
    groups: dict[tuple[tuple[int, ...], ...], list[WorkRequest]] = {}
    for request in requests:
        shapes = tuple(array.shape for array in states.of(request.slot).values())
        groups.setdefault(shapes, []).append(request)
    return list(groups.values())


def _flag(control: ControlSpec, shape: tuple[int, ...], *, value: bool) -> Array:
    content = control.true_value if value else control.false_value
    return np.full(shape, content, NUMPY[control.datatype])


def _id_tensor(control: ControlSpec, sequence_id: int | str, shape: tuple[int, ...]) -> Array:
    """A correlation id. An integer that the datatype is too narrow for loses its upper bits, as in Triton."""
    if control.datatype == "BYTES":
        return np.full(shape, str(sequence_id).encode(), np.object_)
    number = sequence_id if isinstance(sequence_id, int) else 0
    return np.full(shape, number, np.uint64).astype(NUMPY[control.datatype])
