"""Until when requests are to be answered, where their `timeout` covers their execution: an extension, see docs. Pure.

How long a request may wait by the policy of its queue is in `queue_policies.py`.
"""

from tis.contracts.messages import BatchDone
from tis.scheduler.queued import QueuedRequest
from tis.scheduler.wakeups import Wakeups


class Deadlines:
    """The requests of a model version that have a timeout, from their arrival to their last response."""

    def __init__(self) -> None:
        self._wakeups: Wakeups[QueuedRequest] = Wakeups()

    def add(self, request: QueuedRequest) -> None:
        """A request has been taken; its time counts from its arrival at the frontend."""
        wishes = request.infer.wishes
        if wishes is not None and wishes.timeout_us:
            self._wakeups.set(request, request.infer.arrival_ns + wishes.timeout_us * 1000)

    def forget(self, request: QueuedRequest) -> None:
        """A request has got its last response."""
        self._wakeups.set(request, None)

    def ended(self, requests: list[QueuedRequest], done: BatchDone, now_ns: int) -> None:
        """A batch is done. A request that is to run once more though its time is over is due again, as one that waits."""
        open_positions = {*done.unfinished, *done.rescheduled}
        for position, request in enumerate(requests):
            if position not in open_positions:
                self._wakeups.set(request, None)
        for position in done.rescheduled:
            if requests[position].expired:
                self._wakeups.set(requests[position], now_ns)

    def next_ns(self) -> int | None:
        """When the next request's time is over."""
        return self._wakeups.next_ns()

    def due(self, now_ns: int) -> list[QueuedRequest]:
        """Requests whose time is over, each once."""
        return self._wakeups.due(now_ns)
