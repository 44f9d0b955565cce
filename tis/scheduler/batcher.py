"""When to cut a batch, and of what: the queue of one model version. Pure logic; the clock is an argument.

The rules are Triton's (dynamic_batch_scheduler): a batch is cut only when somebody can take it; a request is never split
and never overtakes another; a batch never holds more items than the model's limit, nor requests whose batch keys differ.
Priorities, queue policies and timeouts will live beside this, not in it.
"""

from collections import deque
from dataclasses import dataclass

from tis.contracts.messages import MOST_BATCH_BODY_BYTES
from tis.scheduler.instances import Instance, Instances
from tis.scheduler.queued import QueuedRequest, Refusal

#: Requests in one batch at most, whatever their sizes, so that a batch fits one packet of the carrier.
MOST_REQUESTS = 512


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How batches are formed. `max_items` 1 with `one_request` is the default scheduler: an execution a request."""

    max_items: int
    preferred_items: tuple[int, ...] = ()
    max_delay_ns: int = 0
    one_request: bool = False


class Batcher:
    """The queue of a model version.

    The head of the queue that would form the next batch is kept up to date as requests arrive, so that a decision costs
    the same however long the queue is.
    """

    def __init__(self, policy: BatchPolicy) -> None:
        self._policy = policy
        self._queue: deque[QueuedRequest] = deque()
        self._cancelled = 0
        # The head of the queue that is gathered for the next batch.
        self._gathered = 0
        self._items = 0
        self._body_bytes = 0
        self._marked = 0  # requests of the gathered head that make up a preferred size; 0 for none
        self._closed = False  # the request behind the gathered head cannot join

    def __len__(self) -> int:
        return len(self._queue) - self._cancelled

    def add(self, request: QueuedRequest, now_ns: int) -> None:  # noqa: ARG002 - the protocol's
        """Append a request."""
        self._queue.append(request)
        if not self._closed and self._gathered == len(self._queue) - 1:
            self._gather(request)

    def withdraw(self, request: QueuedRequest, now_ns: int) -> list[Refusal]:  # noqa: ARG002 - the protocol's
        """One queued request has been marked cancelled; it will leave the queue when the batch is formed again."""
        self._cancelled += 1
        self._reset()
        return []

    def expire(self, now_ns: int) -> list[Refusal]:  # noqa: ARG002 - the protocol's
        """No request has a time."""
        return []

    def ended(self, instance: Instance, requests: list[QueuedRequest], again: list[QueuedRequest], now_ns: int) -> None:
        """Nothing here depends on it."""

    def instance_added(self, instance: Instance) -> None:
        """Nothing here depends on it."""

    def instance_removed(self, instance: Instance, now_ns: int) -> list[Refusal]:  # noqa: ARG002 - the protocol's
        """Every instance can run every request."""
        return []

    def next_batch(self, instances: Instances, now_ns: int) -> tuple[Instance, list[QueuedRequest]] | None:
        """A batch that is due, and the instance to run it."""
        instance = instances.free(now_ns)
        if instance is None:
            return None
        requests = self.cut(now_ns)
        return (instance, requests) if requests else None

    def wake_ns(self, instances: Instances, now_ns: int) -> int | None:
        """When there will be a batch without another arrival."""
        if not len(self):
            return None
        return self.due_ns() if instances.free(now_ns) is not None else instances.wake_ns()

    def drain(self) -> list[QueuedRequest]:
        """Empty the queue: the model is going away."""
        everything = [request for request in self._queue if not request.cancelled]
        self._queue.clear()
        self._cancelled = 0
        self._reset()
        return everything

    def cut(self, now_ns: int) -> list[QueuedRequest]:
        """The next batch for an instance that can take it now; empty to wait (see `due_ns`)."""
        self._regather()
        count = self._due(now_ns)
        if not count:
            return []
        queue = self._queue
        batch = [queue.popleft() for _ in range(count)]
        self._reset()
        return batch

    def due_ns(self) -> int | None:
        """When `cut` will give a batch without another arrival; None where only an arrival changes anything."""
        if not self._queue:
            return None
        return self._queue[0].enqueued_ns + self._policy.max_delay_ns

    def _due(self, now_ns: int) -> int:
        """How many requests of the gathered head to send now."""
        if not self._gathered:
            return 0
        policy = self._policy
        delay_over = now_ns - self._queue[0].enqueued_ns >= policy.max_delay_ns
        if self._marked and (not delay_over or policy.max_delay_ns == 0):
            return self._marked
        largest_preferred = policy.preferred_items[-1] if policy.preferred_items else policy.max_items
        if self._closed or delay_over or self._items >= largest_preferred:
            return self._gathered
        return 0

    def _regather(self) -> None:
        """Gather the head anew after a cut or a cancellation."""
        if self._gathered or not self._queue:
            return
        if self._cancelled:
            self._queue = deque(request for request in self._queue if not request.cancelled)
            self._cancelled = 0
        for request in self._queue:
            if self._closed:
                break
            self._gather(request)

    def _gather(self, request: QueuedRequest) -> None:
        """Let the request behind the gathered head join it, or close the head."""
        policy = self._policy
        items = self._items + request.items
        body_bytes = self._body_bytes + len(memoryview(request.infer.body))
        if self._gathered and (
            policy.one_request
            or items > policy.max_items
            or self._gathered >= MOST_REQUESTS
            or body_bytes > MOST_BATCH_BODY_BYTES
            or request.infer.batch_key != self._queue[0].infer.batch_key
        ):
            self._closed = True
            return
        if policy.preferred_items and items > policy.preferred_items[-1] and self._gathered and not self._marked:
            self._marked = self._gathered
        self._gathered += 1
        self._items = items
        self._body_bytes = body_bytes
        if items in policy.preferred_items:
            self._marked = self._gathered

    def _reset(self) -> None:
        self._gathered = self._items = self._body_bytes = self._marked = 0
        self._closed = False
