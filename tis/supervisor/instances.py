"""The instances of a model version as places: those that serve, those that come, those that leave while others serve on.

An instance is replaced, added or taken away without a request noticing: a new one is asked for work once it is up, and only
then is an old one given nothing more; what it has, it finishes, and when the scheduler says that nothing is left, it ends.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, Protocol

from tis.contracts import messages as m
from tis.contracts.model_spec import InstanceSpec
from tis.log import get_logger
from tis.supervisor.child import Child
from tis.supervisor.memory import own_memory_bytes
from tis.supervisor.place import Host, Place

#: Called when a change is done: with an empty text, or with why it could not be.
Changed = Callable[[str], None]

_log = get_logger(__name__)


class InstancesHost(Host, Protocol):
    """What instances need of the supervisor."""

    def tell_scheduler(self, message: m.Message) -> None:
        """Send to the scheduler."""

    def end(self, peer: int) -> None:
        """Tell a child to end; one that does not is killed after a while."""


class InstancePlace(Place):
    """The place of one instance."""

    def __init__(self, host: Host, number: int, spec: InstanceSpec, title: str, launch: Callable[[int], Child]) -> None:
        super().__init__(host, title, launch)
        #: Its position in the specification's instances, and what it is there.
        self.number: Final = number
        self.spec: Final = spec
        #: What its process needed when it was just up, and how long it took until then.
        self.first_memory_bytes = 0
        #: What its process ran to warm the model up. A scheduler that begins later than it is told, too.
        self.warmups: tuple[m.Warmup, ...] = ()
        self.took_s = 0.0

    def note_up(self) -> None:
        """The process here does its work from now on."""
        self.up = True
        if self.child is not None:
            self.first_memory_bytes = own_memory_bytes(self.child.pid)
            self.took_s = self.child.lived_s()


class Instances:
    """All places of a version."""

    def __init__(
        self,
        host: InstancesHost,
        make: Callable[[int], InstancePlace],
        count: int,
        died: Callable[[InstancePlace, str], bool],
    ) -> None:
        self._host = host
        self._make = make
        #: Called when an instance that serves, or should, has died; says whether to start it again.
        self._on_death = died
        self._serving: dict[int, InstancePlace] = {}
        self._coming: dict[InstancePlace, Changed] = {}
        self._leaving: dict[InstancePlace, Changed] = {}
        for number in range(count):
            self._serving[number] = self._made(number)

    def __iter__(self) -> Iterator[InstancePlace]:
        """Those that serve, or should."""
        return iter(self._serving.values())

    @property
    def changing(self) -> bool:
        """True while one comes or leaves."""
        return bool(self._coming or self._leaving)

    @property
    def everywhere(self) -> list[InstancePlace]:
        """All places, those that come and leave among them."""
        return [*self._serving.values(), *self._coming, *self._leaving]

    @property
    def active(self) -> list[InstancePlace]:
        """Those that serve and are given something to run."""
        return [place for place in self if not place.spec.passive]

    def find(self, peer: int) -> InstancePlace | None:
        """The place of a process."""
        return next((place for place in self.everywhere if place.peer == peer), None) if peer else None

    def is_leaving(self, place: InstancePlace) -> bool:
        """True for one that gets nothing new."""
        return place in self._leaving

    # ---- changes ---------------------------------------------------------------------------------------------------

    def add(self, number: int, changed: Changed) -> None:
        """Start an instance; where one has this number already, the new one takes its place when it is up.

        Where it cannot come up, everything stays as it is.
        """
        place = self._made(number)
        self._coming[place] = changed
        place.start()

    def remove(self, number: int, changed: Changed) -> None:
        """Let an instance finish what it has, and end it."""
        self._leave(self._serving.pop(number), changed)

    def begin_anew(self, count: int) -> None:
        """Start so many in place of those that are there, none of which is up."""
        before = list(self._serving.values())
        self._serving = {number: self._made(number) for number in range(count)}
        for place in before:
            self._leave(place, lambda _: None)
        for place in self:
            place.start()

    def came_up(self, place: InstancePlace) -> Callable[[], None]:
        """An instance does its work. Gives what is to be done once the scheduler knows of it."""
        place.note_up()
        changed = self._coming.pop(place, None)
        if changed is None:
            return lambda: None
        before = self._serving.get(place.number)
        self._serving[place.number] = place

        def then() -> None:
            if before is not None:
                self._leave(before, lambda _: None)
            changed("")

        return then

    def retired(self, peer: int) -> None:
        """The scheduler has nothing left for an instance."""
        place = self.find(peer)
        if place is not None and place in self._leaving:
            self._host.end(peer)

    def scheduler_began(self) -> None:
        """A scheduler that knows nothing of those that leave."""
        for place in list(self._leaving):
            self._host.end(place.peer)

    def stop(self) -> None:
        """End all of them, whatever they have."""
        for place in self.everywhere:
            place.dismiss()
            if place.child is not None:
                self._host.end(place.peer)

    def _leave(self, place: InstancePlace, changed: Changed) -> None:
        place.dismiss()
        if place.child is None:
            changed("")
            return
        self._leaving[place] = changed
        if place.up:
            self._host.tell_scheduler(m.RetireInstance(place.peer))
        else:
            self._host.end(place.peer)

    # ---- deaths ----------------------------------------------------------------------------------------------------

    def _made(self, number: int) -> InstancePlace:
        place = self._make(number)
        place.on_death = partial(self._died, place)
        return place

    def _died(self, place: InstancePlace, _peer: int, reason: str) -> bool:
        if place in self._leaving:
            self._leaving.pop(place)("")
            self._on_death(place, reason)
            return False
        if place in self._coming:
            _log.error("%s, which was to come, %s", place.title, reason)
            self._coming.pop(place)(reason)
            self._on_death(place, reason)
            return False
        return self._on_death(place, reason)
