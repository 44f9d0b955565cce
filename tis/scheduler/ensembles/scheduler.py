"""The scheduling of an ensemble: it has no instances and no queue, its requests begin at once. Pure logic."""

from collections.abc import Callable
from typing import Final

from tis.contracts import messages as m
from tis.contracts.model_spec import InstanceSpec, ModelSpec
from tis.errors import TisError
from tis.scheduler.decisions import Answer, Decision
from tis.scheduler.ensembles.graph import Graph
from tis.scheduler.ensembles.limits import StepLimits
from tis.scheduler.ensembles.run import EnsembleRun, Shared, StepRun
from tis.scheduler.latencies import Latencies
from tis.scheduler.queued import QueuedRequest
from tis.scheduler.statistics import Statistics

#: Gives the ready version of a model, -1 being the latest; raises a TisError where there is none.
Versions = Callable[[str, int], ModelSpec]


class EnsembleScheduler:
    """Runs the steps of an ensemble's requests."""

    def __init__(self, spec: ModelSpec, peer: int, versions: Versions, latencies: Latencies | None = None) -> None:
        self.spec: Final = spec
        self.statistics: Final = Statistics(spec.name, spec.version, namespace=spec.namespace, latencies=latencies)
        self._versions: Final = versions
        graph = Graph(spec)
        limits: StepLimits[StepRun] = StepLimits(graph.ensemble.max_inflight_requests)
        self._shared: Final = Shared(graph, peer, limits, self.statistics)

    @property
    def queued(self) -> int:
        """None waits: those of the steps are counted there."""
        return 0

    @property
    def idle(self) -> bool:
        """True where no request is in flight."""
        return not self._shared.runs

    @property
    def pinned(self) -> set[int]:
        """The loads of the steps' models that its requests in flight began with."""
        return {model.load for run in self._shared.runs.values() for model in run.models}

    def add(self, request: QueuedRequest, now_ns: int) -> list[Decision]:
        """Begin a request. It keeps to the versions that are ready now."""
        try:
            models = [self._versions(step.model, step.version) for step in self._shared.graph.steps]
        except TisError as error:
            self.statistics.failed(now_ns - request.infer.arrival_ns)
            text = f"in ensemble '{self.spec.name}', {error.message}"
            return [Answer(request, m.Failure(request.infer.request_id, error.code, text, complete=True))]
        return EnsembleRun(self._shared, request, models).begin(now_ns)

    def cancel(self, request: QueuedRequest, now_ns: int) -> list[Decision]:
        """The client of a request has gone: the steps that run are told so, and their answers are waited for."""
        run = self._shared.runs.get(request.key)
        if run is None or request.cancelled:
            return []
        request.cancelled = True
        return run.cancel(now_ns)

    def close(self, now_ns: int) -> tuple[()]:  # noqa: ARG002 - the protocol's
        """The ensemble is going away: what is in flight goes on."""
        return ()

    def dispatch(self, now_ns: int) -> tuple[()]:  # noqa: ARG002 - the protocol's
        """Nothing is ever due: steps are asked as soon as they can run."""
        return ()

    def wake_ns(self, now_ns: int) -> None:
        """Never."""

    def instance_up(self, peer: int, number: int, spec: InstanceSpec | None = None) -> None:
        """There are none."""

    def instance_gone(self, peer: int, reason: str, now_ns: int) -> tuple[()]:  # noqa: ARG002 - the protocol's
        """There are none."""
        return ()

    def has_sequence(self, sequence_id: int | str) -> bool:  # noqa: ARG002 - the protocol's
        """Sequences are its steps' affair."""
        return False

    def linger(self) -> None:
        """Sequences are its steps' affair."""

    def respecified(self, spec: ModelSpec) -> None:
        """There are no instances: an ensemble with another specification is another one."""

    def retire_instance(self, peer: int) -> None:
        """There are none."""

    def is_instance_idle(self, peer: int) -> bool:  # noqa: ARG002 - the protocol's
        """There are none."""
        return True

    def running(self) -> list[tuple[int, int]]:
        """There are none."""
        return []

    def done(self, done: m.BatchDone, now_ns: int) -> list[QueuedRequest]:  # noqa: ARG002 - the protocol's
        """There are no batches."""
        return []

    def finished(self, finished: m.Finished) -> None:
        """There are no batches."""

    def metrics(self, now_ns: int) -> m.ModelMetrics:
        """What metrics tell of it."""
        metrics = self.statistics.metrics(0, now_ns)
        metrics.tags = self.spec.metric_tags
        return metrics
