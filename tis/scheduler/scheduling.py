"""What the loop needs of whatever schedules a model version: one with instances (`model.py`) or an ensemble."""

from collections.abc import Iterable
from typing import Protocol

from tis.contracts.messages import ModelMetrics
from tis.contracts.model_spec import ModelSpec
from tis.scheduler.decisions import Decision
from tis.scheduler.queued import QueuedRequest
from tis.scheduler.statistics import Statistics


class Scheduling(Protocol):
    """The scheduling of one model version. Pure logic; the clock is an argument."""

    def __hash__(self) -> int:
        """Each is itself."""

    @property
    def spec(self) -> ModelSpec:
        """The model version."""

    @property
    def statistics(self) -> Statistics:
        """What it has counted."""

    @property
    def queued(self) -> int:
        """How many requests wait."""

    def add(self, request: QueuedRequest, now_ns: int) -> Iterable[Decision]:
        """Take a request.

        Raises:
            TisError: it is refused.
        """

    def cancel(self, request: QueuedRequest, now_ns: int) -> Iterable[Decision]:
        """The client of a request has gone."""

    def close(self, now_ns: int) -> Iterable[Decision]:
        """The model version is going away."""

    def dispatch(self, now_ns: int) -> Iterable[Decision]:
        """Do what is due."""

    def wake_ns(self, now_ns: int) -> int | None:
        """When `dispatch` should be called again though nothing happens; None for never."""

    def metrics(self, now_ns: int) -> ModelMetrics:
        """What metrics tell of it."""
