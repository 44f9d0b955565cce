"""A place keeps a process in it as long as one is wanted: started again after a death, not after a dismissal."""

from collections.abc import Callable
from typing import cast

import pytest

from tis.supervisor.backoff import MOST_DEATHS, STABLE_AFTER_S
from tis.supervisor.child import Child, exit_text
from tis.supervisor.place import Place


class FakeChild:
    def __init__(self, peer: int) -> None:
        self.peer = peer
        self.pid = 1000 + peer
        self.replaces = 0
        self.title = ""
        self.is_excused = False


class FakeHost:
    """Numbers processes, and keeps what is to happen later until the test lets it."""

    def __init__(self) -> None:
        self.peers = 0
        self.died: Callable[[str], None] | None = None
        self.waiting: list[tuple[float, Callable[[], None]]] = []

    def new_peer(self) -> int:
        self.peers += 1
        return self.peers

    def watch(self, _child: Child, died: Callable[[str], None]) -> None:
        self.died = died

    def later(self, delay_s: float, callback: Callable[[], None]) -> None:
        self.waiting.append((delay_s, callback))

    def pass_time(self) -> None:
        waiting, self.waiting = self.waiting, []
        for _, callback in waiting:
            callback()


class Bench:
    def __init__(self) -> None:
        self.host = FakeHost()
        self.launched: list[FakeChild] = []
        self.place = Place(self.host, "the scheduler", self._launch)

    def _launch(self, peer: int) -> Child:
        self.launched.append(FakeChild(peer))
        return cast("Child", self.launched[-1])

    def die(self, reason: str = "exited with code 1") -> None:
        assert self.host.died is not None
        self.host.died(reason)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_place_is_empty_until_it_is_started_and_starts_one_process_only(bench: Bench) -> None:
    assert bench.place.peer == 0
    bench.place.start()
    bench.place.start()
    assert [child.peer for child in bench.launched] == [bench.place.peer] == [1]


@pytest.mark.parametrize("reason", ["exited with code 1", "exited with code 0", "was killed by SIGKILL"])
def test_however_a_process_ends_unasked_another_is_started_under_a_new_number(bench: Bench, reason: str) -> None:
    bench.place.start()
    bench.place.up = True
    bench.die(reason)
    assert not bench.place.up
    assert bench.place.peer == 0
    bench.host.pass_time()
    assert bench.place.peer == 2


def test_a_process_that_was_dismissed_is_not_started_again(bench: Bench) -> None:
    bench.place.start()
    bench.place.dismiss()
    bench.die()
    assert bench.host.waiting == []
    bench.place.start()
    assert len(bench.launched) == 1


def test_a_dismissal_between_death_and_start_is_heeded(bench: Bench) -> None:
    bench.place.start()
    bench.die()
    bench.place.dismiss()
    bench.host.pass_time()
    assert len(bench.launched) == 1


def test_whoever_is_told_of_a_death_may_forbid_the_next_start(bench: Bench) -> None:
    told: list[tuple[int, str]] = []

    def on_death(peer: int, reason: str) -> bool:
        told.append((peer, reason))
        return False

    bench.place.on_death = on_death
    bench.place.start()
    bench.die("exited with code 3")
    assert told == [(1, "exited with code 3")]
    assert bench.host.waiting == []


def test_delays_grow_and_after_too_many_deaths_it_is_given_up(bench: Bench) -> None:
    given_up: list[str] = []
    bench.place.on_give_up = given_up.append
    bench.place.start()
    delays: list[float] = []
    for _ in range(MOST_DEATHS):
        bench.die()
        delays.append(bench.host.waiting[0][0])
        bench.host.pass_time()
    assert delays == sorted(delays)
    bench.die("was killed by SIGSEGV")
    assert given_up == ["was killed by SIGSEGV"]
    assert bench.host.waiting == []


def test_a_death_that_is_excused_does_not_count(bench: Bench) -> None:
    bench.place.start()
    for _ in range(3 * MOST_DEATHS):
        bench.launched[-1].is_excused = True
        bench.die("was killed: a batch ran too long")
        bench.host.pass_time()
    assert bench.place.peer
    assert not bench.place.given_up


def test_what_a_process_said_before_it_ended_is_why(bench: Bench) -> None:
    told: list[str] = []

    def on_death(_peer: int, reason: str) -> bool:
        told.append(reason)
        return True

    bench.place.on_death = on_death
    bench.place.start()
    bench.place.last_words = "Internal: no such file"
    bench.die("exited with code 3")
    bench.host.pass_time()
    bench.die("was killed by SIGKILL")
    assert told == ["exited with code 3: Internal: no such file", "was killed by SIGKILL"]


def test_only_time_at_work_makes_up_for_deaths(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr("tis.supervisor.place.time.monotonic", lambda: now_s)
    given_up: list[str] = []
    bench.place.on_give_up = given_up.append
    bench.place.start()
    for _ in range(MOST_DEATHS):
        # It loads for a minute, and dies as soon as it is up.
        now_s += 60
        bench.place.up = True
        now_s += 1
        bench.die()
        bench.host.pass_time()
    bench.place.up = True
    now_s += STABLE_AFTER_S
    bench.die()
    bench.host.pass_time()
    assert given_up == []
    for _ in range(MOST_DEATHS):
        now_s += 60
        bench.die()
        bench.host.pass_time()
    assert given_up


def test_the_next_process_waits_until_nobody_reads_the_memory_of_the_one_before(bench: Bench) -> None:
    asked: list[int] = []
    quiet = False

    def may_start(previous: int) -> bool:
        asked.append(previous)
        return quiet or previous == 0

    bench.place.may_start = may_start
    bench.place.start()
    bench.die()
    bench.host.pass_time()
    assert bench.place.peer == 0
    quiet = True
    bench.host.pass_time()
    assert bench.place.peer == 2
    assert asked == [0, 1, 1]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "exited with code 0"),
        (1, "exited with code 1"),
        (-9, "was killed by SIGKILL; the machine may be out of memory"),
        (-11, "was killed by SIGSEGV"),
        (-63, "was killed by signal 63"),
    ],
)
def test_the_end_of_a_process_is_told_in_words(code: int, text: str) -> None:
    assert exit_text(code) == text
