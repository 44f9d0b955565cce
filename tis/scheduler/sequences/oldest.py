"""The oldest strategy: of every sequence one request at a time is a candidate, and candidates are batched dynamically.

Pure logic. Each instance has a dynamic batcher of its own, which sees the candidates only. A batch has no fillers.
"""

from tis.contracts.model_spec import ModelSpec
from tis.contracts.scheduling_spec import SequenceBatcherSpec
from tis.scheduler.batcher import Batcher, BatchPolicy
from tis.scheduler.instances import Instance
from tis.scheduler.queued import QueuedRequest
from tis.scheduler.sequences.lane import Lane
from tis.scheduler.sequences.sequence import Sequence


class OldestLane(Lane):
    """An instance that batches what its sequences have to offer."""

    def __init__(self, instance: Instance, number: int, spec: ModelSpec, sequences: SequenceBatcherSpec) -> None:
        super().__init__(instance, sequences.max_candidate_sequences or max(spec.max_batch_size, 1), number)
        self._candidates = Batcher(
            BatchPolicy(
                max_items=max(spec.max_batch_size, 1),
                preferred_items=tuple(sorted(sequences.preferred_batch_sizes)),
                max_delay_ns=sequences.max_queue_delay_us * 1000,
                one_request=spec.max_batch_size < 1,
            )
        )
        #: Slots whose request is a candidate or runs, by the request.
        self._busy: dict[int, QueuedRequest] = {}

    def arrived(self, sequence: Sequence, now_ns: int) -> None:
        """Its oldest request becomes a candidate, unless its slot has one or still runs one."""
        slot = sequence.slot
        if slot not in self._busy:
            request = self._busy[slot] = sequence.requests[0]
            request.slot = slot
            self._candidates.add(request, now_ns)

    def withdrawn(self, sequence: Sequence, request: QueuedRequest, now_ns: int) -> None:
        """It may have been the candidate."""
        if self._busy.get(sequence.slot) is request:
            del self._busy[sequence.slot]
            self._candidates.withdraw(request, now_ns)

    def due_ns(self, now_ns: int) -> int | None:  # noqa: ARG002 - other strategies need the time
        """When the instance can take a batch, which may be a little before the last one ends: no sequence is in both."""
        return self.instance.handover_ns() if len(self._candidates) else None

    def take(self, now_ns: int) -> list[QueuedRequest]:
        """What the dynamic batcher gives."""
        batch = self._candidates.cut(now_ns)
        for request in batch:
            sequence = self.occupants[request.slot]
            if sequence is not None:
                sequence.requests.popleft()
        return batch

    def later_ns(self) -> int | None:
        """When the delay is over."""
        return self._candidates.due_ns()

    def ended(self, requests: list[QueuedRequest], now_ns: int) -> None:
        """The next requests of these sequences, or of those that have their slots now, become candidates."""
        for request in requests:
            self._busy.pop(request.slot, None)
            sequence = self.occupants[request.slot]
            if sequence is not None and sequence.requests:
                self.arrived(sequence, now_ns)

    def clear(self) -> None:
        """There are no candidates; what runs still keeps its slot busy."""
        gone = set(self._candidates.drain())
        self._busy = {slot: request for slot, request in self._busy.items() if request not in gone}
