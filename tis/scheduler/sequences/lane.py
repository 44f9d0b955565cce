"""An instance as the sequence batcher sees it: its slots, the sequences in them, the rule by which it runs. Pure logic."""

from abc import ABC, abstractmethod

from tis.scheduler.instances import Instance
from tis.scheduler.queued import QueuedRequest
from tis.scheduler.sequences.sequence import Sequence


class Lane(ABC):
    """The part that direct and oldest share. No operation costs more for more lanes."""

    def __init__(self, instance: Instance, slots: int, number: int) -> None:
        self.instance = instance
        #: Its place among all lanes that there ever were.
        self.number = number
        #: The sequence in each slot.
        self.occupants: list[Sequence | None] = [None] * slots
        #: No further sequence gets a slot here.
        self.closing = False

    @abstractmethod
    def arrived(self, sequence: Sequence, now_ns: int) -> None:
        """A sequence in a slot here has a request that waits, which it may have had before."""

    @abstractmethod
    def withdrawn(self, sequence: Sequence, request: QueuedRequest, now_ns: int) -> None:
        """A waiting request, marked cancelled, has been taken out of a sequence here, and all that were behind it."""

    @abstractmethod
    def due_ns(self, now_ns: int) -> int | None:
        """When `take` is to be tried, in the past for at once; None until something happens."""

    @abstractmethod
    def take(self, now_ns: int) -> list[QueuedRequest]:
        """Take the requests of a batch out of their sequences and name their slots; empty to wait until `later_ns`."""

    @abstractmethod
    def later_ns(self) -> int | None:
        """After `take` gave nothing: when it will."""

    @abstractmethod
    def ended(self, requests: list[QueuedRequest], now_ns: int) -> None:
        """A batch of this instance has ended; a sequence may have got a request of it back."""

    @abstractmethod
    def clear(self) -> None:
        """All sequences have lost the requests that waited."""
