"""The instances of a model version as places: those that serve, those that come, those that leave while others serve on.

An instance is replaced, added or taken away without a request noticing: a new one is asked for work once it is up, and only
then is an old one given nothing more; what it has, it finishes, and when the scheduler says that nothing is left, it ends.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol

from tis.contracts import messages as m
from tis.contracts.model_spec import InstanceSpec, ModelSpec
from tis.log import get_logger
from tis.supervisor.child import Child
from tis.supervisor.memory import own_memory_bytes
from tis.supervisor.place import Host, Place
from tis.supervisor.placement import Placement

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
        #: Its position in the specification's instances, and what it is there. Both may change while its process goes on.
        self.number = number
        self.spec = spec
        #: Where it runs; None before the version begins to load.
        self.where: Placement | None = None
        #: The specification that its version is to have when it is up; None for one that belongs to the version's own.
        self.joins: ModelSpec | None = None
        #: Why its process could not load the model, as it said itself.
        self.refusal = ""
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
        #: In the order of the specification, save while instances are being added.
        self._serving: list[InstancePlace] = []
        self._coming: dict[InstancePlace, Changed] = {}
        #: Of those that come to take the place of another: which.
        self._replaces: dict[InstancePlace, InstancePlace] = {}
        self._leaving: dict[InstancePlace, Changed] = {}
        for number in range(count):
            self._serving.append(self._made(number))

    def __iter__(self) -> Iterator[InstancePlace]:
        """Those that serve, or should."""
        return iter(list(self._serving))

    @property
    def changing(self) -> bool:
        """True while one comes or leaves."""
        return bool(self._coming or self._leaving)

    @property
    def everywhere(self) -> list[InstancePlace]:
        """All places, those that come and leave among them."""
        return [*self._serving, *self._coming, *self._leaving]

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

    def replace(self, number: int, changed: Changed) -> None:
        """Start an instance that takes the place of the one of this number when it is up.

        Where it cannot come up, everything stays as it is.
        """
        place = self._made(number)
        self._replaces[place] = before = self._serving[number]
        place.where = before.where
        self._coming[place] = changed
        place.start()

    def add(self, place: InstancePlace, changed: Changed) -> None:
        """Start a further instance; where it cannot come up, everything stays as it is."""
        place.on_death = partial(self._died, place)
        self._coming[place] = changed
        place.start()

    def remove(self, place: InstancePlace, changed: Changed) -> None:
        """Let an instance finish what it has, and end it. One that still comes is ended at once."""
        if place in self._coming:
            del self._coming[place]
            self._replaces.pop(place, None)
        else:
            self._serving.remove(place)
        self._leave(place, changed)

    def arrange(self, places: Sequence[InstancePlace]) -> None:
        """From now on these serve, in this order, all of which do already; the others leave."""
        before, self._serving = self._serving, list(places)
        for place in before:
            if place not in self._serving:
                self._leave(place, lambda _: None)
        for number, place in enumerate(self._serving):
            place.number = number

    def abandon(self, reason: str) -> None:
        """Nobody is to come any more."""
        for place, changed in list(self._coming.items()):
            self.remove(place, lambda _: None)
            changed(reason)

    def came_up(self, place: InstancePlace) -> Callable[[], None]:
        """An instance does its work. Gives what is to be done once the scheduler knows of it."""
        place.note_up()
        changed = self._coming.pop(place, None)
        if changed is None:
            return lambda: None
        before = self._replaces.pop(place, None)
        if before is None:
            self._serving.append(place)
        else:
            self._serving[self._serving.index(before)] = place

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
        self._leaving.update(dict.fromkeys(self._coming, lambda _: None))
        self._coming.clear()
        self._replaces.clear()
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
            self._replaces.pop(place, None)
            self._coming.pop(place)(reason)
            self._on_death(place, reason)
            return False
        return self._on_death(place, reason)
