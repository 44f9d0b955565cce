"""A frontend's loop stays awake for what has been coming soon, for as long as it took, and falls asleep otherwise."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tis_frontend import wakefulness
from tis_frontend.wakefulness import Wakefulness

US = 1000
MOST_US = 300


class Clock:
    """A loop whose turns take a microsecond, and its clock."""

    def __init__(self) -> None:
        self.now_ns = 10**9
        self._soon: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._soon.append(callback)

    def go_on(self, duration_us: float) -> float:
        """Let so much time pass; gives for how long of it the loop was awake, in microseconds."""
        end_ns = self.now_ns + int(duration_us * US)
        awake_ns = 0
        while self._soon and self.now_ns < end_ns:
            due, self._soon = self._soon, []
            for each in due:
                each()
            assert len(self._soon) <= 1, "one turn calls for one more"
            self.now_ns += US
            awake_ns += US
        self.now_ns = end_ns
        return awake_ns / US


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(wakefulness, "time", SimpleNamespace(monotonic_ns=lambda: made.now_ns))
    monkeypatch.setattr(wakefulness, "os", SimpleNamespace(sched_yield=lambda: None))
    return made


def made(clock: Clock, most_us: int = MOST_US) -> Wakefulness:
    return Wakefulness(cast(asyncio.AbstractEventLoop, cast(Any, clock)), most_us * US)


def ask(wakeful: Wakefulness, clock: Clock, answer_us: float, next_us: float, times: int = 20) -> tuple[float, float]:
    """Requests whose answers and whose followers take so long; gives for how long the loop was awake in the last waits."""
    awake = (0.0, 0.0)
    for _ in range(times):
        wakeful.sent()
        first = clock.go_on(answer_us)
        wakeful.answered()
        awake = (first, clock.go_on(next_us))
    return awake


def test_it_stays_awake_for_what_comes_soon(clock: Clock) -> None:
    assert ask(made(clock), clock, 150, 80) == (150, 80)


def test_it_falls_asleep_where_nothing_comes_soon(clock: Clock) -> None:
    wakeful = made(clock)
    assert ask(wakeful, clock, 5000, 100_000) == (0, 0)
    # And again after it was busy.
    ask(wakeful, clock, 100, 100)
    assert ask(wakeful, clock, 5000, 100_000) == (0, 0)


def test_answers_and_followers_are_learnt_apart(clock: Clock) -> None:
    # The turn that was due takes place.
    assert ask(made(clock), clock, 150, 50_000) == (150, 1)
    assert ask(made(clock), clock, 50_000, 150) == (1, 150)


def test_it_is_never_awake_for_longer_than_it_may(clock: Clock) -> None:
    wakeful = made(clock)
    ask(wakeful, clock, 100, 100)
    wakeful.sent()
    assert clock.go_on(10_000) <= MOST_US + 1
    assert clock.go_on(10_000) == 0


def test_with_0_it_does_nothing(clock: Clock) -> None:
    assert ask(made(clock, 0), clock, 50, 50) == (0, 0)


def test_many_requests_at_once_call_for_one_turn_at_a_time(clock: Clock) -> None:
    wakeful = made(clock)
    ask(wakeful, clock, 50, 50)
    for _ in range(100):
        wakeful.sent()
    clock.go_on(20)
    for _ in range(100):
        wakeful.answered()
    clock.go_on(20)
