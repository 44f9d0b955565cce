"""Which lanes have a batch to run, and when others will. Pure logic; no operation costs more for more lanes."""

from collections import OrderedDict

from tis.scheduler.instances import Instances
from tis.scheduler.queued import QueuedRequest
from tis.scheduler.sequences.lane import Lane
from tis.scheduler.wakeups import Wakeups


class DueLanes:
    """Lanes by when they are due."""

    def __init__(self) -> None:
        #: Those to be asked again; those that are due, in order; when others will be.
        self._changed: dict[Lane, None] = {}
        self._due: OrderedDict[Lane, None] = OrderedDict()
        self._later: Wakeups[Lane] = Wakeups()

    def note(self, lane: Lane) -> None:
        """Something has changed that its batches depend on."""
        self._changed[lane] = None

    def forget(self, lane: Lane) -> None:
        """Its instance has gone."""
        self._changed.pop(lane, None)
        self._due.pop(lane, None)
        self._later.set(lane, None)

    def next(self, instances: Instances, now_ns: int) -> tuple[Lane, list[QueuedRequest]] | None:
        """A lane whose instance can run a batch now, and the batch."""
        self._look(now_ns)
        held: list[Lane] = []
        found: tuple[Lane, list[QueuedRequest]] | None = None
        while self._due and found is None:
            lane, _ = self._due.popitem(last=False)
            if not instances.is_free(lane.instance, now_ns):
                held.append(lane)
                continue
            batch = lane.take(now_ns)
            if batch:
                self._changed[lane] = None
                found = lane, batch
            else:
                self._later.set(lane, lane.later_ns())
        for lane in held:
            self._due[lane] = None
        return found

    def next_ns(self) -> int | None:
        """After `next` gave None: when it will give something though nothing happens."""
        return self._later.next_ns()

    def _look(self, now_ns: int) -> None:
        for lane in self._changed:
            at_ns = lane.due_ns(now_ns)
            is_due = at_ns is not None and at_ns <= now_ns
            self._later.set(lane, None if is_due else at_ns)
            if is_due:
                self._due[lane] = None
            else:
                self._due.pop(lane, None)
        self._changed.clear()
        for lane in self._later.due(now_ns):
            self._due[lane] = None
