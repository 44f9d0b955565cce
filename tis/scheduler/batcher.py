"""The queue of a model version under the default scheduler and the dynamic batcher: when to cut a batch. Pure logic.

A batch is cut only when somebody can take it. Which requests share one is said in `forming.py`, in which order they are
served in `lanes.py`, what priorities and timeouts mean in `queue_policies.py`, how a goal sets the delay in
`adaptive_delay.py`.
"""

from collections.abc import Iterable

from tis.contracts.scheduling_spec import DynamicBatcherSpec
from tis.scheduler.adaptive_delay import AdaptiveDelay
from tis.scheduler.forming import BatchPolicy, FormingBatch
from tis.scheduler.instances import Instance, Instances
from tis.scheduler.lanes import Lanes
from tis.scheduler.queue_policies import QueueFullError, QueuePolicies
from tis.scheduler.queued import QueuedRequest, Refusal, timed_out
from tis.scheduler.wakeups import Wakeups, sooner_ns

__all__ = ["BatchPolicy", "Batcher"]


class Batcher:
    """The queue of a model version.

    Each priority level has two lanes: one for requests whose time is not over, and behind it one for those that were
    delayed. The requests that would form the next batch are taken off the lanes as they come, and put back where one
    arrives that goes before them; so a decision costs what its batch costs, however long the queue is.
    """

    def __init__(
        self, policy: BatchPolicy, policies: QueuePolicies | None = None, delay: AdaptiveDelay | None = None
    ) -> None:
        self._policy = policy
        #: Without levels, bounds and timeouts nothing is kept of a request but its place.
        self._is_plain = policies is None
        self._policies = policies or QueuePolicies(DynamicBatcherSpec())
        self._delay = delay
        #: A batch of so many items does not wait to grow.
        self._enough = 1 if policy.one_request and not policy.max_delay_ns else policy.largest_preferred
        self._lanes = Lanes()
        self._batch = FormingBatch(policy)
        #: The request behind the forming batch, where it has been seen that it cannot join.
        self._blocker: QueuedRequest | None = None
        #: Until when requests may wait.
        self._deadlines: Wakeups[QueuedRequest] = Wakeups()
        #: Those that wait in the second lane of their level.
        self._delayed: set[QueuedRequest] = set()
        #: How many wait of each level whose number is bounded.
        self._waiting: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._batch.lanes) + self._lanes.count

    # ---- requests --------------------------------------------------------------------------------------------------

    def add(self, request: QueuedRequest, now_ns: int) -> None:  # noqa: ARG002 - the protocol's
        """Take a request.

        Raises:
            QueueFullError: as many of its level wait as may.
        """
        self._insert(request, 0 if self._is_plain else self._admit(request, bounded=True))

    def withdraw(self, request: QueuedRequest, now_ns: int) -> list[Refusal]:  # noqa: ARG002 - the protocol's
        """Take out a request that has been cancelled."""
        self._take_out(request)
        self._leave((request,))
        return []

    def expire(self, now_ns: int) -> list[Refusal]:
        """Refuse or delay the requests whose time is over, in the order in which it ended."""
        refusals: list[Refusal] = []
        for request in self._deadlines.due(now_ns):
            lane = self._take_out(request)
            if self._policies.policy(lane >> 1).delays:
                self._delayed.add(request)
                self._insert(request, lane | 1)
            else:
                self._leave((request,))
                refusals.append(Refusal(request, timed_out()))
        return refusals

    def drain(self) -> list[QueuedRequest]:
        """Empty the queue: the model is going away."""
        self._put_back()
        everything = self._lanes.drain()
        self._leave(everything)
        return everything

    # ---- batches ---------------------------------------------------------------------------------------------------

    def next_batch(self, instances: Instances, now_ns: int) -> tuple[Instance, list[QueuedRequest]] | None:
        """A batch that is due, and the instance to run it."""
        instance = instances.free(now_ns)
        if instance is None:
            return None
        requests = self.cut(now_ns)
        return (instance, requests) if requests else None

    def wake_ns(self, instances: Instances, now_ns: int) -> int | None:
        """When there will be a batch or somebody's time is over, without another arrival."""
        if not len(self):
            return None
        batch_ns = self.due_ns() if instances.free(now_ns) is not None else instances.wake_ns()
        return sooner_ns(batch_ns, None if self._is_plain else self._deadlines.next_ns())

    def cut(self, now_ns: int) -> list[QueuedRequest]:
        """The next batch for an instance that can take it now; empty to wait (see `due_ns`)."""
        self._blocker = self._lanes.pour(self._batch, self._enough, self._blocker) if self._lanes.count else None
        delay_ns = self._policy.max_delay_ns
        if (delay_ns or self._delay is not None) and (not self._is_plain or self._is_over(now_ns)):
            # A batch whose delay is over may be larger than any preferred size. With lanes, the oldest may be among the
            # last to join.
            self._blocker = self._lanes.pour(self._batch, self._policy.max_items, self._blocker)
        count = self._due(now_ns)
        if not count:
            return []
        batch = self._batch
        if self._delay is not None:
            self._delay.sent(batch.items)
        requests = list(batch.lanes)
        if count < len(requests):
            del requests[count:]
            for request in requests:
                del batch.lanes[request]
            self._put_back()
        else:
            batch.clear()
            self._blocker = None
        if not self._is_plain:
            self._leave(requests)
        return requests

    def due_ns(self) -> int | None:
        """After `cut` gave nothing: when it will, without another arrival; None where only an arrival changes that."""
        oldest = self._batch.oldest
        if oldest is None:
            return None
        if self._delay is not None:
            return self._delay.until_ns
        return oldest.enqueued_ns + self._policy.max_delay_ns

    # ---- instances -------------------------------------------------------------------------------------------------

    def ended(self, instance: Instance, requests: list[QueuedRequest], again: list[QueuedRequest], now_ns: int) -> None:
        """A batch has ended: learn from it, and enqueue anew what is to be run again."""
        if self._delay is not None:
            self._delay.learn(sum(request.items for request in requests), instance.took_ns)
        for request in again:
            request.enqueued_ns = now_ns
            self._insert(request, 0 if self._is_plain else self._admit(request, bounded=False))

    def instance_added(self, instance: Instance) -> None:
        """Nothing here depends on it."""

    def instance_removed(self, instance: Instance, now_ns: int) -> list[Refusal]:  # noqa: ARG002 - the protocol's
        """Every instance can run every request."""
        return []

    def instance_retired(self, instance: Instance) -> None:
        """Nothing here depends on it."""

    def is_bound(self, instance: Instance) -> bool:  # noqa: ARG002 - the protocol's
        """Every instance can run every request."""
        return False

    # ---- when ------------------------------------------------------------------------------------------------------

    def _due(self, now_ns: int) -> int:
        """How many requests of the forming batch to send now."""
        batch = self._batch
        count = len(batch)
        if batch.oldest is None:
            return 0
        if self._delay is None and not self._policy.max_delay_ns:
            return batch.marked or count
        is_over = self._is_over(now_ns)
        if batch.marked and not is_over:
            return batch.marked
        is_closed = self._blocker is not None
        if is_closed or is_over or batch.items >= self._enough:
            return count
        return 0 if self._delay is None or self._delay.waits(batch.items, batch.oldest, now_ns) else count

    def _is_over(self, now_ns: int) -> bool:
        """True where the oldest request of the forming batch has waited as long as it is allowed to at most."""
        oldest = self._batch.oldest
        delay_ns = self._policy.max_delay_ns
        return oldest is not None and delay_ns > 0 and now_ns - oldest.enqueued_ns >= delay_ns

    # ---- the order -------------------------------------------------------------------------------------------------

    def _insert(self, request: QueuedRequest, lane: int) -> None:
        """Put a request where it belongs: mostly behind all others, of which the forming batch may hold all."""
        batch = self._batch
        if lane < batch.last_lane:
            self._put_back()
        elif not self._lanes.count and batch.items < self._enough and batch.join(request, lane):
            return
        self._lanes.add(request, lane)

    def _take_out(self, request: QueuedRequest) -> int:
        """Take out a request that waits, wherever that is; returns its lane."""
        if request in self._batch.lanes:
            self._put_back()
        lane = 2 * self._policies.level(request.infer.wishes)
        if request in self._delayed:
            self._delayed.discard(request)
            lane |= 1
        self._lanes.discard(request, lane)
        return lane

    def _put_back(self) -> None:
        """The forming batch is void: its requests go back to where they were."""
        batch = self._batch
        for request, lane in reversed(batch.lanes.items()):
            self._lanes.put_back(request, lane)
        batch.clear()
        self._blocker = None

    # ---- policies --------------------------------------------------------------------------------------------------

    def _admit(self, request: QueuedRequest, *, bounded: bool) -> int:
        """Note a request with its level; returns its lane."""
        level = self._policies.level(request.infer.wishes)
        policy = self._policies.policy(level)
        if policy.max_queue_size:
            waiting = self._waiting.get(level, 0)
            if bounded and waiting >= policy.max_queue_size:
                raise QueueFullError
            self._waiting[level] = waiting + 1
        deadline_ns = self._policies.deadline_ns(request, policy)
        if deadline_ns is not None:
            self._deadlines.set(request, deadline_ns)
        return 2 * level

    def _leave(self, requests: Iterable[QueuedRequest]) -> None:
        """Requests do not wait any more."""
        if self._is_plain:
            return
        for request in requests:
            self._deadlines.set(request, None)
            self._delayed.discard(request)
            level = self._policies.level(request.infer.wishes)
            waiting = self._waiting.get(level)
            if waiting is None:
                continue
            if waiting > 1:
                self._waiting[level] = waiting - 1
            else:
                del self._waiting[level]
