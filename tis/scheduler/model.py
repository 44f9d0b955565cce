"""The scheduling of one model version: its queue, its instances, its statistics. Pure logic; the clock is an argument.

Which requests form a batch is the queue's to say (`request_queue.py`); ensembles, which have no instances, are scheduled
in `ensembles/`. Both offer the same to the loop, which knows no more of them.
"""

from collections.abc import Iterable, Iterator
from itertools import count

from tis.contracts.messages import BatchDone, Cancel, Expired, Failure, Finished, ModelMetrics
from tis.contracts.metrics import BACKEND, CANCELED, OTHER, REJECTED
from tis.contracts.model_spec import InstanceSpec, ModelSpec
from tis.errors import Code, TisError, unavailable
from tis.scheduler.adaptive_delay import AdaptiveDelay
from tis.scheduler.batcher import Batcher, BatchPolicy
from tis.scheduler.deadlines import Deadlines
from tis.scheduler.decisions import Answer, Decision, Run, Tell
from tis.scheduler.instances import Instances, RunningBatch
from tis.scheduler.latencies import Latencies
from tis.scheduler.limited_instances import LimitedInstances
from tis.scheduler.queue_policies import QueueFullError, QueuePolicies
from tis.scheduler.queued import QueuedRequest, Refusal, timed_out
from tis.scheduler.rate_limiter import RateLimiter
from tis.scheduler.request_queue import RequestQueue
from tis.scheduler.sequences.queue import SequenceQueue
from tis.scheduler.statistics import Statistics
from tis.scheduler.wakeups import sooner_ns

_CANCELLED_TEXT = "the request was cancelled"
_batch_ids = count(1)


def policy_of(spec: ModelSpec) -> BatchPolicy:
    """How a model's batches are formed, from its specification."""
    if spec.batcher is None or spec.max_batch_size < 1:
        return BatchPolicy(max_items=max(spec.max_batch_size, 1), one_request=True)
    return BatchPolicy(
        max_items=spec.max_batch_size,
        preferred_items=tuple(sorted(spec.batcher.preferred_batch_sizes)),
        max_delay_ns=spec.batcher.max_queue_delay_us * 1000,
    )


def queue_of(spec: ModelSpec) -> RequestQueue:
    """The kind of queue that a model asks for."""
    if spec.sequences is not None:
        return SequenceQueue(spec, spec.sequences)
    policy = policy_of(spec)
    goal_ns = spec.extensions.latency_goal_us * 1000
    delay = AdaptiveDelay(goal_ns, policy.max_delay_ns) if goal_ns and not policy.one_request else None
    return Batcher(policy, QueuePolicies.of(spec.batcher), delay)


def runs_ahead(spec: ModelSpec) -> bool:
    """Whether an instance may be given a batch before it is done with the one it has.

    Not where requests have priorities, may wait only so long, or only so many of them: such a batch would not count as
    waiting any more. Triton makes the same difference.
    """
    return QueuePolicies.of(spec.batcher) is None


class ModelScheduler:
    """Queues requests for one model version and hands batches to its instances."""

    def __init__(
        self,
        spec: ModelSpec,
        latencies: Latencies | None = None,
        limiter: RateLimiter | None = None,
    ) -> None:
        self.spec = spec
        self.instances = Instances(ahead=runs_ahead(spec)) if limiter is None else LimitedInstances(limiter, spec)
        self.statistics = Statistics(
            spec.name,
            spec.version,
            namespace=spec.namespace,
            latencies=latencies,
            counts_failed_batches=spec.runs_python,
        )
        self._queue = queue_of(spec)
        #: Only where a request's `timeout` covers its execution.
        self._deadlines = Deadlines() if spec.extensions.timeout_covers_execution else None
        #: Requests that a worker still answers though their batch is done, by batch and position, and the batch's times.
        self._unfinished: dict[tuple[int, int], tuple[QueuedRequest, BatchDone]] = {}

    @property
    def queued(self) -> int:
        """How many requests wait."""
        return len(self._queue)

    @property
    def idle(self) -> bool:
        """True where nothing waits, runs or is still to be answered."""
        if isinstance(self._queue, SequenceQueue) and self._queue.lingers:
            return False
        return not len(self._queue) and not self._unfinished and not any(each.batches for each in self.instances)

    @property
    def pinned(self) -> tuple[()]:
        """Its requests need no other model."""
        return ()

    # ---- requests --------------------------------------------------------------------------------------------------

    def add(self, request: QueuedRequest, now_ns: int) -> Iterable[Decision]:
        """Enqueue a request.

        Raises:
            TisError: it is refused.
        """
        decisions: list[Decision] = []
        try:
            self._queue.add(request, now_ns)
        except QueueFullError as full:
            # An instance may be free and the queue about to be cut: many requests are taken in before it is looked at.
            decisions += self.dispatch(now_ns)
            try:
                self._queue.add(request, now_ns)
            except QueueFullError:
                if not decisions:
                    raise
                failure = Failure(request.infer.request_id, full.code, full.message)
                return [*decisions, Answer(request, failure)]
        if self._deadlines is not None:
            self._deadlines.add(request)
        return decisions

    def cancel(self, request: QueuedRequest, now_ns: int) -> Iterator[Decision]:
        """The client of a request has gone: drop it if it waits, else let the worker know."""
        if request.cancelled:
            return
        request.cancelled = True
        if request.peer:
            yield Tell(request.peer, Cancel(request.infer.request_id, request.infer.asker))
            return
        lost = self._queue.withdraw(request, now_ns)
        yield self._refused(Refusal(request, TisError(Code.CANCELLED, _CANCELLED_TEXT)), now_ns)
        for refusal in lost:
            yield self._refused(refusal, now_ns)

    def close(self, now_ns: int) -> Iterator[Decision]:
        """The model version is going away: what waits is refused."""
        text = f"Request for unknown model: '{self.spec.identifier}' version {self.spec.version} is not at ready state"
        for request in self._queue.drain():
            yield self._refused(Refusal(request, unavailable(text)), now_ns, OTHER)

    def dispatch(self, now_ns: int) -> Iterator[Decision]:
        """Refuse what has waited too long, and hand over the batches that are due to the instances that can take them."""
        queue = self._queue
        for refusal in queue.expire(now_ns):
            yield self._refused(refusal, now_ns)
        if self._deadlines is not None:
            for request in self._deadlines.due(now_ns):
                yield from self._expire(request, now_ns)
        while len(queue):
            due = queue.next_batch(self.instances, now_ns)
            if due is None:
                return
            instance, requests = due
            items = 0
            for request in requests:
                request.peer = instance.peer
                items += request.infer.batch_size or 1
            batch = RunningBatch(next(_batch_ids), requests, items)
            self.instances.begin(instance, batch, now_ns)
            yield Run(instance.peer, batch)

    def wake_ns(self, now_ns: int) -> int | None:
        """When `dispatch` should be called again though nothing happens; None for never. Call it after `dispatch`."""
        wake_ns = self._queue.wake_ns(self.instances, now_ns)
        return wake_ns if self._deadlines is None else sooner_ns(wake_ns, self._deadlines.next_ns())

    # ---- instances -------------------------------------------------------------------------------------------------

    def instance_up(self, peer: int, number: int = 0, spec: InstanceSpec | None = None) -> None:
        """An instance takes batches from now on; `number` is its place in the specification, where that has it."""
        specs = self.spec.instances
        known = len(self.instances)
        spec = spec or (specs[number] if number < len(specs) else None)
        instance = self.instances.add(peer, spec) if spec is not None else self.instances.add(peer)
        if len(self.instances) > known:
            self._queue.instance_added(instance)

    def has_sequence(self, sequence_id: int | str) -> bool:
        """True where a further request may join the sequence of this correlation id."""
        return isinstance(self._queue, SequenceQueue) and self._queue.has(sequence_id)

    def linger(self) -> None:
        """Not to be idle before all sequences have ended or idled out."""
        if isinstance(self._queue, SequenceQueue):
            self._queue.linger()

    def respecified(self, spec: ModelSpec) -> None:
        """The specification has other instances; they come and leave by themselves."""
        self.spec = spec
        self.instances.respecified(spec)

    def retire_instance(self, peer: int) -> None:
        """An instance gets nothing new from now on; sequences that it has begun go on there."""
        instance = self.instances.retire(peer)
        if instance is not None:
            self._queue.instance_retired(instance)

    def is_instance_idle(self, peer: int) -> bool:
        """True where an instance has nothing left, or is gone."""
        instance = self.instances.get(peer)
        if instance is None:
            return True
        answers = any(done.instance == peer for _, done in self._unfinished.values())
        return not (instance.batches or answers or self._queue.is_bound(instance))

    def running(self) -> list[tuple[int, int]]:
        """Instances that have something to do, and since when their batch runs; 0 where they only have to answer."""
        found = {done.instance: 0 for _, done in self._unfinished.values()}
        found.update((each.peer, each.started_ns) for each in self.instances if each.batches)
        return list(found.items())

    def done(self, done: BatchDone, now_ns: int) -> list[QueuedRequest]:
        """A batch has run; returns the requests that are finished with it."""
        found = self.instances.finish(done.instance, done.batch_id, done.start_ns, done.free_ns or done.end_ns)
        if found is None:
            return []
        instance, batch = found
        self.statistics.executed(batch, done)
        requests = batch.requests
        if self._deadlines is not None:
            self._deadlines.ended(requests, done, now_ns)
        if not done.unfinished and not done.rescheduled:
            self._queue.ended(instance, requests, [], now_ns)
            return requests
        for position in done.unfinished:
            self._unfinished[(batch.batch_id, position)] = (requests[position], done)
        again = [requests[position] for position in done.rescheduled]
        for request in again:
            request.peer = 0
        self._queue.ended(instance, requests, again, now_ns)
        open_positions = {*done.unfinished, *done.rescheduled}
        return [request for position, request in enumerate(requests) if position not in open_positions]

    def finished(self, finished: Finished) -> QueuedRequest | None:
        """The last response to a request has been sent after its batch was done."""
        request, done = self._unfinished.pop((finished.batch_id, finished.position), (None, None))
        if request is not None and done is not None:
            self.statistics.finished(request, done, finished)
            if self._deadlines is not None:
                self._deadlines.forget(request)
        return request

    def instance_gone(self, peer: int, reason: str, now_ns: int) -> Iterator[Decision]:
        """An instance has died: the requests that it had fail with it, and those that only it could have run."""
        instance = self.instances.remove(peer)
        if instance is None:
            return
        lost = [request for batch in instance.batches for request in batch.requests if not request.is_filler]
        late = [key for key, (_, done) in self._unfinished.items() if done.instance == peer]
        lost += [self._unfinished.pop(key)[0] for key in late]
        text = f"the instance of model '{self.spec.name}' that ran this request has died ({reason}); try again"
        for request in lost:
            yield self._refused(Refusal(request, unavailable(text)), now_ns, BACKEND)
        for refusal in self._queue.instance_removed(instance, now_ns):
            yield self._refused(refusal, now_ns, BACKEND)

    def metrics(self, now_ns: int) -> ModelMetrics:
        """What metrics tell of it."""
        metrics = self.statistics.metrics(len(self._queue), now_ns)
        metrics.tags = self.spec.metric_tags
        return metrics

    # ---- within ----------------------------------------------------------------------------------------------------

    def _expire(self, request: QueuedRequest, now_ns: int) -> Iterator[Decision]:
        """The time of a request is over, in which it should have been answered."""
        infer = request.infer
        if request.cancelled:
            return
        if request.peer:
            request.expired = True
            asker, number = request.origin or request.key
            yield Tell(asker, Expired(number))
            yield Tell(request.peer, Cancel(infer.request_id, infer.asker))
            return
        request.cancelled = True
        lost = self._queue.withdraw(request, now_ns)
        yield self._refused(Refusal(request, timed_out()), now_ns)
        for refusal in lost:
            yield self._refused(refusal, now_ns)

    def _refused(self, refusal: Refusal, now_ns: int, reason: str | None = None) -> Refusal:
        """Count a request that was accepted and will not run."""
        if self._deadlines is not None:
            self._deadlines.forget(refusal.request)
        if refusal.request.expired:
            reason = REJECTED
        elif reason is None:
            reason = CANCELED if refusal.error.code is Code.CANCELLED else REJECTED
        self.statistics.failed(now_ns - refusal.request.infer.arrival_ns, reason)
        return refusal
