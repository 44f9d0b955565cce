"""Batches of one instance beside each other: each answer is right and sent once, whatever fails, is given up or dies."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from tests.harness.models import Model, doubled, gather
from tests.unit.workers.onnx_bench import ASKER, Answer, Array, Bench
from tis.contracts import messages as m
from tis_shm.pool import Block
from tis_workers import overlap
from tis_workers.batches import Batches

PEER = 3
SCHEDULER = 1
#: Rows of this width are computed into the pool, once their shape is known.
LARGE = 16_384


class Session:
    """ONNX Runtime's, but for what is called before each run into the pool."""

    def __init__(self, session: Any, called: Callable[[], None]) -> None:
        self._session = session
        self._called = called

    def run_with_iobinding(self, *arguments: Any) -> Any:
        self._called()
        return self._session.run_with_iobinding(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


class Line:
    """A worker's batches, what is on its way to them, and what they have said."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        memory = bench.pool, bench.writer, bench.regions, None
        self.batches = Batches(PEER, SCHEDULER, bench.backend, memory, bench.outbox)
        self._mailbox_fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.overlap(self._receive)
        self._arriving: list[m.Batch] = []
        self._blocks: list[Block] = []
        self._numbers = 0
        self.answers: dict[int, Answer] = {}
        self.done: dict[int, m.BatchDone] = {}
        #: Called in the midst of each batch's first run, beside which others may be prepared.
        self.while_running: Callable[[], None] = lambda: None
        run = bench.backend.run
        session = cast(Any, bench.backend)._session

        self._is_first = False

        def run_beside(*arguments: Any) -> Any:
            self._called()
            return run(*arguments)

        cast(Any, bench.backend).run = run_beside
        cast(Any, bench.backend)._bound._session = Session(session, self._called)

    def overlap(self, receive: Callable[[], None]) -> None:
        """Let batches overlap; `receive` is called by the thread."""
        self.batches.overlap(receive, self._mailbox_fd)
        made = cast(Any, self.batches)._overlap
        during = made.during

        def note_and_compute(compute: Callable[[], None]) -> None:
            self._is_first = True
            during(compute)

        made.during = note_and_compute

    def _called(self) -> None:
        first, self._is_first = self._is_first, False
        if first:
            self.while_running()

    def send(self, batch_id: int, *inputs: Array, scheduler: int = SCHEDULER) -> list[int]:
        """A batch is on its way; gives its requests' numbers."""
        items = []
        (name,) = self.bench.spec.inputs_by_name
        for array in inputs:
            self._numbers += 1
            item, block = self.bench.item(self._numbers, {name: array})
            items.append(item)
            self._blocks.append(block)
        self._arriving.append(m.Batch(scheduler, batch_id, tuple(items)))
        os.eventfd_write(self._mailbox_fd, 1)
        return [item.request_id for item in items]

    def wait_prepared(self) -> None:
        """Wait until what is on its way has arrived and is ready to run. In the midst of a run only."""
        while self._arriving or cast(Any, self.batches)._prepared is None:
            os.sched_yield()

    def run_all(self) -> None:
        """Run until nothing is left."""
        self._receive()
        while self.batches.waiting:
            self.batches.run_next(follows=True)
            self._receive()
        self.batches.answer_computed()
        self.note()

    def note(self) -> None:
        """Take what has been said."""
        for message in self.bench.sent():
            if isinstance(message, m.BatchDone):
                assert message.batch_id not in self.done
                self.done[message.batch_id] = message
            else:
                assert message.request_id not in self.answers
                self.answers[message.request_id] = Answer(self.bench.pool, message)

    def close(self) -> None:
        self.batches.close()
        for answer in self.answers.values():
            answer.release()
        for block in self._blocks:
            self.bench.inputs.free(block)
        self.bench.close()
        os.close(self._mailbox_fd)

    def _receive(self) -> None:
        while self._arriving:
            self.batches.arrived(self._arriving.pop(0))


NewLine = Callable[[Model], Line]


@pytest.fixture
def new_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NewLine]:
    monkeypatch.setattr(overlap, "WORTH_NS", 0)
    made: list[Line] = []

    def make(model: Model) -> Line:
        made.append(Line(Bench(tmp_path / str(len(made)), model)))
        return made[-1]

    yield make
    for line in made:
        line.close()


def rows(count: int, width: int, start: float) -> Array:
    return (np.arange(count * width, dtype=np.float32) + np.float32(start)).reshape(count, width)


def check_doubled(line: Line, numbers: list[int], sent: list[Array]) -> None:
    for number, array in zip(numbers, sent, strict=True):
        assert np.array_equal(line.answers[number].array("OUTPUT0"), np.tile(array, 2))


@pytest.mark.parametrize("width", [5, LARGE])
@pytest.mark.parametrize("sizes", [[(1,)] * 6, [(2, 1)] * 6, [(1,), (3, 1), (2,), (1, 1, 1), (4,), (1, 2)]])
def test_batches_that_overlap_are_answered_with_their_own_rows(
    new_line: NewLine, width: int, sizes: list[tuple[int, ...]]
) -> None:
    line = new_line(doubled())
    batches = [[rows(count, width, 100 * at + k) for k, count in enumerate(size)] for at, size in enumerate(sizes)]
    numbers: list[list[int]] = []
    left = iter(enumerate(batches, 1))

    def send_next() -> None:
        following = next(left, None)
        if following is not None:
            numbers.append(line.send(following[0], *following[1]))

    def beside() -> None:
        sent = len(numbers)
        send_next()
        if len(numbers) > sent:
            line.wait_prepared()

    line.while_running = beside
    send_next()
    line.run_all()
    for asked, sent in zip(numbers, batches, strict=True):
        check_doubled(line, asked, sent)
    assert list(line.done) == list(range(1, len(batches) + 1))
    assert all(done.free_ns == done.infer_end_ns for done in list(line.done.values())[:-1])
    assert line.done[len(batches)].free_ns == line.done[len(batches)].end_ns


def test_the_time_that_a_prepared_batch_waits_counts_as_waiting_and_not_as_computing(new_line: NewLine) -> None:
    line = new_line(doubled())

    def beside() -> None:
        line.while_running = lambda: None
        line.send(2, rows(1, 5, 0))
        line.wait_prepared()

    line.while_running = beside
    line.send(1, rows(1, 5, 0))
    line.run_all()
    assert line.done[2].start_ns <= line.done[2].input_end_ns
    assert line.done[2].input_end_ns >= line.done[1].infer_end_ns


def test_of_a_batch_that_fails_beside_others_only_the_culprit_fails(new_line: NewLine) -> None:
    line = new_line(gather())
    asked: dict[int, int] = {}
    left = iter([(2, [1, 50]), (3, [4, 5]), (4, [77])])

    def beside() -> None:
        following = next(left, None)
        if following is not None:
            batch_id, indices = following
            arrays = [np.array([[index]], np.int64) for index in indices]
            asked.update(zip(line.send(batch_id, *arrays), indices, strict=True))
            line.wait_prepared()

    line.while_running = beside
    asked.update(zip(line.send(1, np.array([[3]], np.int64)), [3], strict=True))
    line.run_all()
    assert len(asked) == 6
    for number, index in asked.items():
        if index < 10:
            assert line.answers[number].array("OUTPUT0").tolist() == [[10 * index]]
        else:
            assert "onnx runtime error" in line.answers[number].error
    assert [line.done[each].failed for each in (1, 2, 3, 4)] == [(), (1,), (), (0,)]


@pytest.mark.parametrize("width", [5, LARGE])
def test_a_request_that_is_given_up_after_its_batch_was_prepared_is_not_run(new_line: NewLine, width: int) -> None:
    line = new_line(doubled())
    sent = [rows(1, width, at) for at in range(5)]
    # The shapes are known from here on.
    line.send(9, sent[0], sent[0])
    line.run_all()
    later: list[int] = []

    def beside() -> None:
        line.while_running = lambda: None
        later.extend(line.send(2, *sent[1:4]))
        line.wait_prepared()

    line.while_running = beside
    first = line.send(1, sent[0])
    line._receive()
    line.batches.run_next(follows=True)
    line.batches.cancel((ASKER, later[1]))
    line.run_all()
    check_doubled(line, first, sent[:1])
    check_doubled(line, [later[0], later[2]], [sent[1], sent[3]])
    assert line.answers[later[1]].error.endswith("Request was cancelled")
    assert line.done[2].cancelled == (1,)


@pytest.mark.parametrize("width", [5, LARGE])
def test_what_was_prepared_for_a_scheduler_that_has_gone_is_forgotten_and_what_has_run_is_answered(
    new_line: NewLine, width: int
) -> None:
    line = new_line(doubled())
    sent = [rows(1, width, at) for at in range(3)]
    line.send(9, sent[0], sent[0])
    line.run_all()

    def beside() -> None:
        line.while_running = lambda: None
        line.send(2, *sent)
        line.wait_prepared()

    line.while_running = beside
    first = line.send(1, sent[0])
    line._receive()
    line.batches.run_next(follows=True)
    line.batches.answer_computed()
    line.batches.follow(SCHEDULER + 1)
    assert not line.batches.waiting
    line.run_all()
    check_doubled(line, first, sent[:1])
    assert set(line.done) == {9, 1}


def test_the_first_batch_of_a_new_scheduler_may_come_before_the_news_of_it(new_line: NewLine) -> None:
    """News take another way than batches, on a busy machine a slower one."""
    line = new_line(doubled())
    values = rows(1, 5, 0)
    line.send(1, values)
    line._receive()
    late = line.send(1, values, scheduler=SCHEDULER + 1)
    line._receive()
    line.batches.peer_gone(SCHEDULER)
    line.batches.follow(SCHEDULER + 1)
    line.run_all()
    check_doubled(line, late, [values])
    assert line.bench.outbox.told == {1: SCHEDULER + 1}


def test_a_batch_of_a_scheduler_that_has_gone_is_not_run_however_late_it_is_read(new_line: NewLine) -> None:
    line = new_line(doubled())
    line.send(1, rows(1, 5, 0))
    line.batches.peer_gone(SCHEDULER)
    line.run_all()
    line.send(2, rows(1, 5, 0))
    line.batches.follow(SCHEDULER + 1)
    line.run_all()
    assert not line.answers
    assert not line.done


def test_what_ran_for_a_scheduler_that_has_gone_is_not_told_to_the_next_one_whose_batches_have_the_same_numbers(
    new_line: NewLine,
) -> None:
    line = new_line(doubled())
    values = rows(1, 5, 0)

    def beside() -> None:
        line.while_running = lambda: None
        line.batches.follow(SCHEDULER + 1)

    line.while_running = beside
    first = line.send(1, values)
    line.run_all()
    check_doubled(line, first, [values])
    assert line.bench.outbox.told == {1: SCHEDULER}


def test_the_death_of_others_takes_no_batch(new_line: NewLine) -> None:
    line = new_line(doubled())
    values = rows(1, 5, 0)
    first = line.send(1, values)
    line._receive()
    line.batches.peer_gone(SCHEDULER + 5)
    line.run_all()
    check_doubled(line, first, [values])


def test_an_error_in_the_thread_is_the_loops_and_not_silent(new_line: NewLine) -> None:
    line = new_line(doubled())

    def fails() -> None:
        raise OSError("the mailbox is gone")

    line.overlap(fails)
    line.send(1, rows(1, 5, 0))
    line._receive()
    line.while_running = lambda: while_alive(line)
    with pytest.raises(OSError, match="the mailbox is gone"):
        line.batches.run_next(follows=True)
    line.batches.answer_computed()
    line.note()


def while_alive(line: Line) -> None:
    thread = cast(Any, line.batches)._overlap._thread
    thread.join(10)
    assert not thread.is_alive()
