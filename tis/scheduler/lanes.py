"""The requests of a queue that wait, in the order in which they are served. No rule of when or why lives here.

Lanes of a lower number come first; within a lane it is first in, first out. A request that is taken out of the middle stays
in its lane as a tombstone until it comes to the front, or until there are more tombstones than others; so each step costs
the same on average, however long a lane is.
"""

from bisect import bisect_left, insort
from collections import deque
from typing import Final

from tis.scheduler.forming import FormingBatch
from tis.scheduler.queued import QueuedRequest

#: So many tombstones are left alone.
_FEW: Final = 64


class _Lane:
    """Requests in order, of which those in `gone` are not there any more. The first one always is."""

    __slots__ = ("gone", "number", "requests")

    def __init__(self, number: int) -> None:
        self.number = number
        self.requests: deque[QueuedRequest] = deque()
        self.gone: set[QueuedRequest] = set()

    def tidy(self) -> None:
        """Remove tombstones from the front."""
        requests, gone = self.requests, self.gone
        while requests and requests[0] in gone:
            gone.discard(requests.popleft())


class Lanes:
    """Lanes of waiting requests; only those that hold something exist."""

    def __init__(self) -> None:
        self._lanes: dict[int, _Lane] = {}
        #: Numbers of the lanes, negated, so that the first to be served is the last here, where lists are fast.
        self._order: list[int] = []
        self._front: _Lane | None = None
        #: How many requests wait.
        self.count = 0

    def pour(self, batch: FormingBatch, most_items: int, blocker: QueuedRequest | None) -> QueuedRequest | None:
        """Let requests join a batch in order, until it has so many items or the next one cannot join.

        Returns the one that cannot, if any; `blocker` is one of which this is known.
        """
        lane = self._front
        while lane is not None and batch.items < most_items:
            requests = lane.requests
            first = requests[0]
            if first is blocker or not batch.join(first, lane.number):
                return first
            requests.popleft()
            self.count -= 1
            if lane.gone:
                lane.tidy()
            if not requests:
                self._drop(lane)
                lane = self._front
        return None

    def add(self, request: QueuedRequest, number: int) -> None:
        """Put a request at the end of a lane."""
        (self._lanes.get(number) or self._open(number)).requests.append(request)
        self.count += 1

    def put_back(self, request: QueuedRequest, number: int) -> None:
        """Put a request at the front of a lane."""
        (self._lanes.get(number) or self._open(number)).requests.appendleft(request)
        self.count += 1

    def discard(self, request: QueuedRequest, number: int) -> None:
        """Take a request out of the lane that holds it."""
        lane = self._lanes[number]
        self.count -= 1
        lane.gone.add(request)
        lane.tidy()
        if len(lane.gone) > _FEW and 2 * len(lane.gone) > len(lane.requests):
            lane.requests = deque(each for each in lane.requests if each not in lane.gone)
            lane.gone.clear()
        if not lane.requests:
            self._drop(lane)

    def drain(self) -> list[QueuedRequest]:
        """Take out everything, in order."""
        lanes = [self._lanes[-number] for number in reversed(self._order)]
        self._lanes.clear()
        self._order.clear()
        self._front, self.count = None, 0
        return [request for lane in lanes for request in lane.requests if request not in lane.gone]

    def _open(self, number: int) -> _Lane:
        lane = self._lanes[number] = _Lane(number)
        insort(self._order, -number)
        self._front = self._lanes[-self._order[-1]]
        return lane

    def _drop(self, lane: _Lane) -> None:
        del self._lanes[lane.number]
        del self._order[bisect_left(self._order, -lane.number)]
        self._front = self._lanes[-self._order[-1]] if self._order else None
