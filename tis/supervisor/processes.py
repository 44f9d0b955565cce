"""The server's child processes that live, who of them is what, and the way to reach them."""

from collections.abc import Callable, Iterable
from typing import Final

from tis.contracts import messages as m
from tis.supervisor.child import Child
from tis.supervisor.control import ControlHub
from tis.supervisor.place import Place


class Processes:
    """Scheduler, frontends and workers."""

    def __init__(self, hub: ControlHub) -> None:
        self._hub = hub
        #: By peer id.
        self.children: Final[dict[int, Child]] = {}
        #: Those that have said hello: what is sent to others is lost.
        self.greeted: Final[set[int]] = set()
        self._scheduler: Place | None = None
        self._frontends: list[Place] = []
        #: Gives the workers that do their work.
        self.workers_up: Callable[[], Iterable[int]] = list

    def settle(self, scheduler: Place, frontends: list[Place]) -> None:
        """The places that there always are."""
        self._scheduler = scheduler
        self._frontends = frontends

    def gone(self, peer: int) -> None:
        """A process has ended."""
        del self.children[peer]
        self.greeted.discard(peer)

    # ---- who is there ----------------------------------------------------------------------------------------------

    @property
    def scheduler_peer(self) -> int:
        """The scheduler; 0 while there is none."""
        return self._scheduler.peer if self._scheduler is not None else 0

    @property
    def scheduler_listens(self) -> bool:
        """Whether the scheduler has said hello and lives."""
        return self.scheduler_peer in self.greeted

    @property
    def vital_are_up(self) -> bool:
        """Whether the scheduler and all frontends do their work."""
        return self._scheduler is not None and self._scheduler.up and all(place.up for place in self._frontends)

    def frontend_of(self, peer: int) -> int | None:
        """The number of the frontend that is this process; None for another."""
        return next((index for index, place in enumerate(self._frontends) if place.peer == peer), None)

    def others(self) -> set[int]:
        """All that live but the scheduler."""
        return self.children.keys() - {self.scheduler_peer}

    def frontends(self) -> set[int]:
        """Frontends that have said hello."""
        return self.greeted.intersection([place.peer for place in self._frontends])

    def readers(self) -> set[int]:
        """Frontends, and workers that are up: only these can hold anything of another."""
        return self.frontends().union(self.workers_up())

    # ---- reaching them ---------------------------------------------------------------------------------------------

    def send(self, peer: int, *messages: m.Message) -> None:
        """Send to one process; what is sent to one that is not there is lost."""
        self._hub.send(peer, *messages)

    def tell_scheduler(self, message: m.Message) -> None:
        """Send to the scheduler."""
        self._hub.send(self.scheduler_peer, message)

    def tell_frontends(self, message: m.Message) -> None:
        """Send to all frontends."""
        for peer in self.frontends():
            self._hub.send(peer, message)

    def tell_workers_up(self, message: m.Message) -> None:
        """Send to all workers that do their work."""
        for peer in self.workers_up():
            self._hub.send(peer, message)

    def tell_all(self, message: m.Message) -> None:
        """Send to everybody."""
        for peer in self.greeted:
            self._hub.send(peer, message)

    def tell_others(self, message: m.Message) -> None:
        """Send to everybody but the scheduler."""
        for peer in self.greeted - {self.scheduler_peer}:
            self._hub.send(peer, message)
