"""Counts and durations of one model version, in the terms of KServe's statistics extension. Pure bookkeeping.

What counts as what follows Triton: a success counts a request, `inference_count` its items, `execution_count` a batch;
a request's compute durations are those of its whole batch; batch statistics go by total items, once an execution.
"""

import time
from dataclasses import dataclass, field

from tis.contracts.messages import BatchDone, BatchStatistics, Duration, ModelStatistics
from tis.scheduler.instances import RunningBatch


@dataclass(slots=True)
class _Total:
    count: int = 0
    ns: int = 0

    def add(self, ns: int, count: int = 1) -> None:
        self.count += count
        self.ns += ns * count

    def duration(self) -> Duration:
        return Duration(self.count, self.ns)


@dataclass(slots=True)
class _BatchTotals:
    compute_input: _Total = field(default_factory=_Total)
    compute_infer: _Total = field(default_factory=_Total)
    compute_output: _Total = field(default_factory=_Total)


class Statistics:
    """Everything counted for one loaded model version."""

    def __init__(self, name: str, version: int) -> None:
        self._name = name
        self._version = version
        self._last_inference_ms = 0
        self._inference_count = 0
        self._execution_count = 0
        self._success = _Total()
        self._fail = _Total()
        self._queue = _Total()
        self._compute = _BatchTotals()
        self._batches: dict[int, _BatchTotals] = {}

    def executed(self, batch: RunningBatch, done: BatchDone) -> None:
        """A batch has run; some of its requests may have failed."""
        input_ns = done.input_end_ns - done.start_ns
        infer_ns = done.infer_end_ns - done.input_end_ns
        output_ns = done.end_ns - done.infer_end_ns
        failed = set(done.failed)
        succeeded = 0
        for position, request in enumerate(batch.requests):
            took_ns = done.end_ns - request.infer.arrival_ns
            if position in failed:
                self._fail.add(took_ns)
                continue
            succeeded += 1
            self._success.add(took_ns)
            self._queue.add(max(done.start_ns - request.enqueued_ns, 0))
            self._inference_count += request.items
        if not succeeded:
            return
        self._compute.compute_input.add(input_ns, succeeded)
        self._compute.compute_infer.add(infer_ns, succeeded)
        self._compute.compute_output.add(output_ns, succeeded)
        self._last_inference_ms = time.time_ns() // 1_000_000
        self._execution_count += 1
        totals = self._batches.get(batch.items)
        if totals is None:
            totals = self._batches[batch.items] = _BatchTotals()
        totals.compute_input.add(input_ns)
        totals.compute_infer.add(infer_ns)
        totals.compute_output.add(output_ns)

    def failed(self, took_ns: int) -> None:
        """A request failed without having run to its end: its worker died, or its client went away."""
        self._fail.add(took_ns)

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
        )
