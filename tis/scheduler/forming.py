"""The next batch as it forms at the front of a queue: which requests share it, and which sizes of it are preferred.

The rules are Triton's (dynamic_batch_scheduler): requests join in order and whole, until the next one would make the batch
too large or differs in its batch key. When the batch is sent is the batcher's to say.
"""

from dataclasses import dataclass

from tis.contracts.messages import MOST_BATCH_BODY_BYTES, MOST_REQUESTS
from tis.scheduler.queued import QueuedRequest


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How batches are formed. `max_items` 1 with `one_request` is the default scheduler: an execution a request."""

    max_items: int
    preferred_items: tuple[int, ...] = ()
    max_delay_ns: int = 0
    one_request: bool = False

    @property
    def largest_preferred(self) -> int:
        """No batch of this size or larger waits to grow."""
        return self.preferred_items[-1] if self.preferred_items else self.max_items


class FormingBatch:
    """The requests that would be the next batch."""

    def __init__(self, policy: BatchPolicy) -> None:
        self._policy = policy
        self._preferred = policy.preferred_items
        self._most_requests = 1 if policy.one_request else MOST_REQUESTS
        #: The lane that each was taken from, in order.
        self.lanes: dict[QueuedRequest, int] = {}
        self.last_lane = -1
        self.items = 0
        #: How many of the requests make up a preferred size; 0 for none.
        self.marked = 0
        #: The one that was enqueued first, which need not be the first to be served.
        self.oldest: QueuedRequest | None = None
        self._key = b""
        self._body_bytes = 0

    def __len__(self) -> int:
        return len(self.lanes)

    def join(self, request: QueuedRequest, lane: int) -> bool:
        """Let the request next in order join; False where it cannot."""
        infer = request.infer
        items = self.items + (infer.batch_size or 1)
        body_bytes = self._body_bytes + len(memoryview(infer.body))
        oldest = self.oldest
        if oldest is None:
            self._key = infer.batch_key
            self.oldest = request
        else:
            count = len(self.lanes)
            if (
                items > self._policy.max_items
                or count >= self._most_requests
                or body_bytes > MOST_BATCH_BODY_BYTES
                or infer.batch_key != self._key
            ):
                return False
            if self._preferred and not self.marked and items > self._preferred[-1]:
                self.marked = count
            if request.enqueued_ns < oldest.enqueued_ns:
                self.oldest = request
        self.lanes[request] = lane
        self.last_lane = lane
        self.items = items
        self._body_bytes = body_bytes
        if items in self._preferred:
            self.marked = len(self.lanes)
        return True

    def clear(self) -> None:
        """Begin anew."""
        self.lanes.clear()
        self.last_lane = -1
        self.items = self.marked = self._body_bytes = 0
        self.oldest = None
