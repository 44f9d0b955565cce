"""Clients that stop in the middle: what they hold is taken back from them. For both faces; pure.

A request that has begun holds room in the pool or memory, and so does a response that is not taken. A client that goes on
with either is waited for, however large it is; one that has made no way for a while, or hardly any, is not.
"""

from collections.abc import Iterable
from typing import Final, Protocol

#: Who does not get as far as this in the time that there is might as well have stopped: 16 KiB a minute.
LEAST_BYTES: Final = 16 << 10


class Exchange(Protocol):
    """A request that is coming in or a response that is going out."""

    def passed_bytes(self) -> int | None:
        """A number that grows with what the client has sent and taken; None while it is not the client's turn."""

    def give_up(self) -> None:
        """The client has stopped: let go of what it holds."""


class Stalls:
    """Compares how far exchanges are now with how far they were."""

    def __init__(self, most_s: float) -> None:
        """`most_s`: how long a client may make no way; 0: as long as it likes."""
        self._most_s = most_s
        self._seen: dict[Exchange, tuple[int, float]] = {}

    @property
    def is_on(self) -> bool:
        """Whether there is any use in looking."""
        return self._most_s > 0

    def look(self, exchanges: Iterable[Exchange], now_s: float) -> list[Exchange]:
        """Those that have stalled; to be called now and then with all that there are."""
        seen: dict[Exchange, tuple[int, float]] = {}
        stalled: list[Exchange] = []
        for each in exchanges:
            passed = each.passed_bytes()
            if passed is None:
                continue
            before, since_s = self._seen.get(each, (passed - LEAST_BYTES, now_s))
            if passed - before >= LEAST_BYTES or passed < before:
                before, since_s = passed, now_s
            if now_s - since_s >= self._most_s:
                stalled.append(each)
            else:
                seen[each] = before, since_s
        self._seen = seen
        return stalled
