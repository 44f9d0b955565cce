"""`max_inflight_requests`: how many requests of a step may be in flight at once, those of all clients together."""

from collections import deque
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """Something that waits for its turn."""

    @property
    def dropped(self) -> bool:
        """True where it does not want its turn any more."""


Entry = TypeVar("Entry", bound=Waiting)


class StepLimits(Generic[Entry]):
    """First come, first served, for each step of its own."""

    def __init__(self, most: int) -> None:
        #: 0 for any number.
        self._most = most
        self._inside: dict[int, int] = {}
        self._waiting: dict[int, deque[Entry]] = {}

    def enter(self, step: int, entry: Entry) -> bool:
        """True where it is its turn at once; else it waits for what `leave` gives."""
        if not self._most:
            return True
        inside = self._inside.get(step, 0)
        if inside >= self._most:
            self._waiting.setdefault(step, deque()).append(entry)
            return False
        self._inside[step] = inside + 1
        return True

    def leave(self, step: int) -> Entry | None:
        """One has left; gives the one whose turn it is now."""
        if not self._most:
            return None
        waiting = self._waiting.get(step)
        while waiting:
            entry = waiting.popleft()
            if not entry.dropped:
                return entry
        self._inside[step] -= 1
        return None
