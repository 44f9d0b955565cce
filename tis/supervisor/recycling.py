"""Instances that have more memory than their model allows: another takes the place of each, and no request notices.

One instance of a version at a time, and not more often than that it serves for some times as long as it takes to load. One
that needs more than the limit as soon as it is up would gain nothing: that is said, and nothing done.
"""

import time
from collections.abc import Callable, Iterable
from typing import Final

from tis.config.extensions import MEMORY_LIMIT
from tis.log import get_logger
from tis.supervisor.instances import InstancePlace
from tis.supervisor.memory import own_memory_bytes
from tis.supervisor.version import ModelVersion, State

LOOK_S: Final = 1.0
#: An instance serves at least so many times as long as it took to come up.
SERVES_PER_LOAD: Final = 5
#: After one that could not come up, this time passes before the next is tried.
AGAIN_S: Final = 60.0
_MIB: Final = 1 << 20

_log = get_logger(__name__)


class Recycling:
    """Looks at the memory of all instances that have a limit."""

    def __init__(
        self,
        versions: Callable[[], Iterable[ModelVersion]],
        later: Callable[[float, Callable[[], None]], None],
        memory: Callable[[int], int] = own_memory_bytes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._versions = versions
        self._later = later
        self._memory = memory
        self._clock = clock
        #: Loads that are not to be tried again before this moment.
        self._not_before_s: dict[int, float] = {}
        #: Processes of which it has been said that their limit is too low.
        self._warned: set[int] = set()

    def begin(self) -> None:
        """Look from now on."""
        self._later(LOOK_S, self._turn)

    def _turn(self) -> None:
        self.look()
        self._later(LOOK_S, self._turn)

    def look(self) -> None:
        """Replace what has grown too large."""
        now_s = self._clock()
        for version in self._versions():
            limit_bytes = version.spec.extensions.memory_limit_bytes
            if not limit_bytes or version.state is not State.READY or version.instances.changing:
                continue
            if now_s < self._not_before_s.get(version.load, 0.0):
                continue
            for place in version.instances:
                if place.up and self._is_due(place, limit_bytes):
                    self._replace(version, place, limit_bytes)
                    break

    def _is_due(self, place: InstancePlace, limit_bytes: int) -> bool:
        child = place.child
        if child is None or self._memory(child.pid) <= limit_bytes:
            return False
        if place.first_memory_bytes > limit_bytes:
            if child.peer not in self._warned:
                self._warned.add(child.peer)
                _log.warning(
                    "%s needs %d MiB as soon as it is loaded, more than its %s of %d MiB: another would be no smaller",
                    place.title,
                    place.first_memory_bytes // _MIB,
                    MEMORY_LIMIT,
                    limit_bytes // _MIB,
                )
            return False
        return place.worked_s() >= SERVES_PER_LOAD * place.took_s

    def _replace(self, version: ModelVersion, place: InstancePlace, limit_bytes: int) -> None:
        pid = place.child.pid if place.child is not None else 0
        _log.info(
            "%s (pid %d) has %d MiB of memory, more than its %s of %d MiB: another takes its place",
            place.title,
            pid,
            self._memory(pid) // _MIB,
            MEMORY_LIMIT,
            limit_bytes // _MIB,
        )

        def changed(failure: str) -> None:
            if failure:
                self._not_before_s[version.load] = self._clock() + AGAIN_S
                _log.error("%s (pid %d) goes on, since what was to take its place %s", place.title, pid, failure)
            else:
                _log.info("%s (pid %d) has given its work over", place.title, pid)

        version.replace_instance(place.number, changed)
