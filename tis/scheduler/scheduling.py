"""What every scheduler of a model version offers to the loop. The loop knows no more of it.

The kinds: `model.py` (a queue and instances), `relaying.py` and what derives from it (in front of another scheduler),
`ensembles/` (steps instead of instances).
"""

from collections.abc import Collection, Iterable
from typing import Protocol

from tis.contracts.messages import BatchDone, Finished, ModelMetrics
from tis.contracts.model_spec import InstanceSpec, ModelSpec
from tis.scheduler.decisions import Decision
from tis.scheduler.queued import QueuedRequest
from tis.scheduler.statistics import Statistics


class Scheduling(Protocol):
    """The scheduling of one model version. Pure logic: it takes `now_ns` and returns decisions."""

    @property
    def spec(self) -> ModelSpec:
        """The model version."""

    @property
    def statistics(self) -> Statistics:
        """What is counted of it."""

    @property
    def queued(self) -> int:
        """How many requests wait."""

    @property
    def idle(self) -> bool:
        """True where nothing waits, runs or is still to be answered."""

    @property
    def pinned(self) -> Collection[int]:
        """Loads of other models that its requests in flight keep to: they must not go before."""

    def add(self, request: QueuedRequest, now_ns: int) -> Iterable[Decision]:
        """Take a request.

        Raises:
            TisError: it is refused.
        """

    def cancel(self, request: QueuedRequest, now_ns: int) -> Iterable[Decision]:
        """The client of a request has gone."""

    def close(self, now_ns: int) -> Iterable[Decision]:
        """The model version is going away: what waits is refused."""

    def dispatch(self, now_ns: int) -> Iterable[Decision]:
        """Do everything that is due."""

    def wake_ns(self, now_ns: int) -> int | None:
        """When `dispatch` should be called again though nothing happens; None for never. Asked after `dispatch`."""

    def instance_up(self, peer: int, number: int, spec: InstanceSpec | None = None) -> None:
        """An instance takes batches from now on; `number` is its place in the specification, `spec` what it is else."""

    def instance_gone(self, peer: int, reason: str, now_ns: int) -> Iterable[Decision]:
        """An instance has died."""

    def respecified(self, spec: ModelSpec) -> None:
        """The specification has other instances; they come and leave by themselves."""

    def retire_instance(self, peer: int) -> None:
        """An instance gets nothing new from now on; it ends what it has."""

    def is_instance_idle(self, peer: int) -> bool:
        """True where an instance has nothing left, or is gone."""

    def running(self) -> list[tuple[int, int]]:
        """Instances that have something to do, and since when their batch runs, see `Heartbeat.running`."""

    def done(self, done: BatchDone, now_ns: int) -> list[QueuedRequest]:
        """A batch has run; returns the requests that are finished with it."""

    def finished(self, finished: Finished) -> QueuedRequest | None:
        """The last response to a request has been sent after its batch was done; returns the request."""

    def metrics(self, now_ns: int) -> ModelMetrics:
        """What metrics tell of it."""
