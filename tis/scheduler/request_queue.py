"""What every kind of queue offers: the requests of one model version that wait, and the rule by which they become batches.

Pure logic; the clock is an argument. The kinds: `batcher.py` (default and dynamic), `sequences/` (direct and oldest).
"""

from typing import Protocol

from tis.scheduler.instances import Instance, Instances
from tis.scheduler.queued import QueuedRequest, Refusal


class RequestQueue(Protocol):
    """Requests that wait. No operation costs more for a longer queue."""

    def __len__(self) -> int:
        """Requests that wait, cancelled ones left out."""

    def add(self, request: QueuedRequest, now_ns: int) -> None:
        """Take a request.

        Raises:
            TisError: it is refused: the queue is full, its sequence has not begun, …
        """

    def withdraw(self, request: QueuedRequest, now_ns: int) -> list[Refusal]:
        """A waiting request has been marked cancelled. Returns others that cannot run without it."""

    def expire(self, now_ns: int) -> list[Refusal]:
        """Take out the requests whose time is over."""

    def next_batch(self, instances: Instances, now_ns: int) -> tuple[Instance, list[QueuedRequest]] | None:
        """A batch that is due and the instance that can take it now; None to wait (see `wake_ns`)."""

    def wake_ns(self, instances: Instances, now_ns: int) -> int | None:
        """After `next_batch` gave None: when it or `expire` will give something though nothing happens; None for never."""

    def ended(self, instance: Instance, requests: list[QueuedRequest], again: list[QueuedRequest], now_ns: int) -> None:
        """A batch of this queue has ended; `again` are those of its requests that the model wants to be run once more."""

    def instance_added(self, instance: Instance) -> None:
        """An instance takes batches from now on."""

    def instance_removed(self, instance: Instance, now_ns: int) -> list[Refusal]:
        """An instance has gone. Returns the waiting requests that only it could have run."""

    def instance_retired(self, instance: Instance) -> None:
        """An instance is given nothing new from now on, but what only it can run."""

    def is_bound(self, instance: Instance) -> bool:
        """True while there is, or may still come, something that only this instance can run."""

    def drain(self) -> list[QueuedRequest]:
        """Empty the queue: the model version is going away."""
