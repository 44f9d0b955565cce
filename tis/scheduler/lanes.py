"""The requests of a queue that wait, in the order in which they are served. No rule of when or why lives here.

Lanes of a lower number come first; within a lane it is first in, first out. Taking a request out of the middle costs the
same however long its lane is.
"""

from bisect import bisect_left, insort
from collections import OrderedDict

from tis.scheduler.queued import QueuedRequest


class Lanes:
    """Lanes of waiting requests; only those that hold something exist."""

    def __init__(self) -> None:
        self._lanes: dict[int, OrderedDict[QueuedRequest, None]] = {}
        #: Numbers of the lanes, negated, so that the first to be served is the last here, where lists are fast.
        self._order: list[int] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def first(self) -> QueuedRequest | None:
        """The request to be served next."""
        return next(iter(self._lanes[-self._order[-1]])) if self._order else None

    def take_first(self) -> tuple[QueuedRequest, int]:
        """Take out the request to be served next; also the number of its lane."""
        lane = -self._order[-1]
        requests = self._lanes[lane]
        request, _ = requests.popitem(last=False)
        self._count -= 1
        if not requests:
            del self._lanes[lane]
            self._order.pop()
        return request, lane

    def add(self, request: QueuedRequest, lane: int) -> None:
        """Put a request at the end of a lane."""
        self._lane(lane)[request] = None
        self._count += 1

    def put_back(self, request: QueuedRequest, lane: int) -> None:
        """Put a request at the front of a lane."""
        requests = self._lane(lane)
        requests[request] = None
        requests.move_to_end(request, last=False)
        self._count += 1

    def discard(self, request: QueuedRequest, lane: int) -> bool:
        """Take a request out of a lane; False where it is not in it."""
        requests = self._lanes.get(lane)
        if requests is None or request not in requests:
            return False
        del requests[request]
        self._count -= 1
        if not requests:
            del self._lanes[lane]
            del self._order[bisect_left(self._order, -lane)]
        return True

    def drain(self) -> list[QueuedRequest]:
        """Take out everything, in order."""
        everything = [request for lane in reversed(self._order) for request in self._lanes[-lane]]
        self._lanes.clear()
        self._order.clear()
        self._count = 0
        return everything

    def _lane(self, lane: int) -> OrderedDict[QueuedRequest, None]:
        requests = self._lanes.get(lane)
        if requests is None:
            requests = self._lanes[lane] = OrderedDict()
            insort(self._order, -lane)
        return requests
