"""How long to look for an answer again and again before falling asleep over it.

A process that sleeps on an idle core lets the core halt; waking it takes tens of microseconds, and what it runs next finds
its caches cold. So a client that asks again and again looks for a moment longer, and gives the core away between two looks.
How long is learnt as KVM's halt polling learns it: longer when a sleep turned out short, shorter when it turned out long.

The server's three processes that see to a request look again, too. Where there are fewer cores than these and the client are,
they take them from each other: on 2 cores a request of 16 floats took 186 us where the client slept and 231 where it did not.
"""

import os
import time
from collections.abc import Callable
from typing import Final

#: Sleeps up to this long are worth avoiding.
LONGEST_SPIN_US: Final = 300
_SHORTEST_SPIN_NS: Final = 20_000
#: The client, a frontend, the scheduler and a worker.
_CORES_FOR_ALL: Final = 4


class Patience:
    """What one client has learnt. `look` tells whether there is something."""

    def __init__(self, longest_us: int | None) -> None:
        """`longest_us`: None for LONGEST_SPIN_US where there are cores for all, and else 0, which never looks twice.

        Raises:
            ValueError: it is below 0.
        """
        if longest_us is None:
            longest_us = LONGEST_SPIN_US if len(os.sched_getaffinity(0)) >= _CORES_FOR_ALL else 0
        if longest_us < 0:
            raise ValueError(f"spin_us is {longest_us}, but no time is shorter than 0")
        self._longest_ns: Final = longest_us * 1000
        self._spin_ns = 0

    def spin(self, look: Callable[[], object]) -> bool:
        """Look for the learnt time. False where nothing has come: sleep then, and say so by `slept`."""
        if not self._spin_ns:
            return False
        end_ns = time.monotonic_ns() + self._spin_ns
        while time.monotonic_ns() < end_ns:
            os.sched_yield()
            if look():
                return True
        return False

    def slept(self, slept_ns: int) -> None:
        """Learn from how long a sleep was."""
        if slept_ns + self._spin_ns <= self._longest_ns:
            self._spin_ns = min(max(self._spin_ns * 2, _SHORTEST_SPIN_NS), self._longest_ns)
        else:
            self._spin_ns = self._spin_ns // 2 if self._spin_ns > _SHORTEST_SPIN_NS else 0
