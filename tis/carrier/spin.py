"""How long a process looks again before it sleeps: the most that there may be, and what is learnt from sleeps. Pure."""

import os
from typing import Final

#: The most where nothing else is said: a single client's requests come back sooner.
DEFAULT_SPIN_US: Final = 300
_SHORTEST_NS: Final = 20_000


def most_spin_ns(spin_us: int) -> int:
    """Of `--spin-us`, in nanoseconds; below 0: the default, which is nothing where this process has one core only."""
    if spin_us >= 0:
        return spin_us * 1000
    return DEFAULT_SPIN_US * 1000 if len(os.sched_getaffinity(0)) > 1 else 0


class Spin:
    """Grows while sleeps turn out short, shrinks when one turns out long, as KVM's halt polling learns it."""

    __slots__ = ("_most_ns", "now_ns")

    def __init__(self, most_ns: int) -> None:
        self._most_ns: Final = most_ns
        #: How long to look before the next sleep.
        self.now_ns = 0

    def slept(self, duration_ns: int, *, woken: bool) -> None:
        """A sleep is over: something came after so long, or nothing."""
        if woken and duration_ns + self.now_ns <= self._most_ns:
            self.now_ns = min(max(self.now_ns * 2, _SHORTEST_NS), self._most_ns)
        else:
            self.now_ns = self.now_ns // 2 if self.now_ns > _SHORTEST_NS else 0
