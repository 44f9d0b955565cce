"""What takes long is done beside the loop, which hears of it; a disk that never answers costs a thread and no more."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tis.supervisor.errands import THREADS, Errands
from tis.supervisor.loop import Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    made.on_signal(signal.SIGALRM, made.stop)
    # However a test fails, the loop ends.
    signal.alarm(30)
    yield made
    signal.alarm(0)
    made.close()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


def run_until(loop: Loop, is_over: "list[object]", count: int = 1) -> None:
    loop.run(lambda: loop.stop() if len(is_over) >= count else None)


def test_work_is_done_by_a_thread_and_told_in_the_loop(loop: Loop) -> None:
    told: list[object] = []
    threads: list[threading.Thread] = []

    def work() -> int:
        threads.append(threading.current_thread())
        return 7

    def done(result: int) -> None:
        told.append((result, threading.current_thread()))

    Errands(loop.hand_over).run(work, done)
    run_until(loop, told)
    assert told == [(7, threading.main_thread())]
    assert threads[0] is not threading.main_thread()
    assert threads[0].daemon


def test_the_loop_turns_while_a_file_does_not_answer(loop: Loop, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "share")
    beats: list[object] = []
    told: list[object] = []

    def beat() -> None:
        beats.append(None)
        loop.later(0, beat)

    Errands(loop.hand_over).run((tmp_path / "share").read_bytes, told.append)
    loop.later(0, beat)
    run_until(loop, beats, 100)
    assert told == []
    (tmp_path / "share").write_bytes(b"at last")
    run_until(loop, told)
    assert told == [b"at last"]


def test_one_that_hangs_holds_up_no_other_and_there_is_a_bound_on_threads(loop: Loop) -> None:
    free = threading.Event()
    errands = Errands(loop.hand_over)
    told: list[object] = []
    before = threading.active_count()
    errands.run(free.wait, told.append)
    for number in range(20):
        errands.run(lambda number=number: number, told.append)  # type: ignore[misc]
    run_until(loop, told, 20)
    assert sorted(told, key=str) == sorted(range(20), key=str)
    assert threading.active_count() - before == THREADS
    free.set()
    run_until(loop, told, 21)


def test_what_the_work_raises_is_raised_from_the_loop(loop: Loop) -> None:
    def work() -> None:
        raise LookupError("ours")

    Errands(loop.hand_over).run(work, lambda _: None)
    with pytest.raises(LookupError, match="ours"):
        loop.run(lambda: None)


def test_nothing_is_told_after_the_end(loop: Loop) -> None:
    begun, free = threading.Event(), threading.Event()
    told: list[object] = []

    def work() -> None:
        begun.set()
        assert free.wait(30)

    errands = Errands(loop.hand_over)
    errands.run(work, told.append)
    assert begun.wait(30)
    errands.close()
    free.set()
    passed: list[object] = []
    Errands(loop.hand_over).run(lambda: None, passed.append)
    run_until(loop, passed)
    assert told == []


def test_what_is_handed_over_after_the_loop_has_closed_is_nobodys() -> None:
    made = Loop()
    made.close()
    made.hand_over(lambda: pytest.fail("called"))


def test_callbacks_are_called_in_order_however_many_come_at_once(loop: Loop) -> None:
    told: list[object] = []
    for number in range(100_000):
        loop.hand_over(lambda number=number: told.append(number))  # type: ignore[misc]
    run_until(loop, told, 100_000)
    assert told == list(range(100_000))
