"""The direct strategy: a sequence's slot is its place in the batch, and an instance runs one batch at a time. Pure logic.

A batch goes from slot 0 to the highest slot with a request; slots between that have none, or one that cannot share the
batch, are stood in for by fillers, which the model sees as not ready.
"""

from math import ceil
from typing import Final

from tis.contracts.messages import MOST_BATCH_BODY_BYTES, MOST_REQUESTS
from tis.contracts.model_spec import ModelSpec
from tis.contracts.scheduling_spec import SequenceBatcherSpec
from tis.scheduler.instances import Instance
from tis.scheduler.queued import QueuedRequest, filler
from tis.scheduler.sequences.lane import Lane
from tis.scheduler.sequences.sequence import Sequence

#: The config has the utilization in 32 bits: 0.3 is a little more than 0.3 there.
_ROUNDING: Final = 1e-6


class DirectLane(Lane):
    """An instance whose batches are made of its slots."""

    def __init__(self, instance: Instance, number: int, spec: ModelSpec, sequences: SequenceBatcherSpec) -> None:
        slots = max(spec.max_batch_size, 1)
        super().__init__(instance, slots, number)
        self._filler: Final = filler(spec.name, spec.version)
        #: Slots with a request that waits.
        self._ready: set[int] = set()
        self._delay_ns: Final = sequences.max_queue_delay_us * 1000 if sequences.minimum_slot_utilization else 0
        #: How many ready slots run without delay.
        self._enough: Final = ceil(sequences.minimum_slot_utilization * slots - _ROUNDING)

    def arrived(self, sequence: Sequence, now_ns: int) -> None:  # noqa: ARG002 - other strategies need the time
        """Its slot is ready."""
        self._ready.add(sequence.slot)

    def withdrawn(self, sequence: Sequence, request: QueuedRequest, now_ns: int) -> None:  # noqa: ARG002
        """Its slot may have nothing to run any more."""
        if not sequence.requests:
            self._ready.discard(sequence.slot)

    def due_ns(self, now_ns: int) -> int | None:  # noqa: ARG002
        """Once the last batch has ended: at once, or when enough slots are ready or the oldest request has waited enough."""
        if self.instance.batches or not self._ready:
            return None
        if not self._delay_ns or len(self._ready) >= self._enough:
            return 0
        return self._oldest().enqueued_ns + self._delay_ns

    def take(self, now_ns: int) -> list[QueuedRequest]:  # noqa: ARG002
        """A request of every ready slot that can share a batch with the oldest one; fillers for the others.

        Triton lets the lowest slot lead, which may keep others waiting for ever where the shapes differ.
        """
        leader = self._oldest()
        key = leader.infer.batch_key
        room_bytes = MOST_BATCH_BODY_BYTES - len(memoryview(leader.infer.body))
        room = MOST_REQUESTS - 1
        batch: list[QueuedRequest] = []
        for slot in range(max(self._ready) + 1):
            sequence = self.occupants[slot] if slot in self._ready else None
            head = sequence.requests[0] if sequence is not None else None
            if sequence is None or head is None or (head is not leader and head.infer.batch_key != key):
                batch.append(self._filler)
                continue
            if head is not leader:
                size_bytes = len(memoryview(head.infer.body))
                if not room or size_bytes > room_bytes:
                    batch.append(self._filler)
                    continue
                room -= 1
                room_bytes -= size_bytes
            sequence.requests.popleft()
            if not sequence.requests:
                self._ready.discard(slot)
            head.slot = slot
            batch.append(head)
        return batch

    def later_ns(self) -> int | None:
        """A batch that was due is always given."""
        return None

    def ended(self, requests: list[QueuedRequest], now_ns: int) -> None:  # noqa: ARG002
        """Slots whose sequences got a request back are ready."""
        for request in requests:
            sequence = self.occupants[request.slot]
            if sequence is not None and sequence.requests:
                self._ready.add(request.slot)

    def clear(self) -> None:
        """No slot is ready."""
        self._ready.clear()

    def _oldest(self) -> QueuedRequest:
        heads = (self.occupants[slot] for slot in sorted(self._ready))
        return min((each.requests[0] for each in heads if each is not None), key=lambda head: head.enqueued_ns)
