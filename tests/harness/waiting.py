"""Waiting for a condition with a deadline: the only pause in the tests against real processes."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

_LOOK_S: Final = 0.01
#: Long, since only a test that fails waits for it: a small machine that runs several tests at once may stand still for
#: seconds. A test that promises a time says its own.
DEADLINE_S: Final = 60.0

_T = TypeVar("_T")


def eventually(look: Callable[[], _T], what: str, deadline_s: float = DEADLINE_S) -> _T:
    """What `look` gives once it gives something true; fails the test when the deadline passes before."""
    end_s = time.monotonic() + deadline_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end_s:
            raise AssertionError(f"not within {deadline_s:g} s: {what} (last seen: {found!r})")
        time.sleep(_LOOK_S)
