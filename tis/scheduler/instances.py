"""The instances of a model version: which can take a batch now, and when the next one can. Pure logic.

An instance runs one batch and may have one more waiting at its door, so that it never idles for a round trip. The second
is handed over late, when the first is about to end, so that until then it can grow in the queue.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from tis.scheduler.queued import QueuedRequest

#: How long before the expected end of a batch the next one is handed over.
HANDOVER_LEAD_NS: Final = 1_000_000
_NEWEST_WEIGHT: Final = 0.2


@dataclass(slots=True, eq=False)
class RunningBatch:
    """A batch that an instance has, running or next."""

    batch_id: int
    requests: list[QueuedRequest]
    items: int


@dataclass(slots=True, eq=False)
class Instance:
    """A worker that takes batches. The first of `batches` runs; a second waits."""

    peer: int
    batches: deque[RunningBatch] = field(default_factory=deque)
    started_ns: int = 0  # when the first of `batches` began, as far as known here
    typical_ns: float = 0.0  # learnt duration of a batch; 0 while unknown

    def handover_ns(self) -> int | None:
        """When it can take a batch: 0 for at once, None while two are with it or its pace is unknown."""
        held = len(self.batches)
        if held == 0:
            return 0
        if held > 1 or not self.typical_ns:
            return None
        return int(self.started_ns + self.typical_ns - HANDOVER_LEAD_NS)

    def begin(self, batch: RunningBatch, now_ns: int) -> None:
        """Hand a batch over."""
        if not self.batches:
            self.started_ns = now_ns
        self.batches.append(batch)

    def finish(self, batch_id: int, start_ns: int, end_ns: int) -> RunningBatch | None:
        """A batch has ended; None where it is not known here (it was given up before)."""
        if not self.batches or self.batches[0].batch_id != batch_id:
            return None
        took_ns = end_ns - start_ns
        self.typical_ns = (
            self.typical_ns + _NEWEST_WEIGHT * (took_ns - self.typical_ns)
            if self.typical_ns
            else float(max(took_ns, 1))
        )
        self.started_ns = end_ns
        return self.batches.popleft()


class Instances:
    """All instances of a model version."""

    def __init__(self) -> None:
        self._by_peer: dict[int, Instance] = {}
        self._next_ns: int | None = None

    def __len__(self) -> int:
        return len(self._by_peer)

    def __iter__(self) -> Iterator[Instance]:
        return iter(self._by_peer.values())

    def add(self, peer: int) -> None:
        """An instance takes batches from now on."""
        self._by_peer.setdefault(peer, Instance(peer))

    def remove(self, peer: int) -> list[RunningBatch]:
        """An instance has gone; returns the batches it had."""
        gone = self._by_peer.pop(peer, None)
        return list(gone.batches) if gone else []

    def get(self, peer: int) -> Instance | None:
        """The instance of a peer."""
        return self._by_peer.get(peer)

    def free(self, now_ns: int) -> Instance | None:
        """An instance that can take a batch now: an idle one first, else the one whose batch ends soonest."""
        best: Instance | None = None
        best_ns = self._next_ns = None
        for instance in self._by_peer.values():
            at_ns = instance.handover_ns()
            if at_ns == 0:
                return instance
            if at_ns is not None and (best_ns is None or at_ns < best_ns):
                best, best_ns = instance, at_ns
        if best_ns is not None and best_ns > now_ns:
            self._next_ns = best_ns
            return None
        return best

    def wake_ns(self) -> int | None:
        """After `free` gave None: when one can be had without waiting for a batch to end."""
        return self._next_ns
