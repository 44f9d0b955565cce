"""Counts and durations of one model version, in the terms of KServe's statistics extension. Pure bookkeeping.

What counts as what follows Triton: a success counts a request, `inference_count` its items, `execution_count` a batch;
a request's compute durations are those of its whole batch; batch statistics go by total items, once an execution.
"""

import time
from dataclasses import dataclass, field

from tis.contracts.messages import (
    FILLER,
    BatchDone,
    BatchStatistics,
    CacheCounts,
    Duration,
    Finished,
    ModelMetrics,
    ModelStatistics,
    Warmup,
)
from tis.contracts.metrics import BACKEND, CANCELED, FAILURE_REASONS, OTHER, REJECTED
from tis.scheduler.instances import RunningBatch
from tis.scheduler.latencies import Latencies
from tis.scheduler.queued import QueuedRequest


@dataclass(slots=True)
class _Total:
    count: int = 0
    ns: int = 0

    def add(self, ns: int, count: int = 1) -> None:
        self.count += count
        self.ns += ns * count

    def add_all(self, ns: int, count: int) -> None:
        """Add what so many took together."""
        self.count += count
        self.ns += ns

    def duration(self) -> Duration:
        return Duration(self.count, self.ns)


@dataclass(slots=True)
class _BatchTotals:
    compute_input: _Total = field(default_factory=_Total)
    compute_infer: _Total = field(default_factory=_Total)
    compute_output: _Total = field(default_factory=_Total)


class Statistics:
    """Everything counted for one loaded model version."""

    def __init__(
        self,
        name: str,
        version: int,
        *,
        namespace: str = "",
        latencies: Latencies | None = None,
        counts_failed_batches: bool = False,
    ) -> None:
        self._name = name
        self._namespace = namespace
        self._version = version
        #: Whether a batch that failed as a whole is an execution: Triton's backends differ in this.
        self._counts_failed_batches = counts_failed_batches
        #: Distributions, for metrics only; None unless the operator wants them.
        self._latencies = latencies
        #: Failures by reason; together they are the failures below.
        self._reasons = dict.fromkeys(FAILURE_REASONS, 0)
        self._last_inference_ms = 0
        self._inference_count = 0
        self._execution_count = 0
        self._success = _Total()
        self._fail = _Total()
        self._queue = _Total()
        self._compute = _BatchTotals()
        self._cache_hit = _Total()
        self._cache_miss = _Total()
        self._batches: dict[int, _BatchTotals] = {}

    def executed(self, batch: RunningBatch, done: BatchDone) -> None:
        """A batch has run; some of its requests may have failed."""
        input_ns = done.input_end_ns - done.start_ns
        infer_ns = done.infer_end_ns - done.input_end_ns
        output_ns = done.end_ns - done.infer_end_ns
        start_ns, end_ns = done.start_ns, done.end_ns
        failed = frozenset(done.failed)
        elsewhere = frozenset((*done.unfinished, *done.rescheduled))
        latencies = self._latencies
        succeeded = answered = items = answered_ns = queued_ns = 0
        for position, request in enumerate(batch.requests):
            infer = request.infer
            if infer.asker == FILLER:
                continue
            took_ns = end_ns - infer.arrival_ns
            if position in failed:
                # A request whose time was over has been cancelled because of that.
                reason = REJECTED if request.expired else CANCELED if position in done.cancelled else BACKEND
                self.failed(took_ns, reason)
                continue
            succeeded += 1
            if request.timed is not None:
                request.timed.computed(input_ns, infer_ns, output_ns)
            items += infer.batch_size or 1
            if position in elsewhere:
                continue
            if request.expired:
                self.failed(took_ns, REJECTED)
                continue
            waited_ns = max(start_ns - request.enqueued_ns, 0)
            answered += 1
            answered_ns += took_ns
            queued_ns += waited_ns
            if latencies is not None:
                latencies.request(took_ns, waited_ns, end_ns)
        self._inference_count += items
        self._success.add_all(answered_ns, answered)
        self._queue.add_all(queued_ns, answered)
        if not succeeded and not self._counts_failed_batches:
            return
        self._compute.compute_input.add(input_ns, succeeded)
        self._compute.compute_infer.add(infer_ns, succeeded)
        self._compute.compute_output.add(output_ns, succeeded)
        if self._latencies is not None and succeeded:
            self._latencies.computed((input_ns, infer_ns, output_ns), succeeded, done.end_ns)
        self._last_inference_ms = time.time_ns() // 1_000_000
        self._execution_count += 1
        totals = self._batches.get(batch.items)
        if totals is None:
            totals = self._batches[batch.items] = _BatchTotals()
        totals.compute_input.add(input_ns)
        totals.compute_infer.add(infer_ns)
        totals.compute_output.add(output_ns)

    def warmed_up(self, warmup: Warmup) -> None:
        """A sample has run before the model was ready: it counts as a batch of requests of one item that did not wait."""
        input_ns = warmup.input_end_ns - warmup.start_ns
        infer_ns = warmup.infer_end_ns - warmup.input_end_ns
        output_ns = warmup.end_ns - warmup.infer_end_ns
        self._success.add(warmup.end_ns - warmup.start_ns, warmup.items)
        self._queue.add(0, warmup.items)
        self._inference_count += warmup.items
        self._compute.compute_input.add(input_ns, warmup.items)
        self._compute.compute_infer.add(infer_ns, warmup.items)
        self._compute.compute_output.add(output_ns, warmup.items)
        self._last_inference_ms = time.time_ns() // 1_000_000
        self._execution_count += 1
        totals = self._batches.setdefault(warmup.items, _BatchTotals())
        totals.compute_input.add(input_ns)
        totals.compute_infer.add(infer_ns)
        totals.compute_output.add(output_ns)

    def finished(self, request: QueuedRequest, done: BatchDone, finished: Finished) -> None:
        """A request of an execution counted before has got its last response."""
        if finished.failed:
            reason = REJECTED if request.expired else BACKEND
            self.failed(finished.end_ns - request.infer.arrival_ns, reason)
        else:
            self._succeeded(request, done.start_ns, finished.end_ns)

    def ran(self, request: QueuedRequest, start_ns: int, end_ns: int) -> None:
        """A request of an ensemble has been answered; how long its steps took is told with `computed`."""
        self._succeeded(request, start_ns, end_ns)
        self._inference_count += request.items
        self._execution_count += 1
        self._last_inference_ms = time.time_ns() // 1_000_000
        for totals in (self._compute, self._batches.setdefault(request.items, _BatchTotals())):
            for total in (totals.compute_input, totals.compute_infer, totals.compute_output):
                total.count += 1

    def computed(self, request: QueuedRequest, input_ns: int, infer_ns: int, output_ns: int) -> None:
        """How long steps of a request took that `ran`; perhaps only some of them."""
        for totals in (self._compute, self._batches[request.items]):
            totals.compute_input.ns += input_ns
            totals.compute_infer.ns += infer_ns
            totals.compute_output.ns += output_ns

    def _succeeded(self, request: QueuedRequest, start_ns: int, end_ns: int) -> None:
        took_ns = end_ns - request.infer.arrival_ns
        if request.expired:
            self.failed(took_ns, REJECTED)
            return
        queue_ns = max(start_ns - request.enqueued_ns, 0)
        self._success.add(took_ns)
        self._queue.add(queue_ns)
        if self._latencies is not None:
            self._latencies.request(took_ns, queue_ns, end_ns)

    def failed(self, took_ns: int, reason: str = OTHER) -> None:
        """A request failed, for one of `FAILURE_REASONS`."""
        self._fail.add(took_ns)
        self._reasons[reason] += 1

    def hit(self, request: QueuedRequest, lookup_ns: int, now_ns: int) -> None:
        """A request was answered from the response cache: a success that waited for nothing and was no execution."""
        took_ns = now_ns - request.infer.arrival_ns
        queue_ns = max(now_ns - request.enqueued_ns, 0)
        self._success.add(took_ns)
        self._queue.add(queue_ns)
        self._cache_hit.add(lookup_ns)
        if self._latencies is not None:
            self._latencies.request(took_ns, queue_ns, now_ns)
            self._latencies.looked_up(lookup_ns, now_ns, hit=True)

    def missed(self, lookup_ns: int, insertion_ns: int, now_ns: int) -> None:
        """A request of which the response cache knew nothing has been answered, and its answer kept."""
        took_ns = lookup_ns + insertion_ns
        self._cache_miss.add(took_ns)
        if self._latencies is not None:
            self._latencies.looked_up(took_ns, now_ns, hit=False)

    def cache_counts(self, now_ns: int) -> CacheCounts:
        """What the response cache did for the model."""
        hit, miss = self._cache_hit, self._cache_miss
        summaries = self._latencies.lookups(now_ns) if self._latencies is not None else ()
        return CacheCounts(hit.count, miss.count, hit.ns // 1000, miss.ns // 1000, summaries)

    def metrics(self, pending: int, now_ns: int) -> ModelMetrics:
        """The same counts as metrics tell them, and how many requests wait."""
        compute = self._compute
        durations = (self._success, self._queue, compute.compute_input, compute.compute_infer, compute.compute_output)
        metrics = ModelMetrics(
            self._name,
            self._version,
            self._success.count,
            tuple(self._reasons.values()),
            self._inference_count,
            self._execution_count,
            tuple(each.ns // 1000 for each in durations),
            pending,
            namespace=self._namespace,
        )
        if self._latencies is not None:
            self._latencies.fill(metrics, now_ns)
        return metrics

    def snapshot(self) -> ModelStatistics:
        """Everything as it stands."""
        return ModelStatistics(
            self._name,
            self._version,
            self._last_inference_ms,
            self._inference_count,
            self._execution_count,
            self._success.duration(),
            self._fail.duration(),
            self._queue.duration(),
            self._compute.compute_input.duration(),
            self._compute.compute_infer.duration(),
            self._compute.compute_output.duration(),
            tuple(
                BatchStatistics(
                    items,
                    totals.compute_input.duration(),
                    totals.compute_infer.duration(),
                    totals.compute_output.duration(),
                )
                for items, totals in sorted(self._batches.items())
            ),
            self._cache_hit.duration(),
            self._cache_miss.duration(),
            self._namespace,
        )
