"""The instances of a model version: which can take a batch now, and when the next one can. Pure logic.

An instance runs one batch and may have one more waiting at its door, so that it never idles for a round trip. The second
is handed over late, when the first is about to end, so that until then it can grow in the queue. What waits at a door can
not go to another instance any more: so nothing is bound to one that runs for far longer than usual, nor, where there are
several, to one whose pace is not steady. It stays in the queue for whoever is free first, as in Triton.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Final

import msgspec

from tis.contracts.model_spec import InstanceSpec, ModelSpec
from tis.scheduler.queued import QueuedRequest

#: How long before the expected end of a batch the next one is handed over: this, and more where that is hard to expect.
HANDOVER_LEAD_NS: Final = 1_000_000
_LEAD_SCATTERS: Final = 3
#: But not so much that the next batch could grow for much less than its time.
_LONGEST_LEAD: Final = 1 / 8
_NEWEST_WEIGHT: Final = 0.2
_VOID_ENTRIES: Final = 64
_UNNAMED: Final = InstanceSpec("", "CPU")


class RunningBatch(msgspec.Struct, eq=False):
    """A batch that an instance has, running or next."""

    batch_id: int
    requests: list[QueuedRequest]
    items: int


@dataclass(slots=True, eq=False)
class Instance:
    """A worker that takes batches. The first of `batches` runs; a second waits."""

    peer: int
    spec: InstanceSpec = _UNNAMED
    batches: deque[RunningBatch] = field(default_factory=deque)
    started_ns: int = 0  # when the first of `batches` began, as far as known here
    typical_ns: float = 0.0  # learnt duration of a batch; 0 while unknown
    scatter_ns: float = 0.0  # learnt distance of durations from that
    took_ns: int = 0  # how long the batch took that ended last
    gone: bool = False
    #: It gets nothing new: only sequences that it has begun go on here.
    retiring: bool = False

    def handover_ns(self) -> int | None:
        """When it can take a batch: 0 for at once, None while two are with it or its pace is unknown."""
        held = len(self.batches)
        if held == 0:
            return 0
        if held > 1 or not self.typical_ns:
            return None
        return int(self.started_ns + self.typical_ns - self._lead_ns)

    def is_overdue(self, now_ns: int) -> bool:
        """True where it runs for so much longer than usual that nobody knows when it will end."""
        return now_ns > self.started_ns + max(2 * self.typical_ns, self.typical_ns + HANDOVER_LEAD_NS)

    @property
    def _lead_ns(self) -> float:
        longest_ns = max(self.typical_ns * _LONGEST_LEAD, HANDOVER_LEAD_NS)
        return min(HANDOVER_LEAD_NS + _LEAD_SCATTERS * self.scatter_ns, longest_ns)

    @property
    def is_steady(self) -> bool:
        """True where its batches take about as long as each other."""
        return self.scatter_ns <= self.typical_ns / 2

    def begin(self, batch: RunningBatch, now_ns: int) -> None:
        """Hand a batch over."""
        if not self.batches:
            self.started_ns = now_ns
        self.batches.append(batch)

    def finish(self, batch_id: int, start_ns: int, free_ns: int) -> RunningBatch | None:
        """A batch has ended, and the next could begin; None where it is not known here (it was given up before)."""
        if not self.batches or self.batches[0].batch_id != batch_id:
            return None
        # It may have been prepared while the one before ran.
        took_ns = self.took_ns = free_ns - max(start_ns, min(self.started_ns, free_ns))
        if self.typical_ns:
            self.scatter_ns += _NEWEST_WEIGHT * (abs(took_ns - self.typical_ns) - self.scatter_ns)
        self.typical_ns = (
            self.typical_ns + _NEWEST_WEIGHT * (took_ns - self.typical_ns)
            if self.typical_ns
            else float(max(took_ns, 1))
        )
        self.started_ns = free_ns
        return self.batches.popleft()


class Instances:
    """All instances of a model version. Finding one that can take a batch costs the same however many there are."""

    def __init__(self, *, ahead: bool = True) -> None:
        #: Whether an instance may have a second batch waiting.
        self._ahead: Final = ahead
        self._by_peer: dict[int, Instance] = {}
        #: Those without a batch; the one that has idled longest comes first.
        self._idle: dict[int, Instance] = {}
        #: Those with one batch, by when they can take another; an entry whose time is not the instance's any more is void.
        self._handovers: list[tuple[int, int, Instance]] = []

    def __len__(self) -> int:
        return len(self._by_peer)

    def __iter__(self) -> Iterator[Instance]:
        return iter(self._by_peer.values())

    def add(self, peer: int, spec: InstanceSpec = _UNNAMED) -> Instance:
        """An instance takes batches from now on."""
        instance = self._by_peer.get(peer)
        if instance is None:
            instance = self._by_peer[peer] = self._idle[peer] = Instance(peer, spec)
        return instance

    def respecified(self, spec: ModelSpec) -> None:
        """The specification has other instances from now on."""

    def remove(self, peer: int) -> Instance | None:
        """An instance has gone; returns it with the batches that it had."""
        instance = self._by_peer.pop(peer, None)
        if instance is not None:
            self._idle.pop(peer, None)
            instance.gone = True
        return instance

    def retire(self, peer: int) -> Instance | None:
        """An instance gets nothing new from now on; it ends what it has."""
        instance = self._by_peer.get(peer)
        if instance is not None:
            self._idle.pop(peer, None)
            instance.retiring = True
        return instance

    def get(self, peer: int) -> Instance | None:
        """The instance of a peer."""
        return self._by_peer.get(peer)

    def free(self, now_ns: int) -> Instance | None:
        """An instance that can take a batch now: an idle one first, else the one whose batch ends soonest."""
        for instance in self._idle.values():
            return instance
        at_ns = self._soonest_ns()
        while at_ns is not None and self._handovers[0][2].is_overdue(now_ns):
            # Until its batch has ended; then it is noted anew.
            heappop(self._handovers)
            at_ns = self._soonest_ns()
        return self._handovers[0][2] if at_ns is not None and at_ns <= now_ns else None

    def is_free(self, instance: Instance, now_ns: int) -> bool:
        """True where this very instance can take a batch now."""
        if not instance.batches:
            return not instance.gone
        at_ns = instance.handover_ns() if self._ahead and not instance.is_overdue(now_ns) else None
        return at_ns is not None and at_ns <= now_ns and not instance.gone

    def wake_ns(self) -> int | None:
        """After `free` gave None: when one can be had without waiting for a batch to end."""
        return self._soonest_ns()

    def begin(self, instance: Instance, batch: RunningBatch, now_ns: int) -> None:
        """Hand a batch to an instance."""
        instance.begin(batch, now_ns)
        self._idle.pop(instance.peer, None)
        self._note(instance)

    def finish(self, peer: int, batch_id: int, start_ns: int, free_ns: int) -> tuple[Instance, RunningBatch] | None:
        """A batch has ended; None where it is not known here."""
        instance = self._by_peer.get(peer)
        batch = instance.finish(batch_id, start_ns, free_ns) if instance is not None else None
        if instance is None or batch is None:
            return None
        if instance.batches:
            self._note(instance)
        elif not instance.retiring:
            self._idle[peer] = instance
        return instance, batch

    def _note(self, instance: Instance) -> None:
        at_ns = instance.handover_ns() if self._ahead else None
        if not at_ns or (len(self._by_peer) > 1 and not instance.is_steady):
            return
        if len(self._handovers) > _VOID_ENTRIES + 2 * len(self._by_peer):
            # While there is always an idle instance, nobody takes void entries off the top.
            self._handovers = [each for each in self._handovers if each[2].handover_ns() == each[0]]
            heapify(self._handovers)
        heappush(self._handovers, (at_ns, instance.peer, instance))

    def _soonest_ns(self) -> int | None:
        handovers = self._handovers
        while handovers:
            at_ns, _, instance = handovers[0]
            if not instance.gone and not instance.retiring and instance.handover_ns() == at_ns:
                return at_ns
            heappop(handovers)
        return None
