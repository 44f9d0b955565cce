"""The scheduling of one model version: its queue, its instances, its statistics. Pure logic; the clock is an argument.

Other kinds of scheduler (sequences, ensembles) will offer what `ModelScheduler` offers; the loop knows no more of it.
"""

from collections.abc import Iterator
from itertools import count

from tis.contracts.messages import BatchDone, Infer, ModelMetrics
from tis.contracts.metrics import BACKEND, CANCELED
from tis.contracts.model_spec import ModelSpec
from tis.scheduler.batcher import Batcher, BatchPolicy
from tis.scheduler.instances import Instances, RunningBatch
from tis.scheduler.latencies import Latencies
from tis.scheduler.queued import QueuedRequest
from tis.scheduler.statistics import Statistics

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


class ModelScheduler:
    """Queues requests for one model version and hands batches to its instances."""

    def __init__(self, spec: ModelSpec, latencies: Latencies | None = None) -> None:
        self.spec = spec
        self.instances = Instances()
        self.statistics = Statistics(
            spec.name, spec.version, latencies=latencies, counts_failed_batches=spec.backend == "python"
        )
        self._batcher = Batcher(policy_of(spec))
        self._waiting: dict[tuple[int, int], QueuedRequest] = {}

    @property
    def queued(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    def add(self, infer: Infer, now_ns: int) -> None:
        """Enqueue a request."""
        request = QueuedRequest(infer, now_ns)
        self._waiting[(infer.asker, infer.request_id)] = request
        self._batcher.add(request)

    def cancel(self, asker: int, request_id: int, now_ns: int) -> bool:
        """Drop a request that still waits; False where it does not (it runs, or is done)."""
        request = self._waiting.pop((asker, request_id), None)
        if request is None:
            return False
        request.cancelled = True
        self._batcher.cancelled()
        self.statistics.failed(now_ns - request.infer.arrival_ns, CANCELED)
        return True

    def cancel_all_of(self, asker: int, now_ns: int) -> None:
        """Drop whatever waits for an asker that has died."""
        for key in [key for key in self._waiting if key[0] == asker]:
            self.cancel(*key, now_ns)

    def runs_for(self, asker: int) -> bool:
        """True while some instance has a request of this asker."""
        return any(
            request.infer.asker == asker
            for instance in self.instances
            for batch in instance.batches
            for request in batch.requests
        )

    def dispatch(self, now_ns: int) -> Iterator[tuple[int, RunningBatch]]:
        """Batches to hand over now, each with the peer it is for."""
        while self._waiting:
            instance = self.instances.free(now_ns)
            if instance is None:
                return
            requests = self._batcher.cut(now_ns)
            if not requests:
                return
            items = 0
            for request in requests:
                infer = request.infer
                del self._waiting[(infer.asker, infer.request_id)]
                items += infer.batch_size or 1
            batch = RunningBatch(next(_batch_ids), requests, items)
            instance.begin(batch, now_ns)
            yield instance.peer, batch

    def wake_ns(self, now_ns: int) -> int | None:
        """When `dispatch` should be called again though nothing happens; None for never. Call it after `dispatch`."""
        if not self._waiting:
            return None
        instance = self.instances.free(now_ns)
        return self._batcher.wake_ns() if instance is not None else self.instances.wake_ns()

    def done(self, done: BatchDone) -> RunningBatch | None:
        """A batch has run; returns it, or None where it was given up before."""
        instance = self.instances.get(done.instance)
        batch = instance.finish(done.batch_id, done.start_ns, done.end_ns) if instance else None
        if batch is not None:
            self.statistics.executed(batch, done)
        return batch

    def instance_gone(self, peer: int, now_ns: int) -> list[QueuedRequest]:
        """An instance has died; returns the requests it had, which have failed with it."""
        lost = [request for batch in self.instances.remove(peer) for request in batch.requests]
        for request in lost:
            self.statistics.failed(now_ns - request.infer.arrival_ns, BACKEND)
        return lost

    def metrics(self, now_ns: int) -> ModelMetrics:
        """What metrics tell of it."""
        metrics = self.statistics.metrics(len(self._waiting), now_ns)
        metrics.tags = self.spec.metric_tags
        return metrics

    def close(self, now_ns: int) -> list[QueuedRequest]:
        """The model version is going away; returns the requests that waited."""
        lost = self._batcher.take_all()
        self._waiting.clear()
        for request in lost:
            self.statistics.failed(now_ns - request.infer.arrival_ns)
        return lost
