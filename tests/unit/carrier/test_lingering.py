"""Waiting without falling asleep, on a clock and a core of the test's own."""

import os
import time

import pytest

from tis.carrier import poller
from tis.carrier.poller import Poller


class Core:
    """What time it is, and how long it takes until the core comes back to who gives it away."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000
        self.given_away = 0
        self.comes_back_after_ns = 1_000

    def monotonic_ns(self) -> int:
        self.now_ns += 100
        return self.now_ns

    def sched_yield(self) -> None:
        self.given_away += 1
        self.now_ns += self.comes_back_after_ns


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> Core:
    made = Core()
    monkeypatch.setattr(time, "monotonic_ns", made.monotonic_ns)
    monkeypatch.setattr(os, "sched_yield", made.sched_yield)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    return made


@pytest.fixture
def learnt(core: Core) -> Poller:
    """One that has slept shortly, and lingers from then on."""
    waiting = Poller(None)
    fd = os.eventfd(1)
    waiting.watch(fd)
    assert waiting._sleep(1.0)
    os.eventfd_read(fd)
    assert not core.given_away
    return waiting


def test_after_a_short_sleep_the_core_is_given_away_again_and_again(core: Core, learnt: Poller) -> None:
    assert learnt.wait(1e-9) == []
    assert core.given_away > 1


def test_a_core_that_others_want_is_left_to_them_for_a_while(core: Core, learnt: Poller) -> None:
    core.comes_back_after_ns = 3_000_000
    learnt.wait(1e-9)
    assert core.given_away == 1
    for _ in range(3):
        learnt.wait(1e-9)
    assert core.given_away == 1


def test_after_that_while_it_learns_anew(core: Core, learnt: Poller) -> None:
    core.comes_back_after_ns = 3_000_000
    learnt.wait(1e-9)
    core.now_ns += poller._NO_LINGER_NS
    core.comes_back_after_ns = 1_000
    learnt.watch(fd := os.eventfd(1))
    learnt._sleep(1.0)
    os.eventfd_read(fd)
    learnt.wait(1e-9)
    assert core.given_away > 2
