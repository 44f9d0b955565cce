"""Who hangs and who only works: decided from heartbeats and the scheduler's reports, in turns of the supervisor's loop."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tis.contracts.messages import Heartbeat
from tis.supervisor.limits import Limits
from tis.supervisor.service import SILENCE_S, START_SILENCE_S
from tis.supervisor.vigil import DUMP_WAIT_S, END_PATIENCE_S, LOOK_S, Vigil

SCHEDULER, FRONTEND, WORKER = 1, 2, 3
_S = 1_000_000_000


class FakeChild(SimpleNamespace):
    """Notes what is done to it."""

    def dump_stacks(self) -> None:
        self.dumps += 1

    def kill(self, reason: str = "") -> None:
        self.killed.append(reason)


class World:
    """A scheduler, a frontend and a worker; time passes a turn at a time."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.now_s = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.stopped: set[int] = set()
        self.running: dict[int, int] = {}
        self.beating: set[int] = set()
        self.vigil = Vigil(self._later, lambda pid: pid - 1000 in self.stopped)
        self.children: dict[int, Any] = {}
        for peer, module in ((SCHEDULER, "tis.scheduler"), (FRONTEND, "tis_frontend"), (WORKER, "tis_workers")):
            self.start(peer, module, limits or Limits())

    def start(self, peer: int, module: str, limits: Limits) -> None:
        child: Any = FakeChild(
            peer=peer,
            pid=peer + 1000,
            module=module,
            title=module,
            limits=limits,
            started_s=self.now_s,
            dumps=0,
            killed=[],
            is_excused=False,
        )
        self.children[peer] = child
        self.vigil.watch(child)

    def up(self, *peers: int) -> None:
        for peer in peers:
            self.vigil.up(peer)
            self.beating.add(peer)

    def _later(self, delay_s: float, callback: Callable[[], None]) -> None:
        self.timers.append((self.now_s + delay_s, callback))

    def run(self, seconds: float, step_s: float = LOOK_S) -> None:
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.now_s += step_s
            self.vigil.look(self.now_s)
            for peer in sorted(self.beating):
                running = tuple(self.running.items()) if self.children[peer].module == "tis.scheduler" else ()
                self.vigil.heard(Heartbeat(peer, running=running), int(self.now_s * _S))
            due = [callback for at_s, callback in self.timers if at_s <= self.now_s]
            self.timers = [each for each in self.timers if each[0] > self.now_s]
            for callback in due:
                callback()

    def killed(self, peer: int) -> list[str]:
        killed: list[str] = self.children[peer].killed
        return killed


@pytest.fixture
def world() -> World:
    made = World()
    made.up(SCHEDULER, FRONTEND, WORKER)
    made.run(3)
    return made


def test_nobody_who_beats_is_killed(world: World) -> None:
    world.run(10 * SILENCE_S)
    assert all(not child.killed and not child.dumps for child in world.children.values())


@pytest.mark.parametrize("peer", [SCHEDULER, FRONTEND])
def test_a_process_that_must_beat_and_does_not_shows_its_stacks_and_is_killed(world: World, peer: int) -> None:
    world.beating.discard(peer)
    world.run(SILENCE_S)
    assert world.children[peer].dumps == 0
    world.run(1)
    assert world.children[peer].dumps == 1
    assert world.killed(peer) == []
    world.run(DUMP_WAIT_S)
    assert world.killed(peer) == ["was killed: no sign of life for 10 s"]


def test_a_process_that_starts_has_longer() -> None:
    world = World()
    world.run(START_SILENCE_S)
    assert world.killed(FRONTEND) == []
    world.run(1 + DUMP_WAIT_S)
    assert world.killed(FRONTEND) == ["was killed: no sign of life for 60 s"]


def test_a_process_that_answers_again_before_it_is_killed_is_spared(world: World) -> None:
    world.beating.discard(FRONTEND)
    world.run(SILENCE_S + 1)
    assert world.children[FRONTEND].dumps == 1
    world.beating.add(FRONTEND)
    world.run(10)
    assert world.killed(FRONTEND) == []


def test_time_in_which_the_supervisor_itself_did_not_turn_does_not_count(world: World) -> None:
    world.beating.discard(FRONTEND)
    world.run(SILENCE_S * 5, step_s=SILENCE_S)
    assert world.children[FRONTEND].dumps == 0


def test_a_worker_without_work_that_is_silent_hangs(world: World) -> None:
    world.beating.discard(WORKER)
    world.run(SILENCE_S + 1 + DUMP_WAIT_S)
    assert world.killed(WORKER) == ["was killed: no sign of life for 10 s"]


def test_a_worker_that_falls_silent_before_the_first_scheduler_has_reported_hangs() -> None:
    world = World()
    world.vigil.up(WORKER)
    world.vigil.heard(Heartbeat(WORKER), 0)
    world.up(SCHEDULER, FRONTEND)
    world.run(SILENCE_S + 1 + DUMP_WAIT_S)
    assert world.killed(WORKER) == ["was killed: no sign of life for 10 s"]


def test_a_worker_that_executes_may_take_any_time(world: World) -> None:
    world.beating.discard(WORKER)
    world.running[WORKER] = int(world.now_s * _S)
    world.run(1000)
    assert world.children[WORKER].dumps == 0


def test_a_worker_whose_threads_still_answer_may_take_any_time(world: World) -> None:
    world.beating.discard(WORKER)
    world.running[WORKER] = 0
    world.run(1000)
    assert world.children[WORKER].dumps == 0


def test_a_worker_that_was_silent_already_when_it_got_its_batch_hangs(world: World) -> None:
    world.beating.discard(WORKER)
    world.run(SILENCE_S - 2)
    world.running[WORKER] = int(world.now_s * _S)
    world.run(5)
    assert world.killed(WORKER) == ["was killed: no sign of life for 10 s"]


def test_a_worker_that_has_just_ended_a_long_batch_does_not_hang(world: World) -> None:
    world.beating.discard(WORKER)
    world.running[WORKER] = int(world.now_s * _S)
    world.run(100)
    # The scheduler has heard of the end, and its report comes before the worker's own beat.
    del world.running[WORKER]
    world.run(1)
    world.beating.add(WORKER)
    world.run(10)
    assert world.children[WORKER].dumps == 0


def test_a_worker_of_which_a_new_scheduler_knows_nothing_may_still_execute(world: World) -> None:
    world.beating.discard(WORKER)
    world.running[WORKER] = int(world.now_s * _S)
    world.run(2)
    world.vigil.ended(SCHEDULER)
    world.beating.discard(SCHEDULER)
    world.running.clear()
    world.start(9, "tis.scheduler", Limits())
    world.up(9)
    world.run(100)
    assert world.children[WORKER].dumps == 0


def test_a_worker_that_is_stopped_hangs_whatever_it_had_to_do(world: World) -> None:
    world.beating.discard(WORKER)
    world.running[WORKER] = int(world.now_s * _S)
    world.stopped.add(WORKER)
    world.run(SILENCE_S + 8)
    assert "it has been stopped (SIGSTOP)" in world.killed(WORKER)[0]


def test_a_batch_beyond_its_limit_ends_its_worker_which_is_excused() -> None:
    world = World(Limits(execution_s=2))
    world.up(SCHEDULER, WORKER)
    world.run(3)
    world.beating.discard(WORKER)
    world.running[WORKER] = int(world.now_s * _S)
    world.run(2)
    assert world.children[WORKER].dumps == 0
    world.run(1 + DUMP_WAIT_S)
    assert world.killed(WORKER) == ["was killed: a batch ran longer than 2 s (tis.execution_limit_s)"]
    assert world.children[WORKER].is_excused


def test_a_batch_that_ends_just_beyond_its_limit_is_not_paid_for_by_the_next() -> None:
    world = World(Limits(execution_s=2))
    world.up(SCHEDULER, WORKER)
    world.run(3)
    world.running[WORKER] = int(world.now_s * _S)
    world.run(3)
    assert world.children[WORKER].dumps == 1
    world.running[WORKER] = int(world.now_s * _S) + 1
    world.run(1)
    assert world.killed(WORKER) == []


def test_a_load_beyond_its_limit_is_ended_and_one_without_is_not() -> None:
    for load_s, killed in ((5, ["was killed: it was not ready within 5 s (tis.load_limit_s)"]), (0, [])):
        world = World(Limits(load_s=load_s, load_source="tis.load_limit_s"))
        world.up(SCHEDULER, FRONTEND)
        world.run(10 * START_SILENCE_S)
        assert world.killed(WORKER)[:1] == killed


def test_a_worker_that_does_not_end_when_told_to_is_killed(world: World) -> None:
    world.vigil.told_to_end(WORKER)
    world.beating.discard(WORKER)
    world.run(END_PATIENCE_S)
    assert world.killed(WORKER) == []
    world.run(2 + DUMP_WAIT_S)
    assert world.killed(WORKER) == ["was killed: it did not end within 30 s of being told to"]


def test_a_process_that_has_ended_meanwhile_is_not_killed(world: World) -> None:
    world.beating.discard(WORKER)
    world.run(SILENCE_S + 1)
    world.vigil.ended(WORKER)
    world.run(10)
    assert world.killed(WORKER) == []


def test_a_stop_has_limits_of_its_own(world: World) -> None:
    world.vigil.over = True
    world.beating.clear()
    world.run(100)
    assert all(not child.dumps for child in world.children.values())
