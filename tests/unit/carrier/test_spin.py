"""How long a process looks again before it sleeps is learnt, up to what `--spin-us` says."""

import os
import socket
from collections.abc import Iterator

import pytest

from tis.carrier import poller as poller_module
from tis.carrier.poller import Poller
from tis.carrier.spin import DEFAULT_SPIN_US, Spin, most_spin_ns


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.fixture(autouse=True)
def setting_restored() -> Iterator[None]:
    yield
    poller_module.configure(-1)


def cores(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(count)))


@pytest.mark.parametrize(("count", "spin_us"), [(1, 0), (2, DEFAULT_SPIN_US), (64, DEFAULT_SPIN_US)])
def test_the_default_goes_by_the_cores_that_the_process_may_run_on(
    monkeypatch: pytest.MonkeyPatch, count: int, spin_us: int
) -> None:
    cores(monkeypatch, count)
    assert most_spin_ns(-1) == spin_us * 1000


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("spin_us", [0, 1, 300, 5000])
def test_what_is_asked_for_holds_whatever_the_cores(monkeypatch: pytest.MonkeyPatch, count: int, spin_us: int) -> None:
    cores(monkeypatch, count)
    assert most_spin_ns(spin_us) == spin_us * 1000


def test_short_sleeps_make_it_longer_up_to_the_most() -> None:
    spin = Spin(300_000)
    seen = []
    for _ in range(8):
        spin.slept(10_000, woken=True)
        seen.append(spin.now_ns)
    assert seen[:5] == [20_000, 40_000, 80_000, 160_000, 300_000]
    # A sleep behind all of that was longer than the most.
    assert max(seen) == 300_000


def test_a_long_sleep_or_one_that_nothing_ended_makes_it_shorter_down_to_nothing() -> None:
    for duration_ns, woken in ((1_000_000, True), (10_000, False)):
        spin = Spin(300_000)
        for _ in range(4):
            spin.slept(10_000, woken=True)
        before = spin.now_ns
        spin.slept(duration_ns, woken=woken)
        assert spin.now_ns == before // 2
        for _ in range(10):
            spin.slept(duration_ns, woken=woken)
        assert spin.now_ns == 0


@pytest.mark.parametrize("most_ns", [0, 1_000, 20_000])
def test_it_is_never_longer_than_the_most(most_ns: int) -> None:
    spin = Spin(most_ns)
    for _ in range(10):
        spin.slept(0, woken=True)
        assert spin.now_ns <= most_ns


def counted_yields(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    counted = [0]

    def give_way() -> None:
        counted[0] += 1

    monkeypatch.setattr(os, "sched_yield", give_way)
    return counted


def test_a_poller_that_must_not_spin_never_looks_twice(
    monkeypatch: pytest.MonkeyPatch, pair: tuple[socket.socket, socket.socket]
) -> None:
    poller_module.configure(0)
    yields = counted_yields(monkeypatch)
    poller = Poller(None)
    poller.watch(pair[0].fileno())
    for _ in range(20):
        assert poller.wait(0.001) == []
        pair[1].send(b"x")
        assert poller.wait(5.0) == [pair[0].fileno()]
        pair[0].recv(1)
    assert yields == [0]
    poller.close()


def test_a_poller_that_spins_finds_what_comes_meanwhile_without_sleeping(
    monkeypatch: pytest.MonkeyPatch, pair: tuple[socket.socket, socket.socket]
) -> None:
    poller_module.configure(1_000_000)
    poller = Poller(None)
    poller.watch(pair[0].fileno())
    for _ in range(20):
        poller._spin.slept(0, woken=True)
    looks = 0

    def third_look_finds() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            pair[1].send(b"x")

    monkeypatch.setattr(os, "sched_yield", third_look_finds)
    assert poller.wait(60.0) == [pair[0].fileno()]
    assert looks == 3
    poller.close()


def test_a_poller_looks_no_longer_than_it_may_wait(
    monkeypatch: pytest.MonkeyPatch, pair: tuple[socket.socket, socket.socket]
) -> None:
    """Whoever waits for a moment in time must not miss it for the sake of looking."""
    poller_module.configure(1_000_000)
    now_ns = [0]
    monkeypatch.setattr("tis.carrier.poller.time.monotonic_ns", lambda: now_ns[0])

    def a_microsecond() -> None:
        now_ns[0] += 1000

    monkeypatch.setattr(os, "sched_yield", a_microsecond)
    poller = Poller(None)
    poller.watch(pair[0].fileno())
    for _ in range(20):
        poller._spin.slept(0, woken=True)
    assert poller.wait(0.0001) == []
    assert now_ns[0] == 100_000
    poller.close()


def test_the_setting_holds_for_pollers_that_are_made_later() -> None:
    poller_module.configure(7)
    poller = Poller(None)
    for _ in range(10):
        poller._spin.slept(0, woken=True)
    assert poller._spin.now_ns == 7000
    poller.close()
