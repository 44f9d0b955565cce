"""The scheduler's loop, stepped by hand: real sockets on both sides, no process, no waiting."""

import select
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import zmq

from tis.carrier.datagram import Mailbox, Outbox
from tis.contracts import messages as m
from tis.contracts.control import ControlLink, control_address, requests_path
from tis.contracts.model_spec import ModelSpec
from tis.contracts.scheduling_spec import DynamicBatcherSpec
from tis.scheduler.loop import SchedulerLoop
from tis_shm.pool import Pool

SCHEDULER, FRONTEND, OTHER_FRONTEND, WORKER, OTHER_WORKER = 1, 2, 3, 10, 11
PATIENCE_MS = 10_000
SPEC = ModelSpec("m", 1, "", "onnxruntime", 8, (), (), batcher=DynamicBatcherSpec(), load=7)


class Bench:
    """A scheduler's loop with mailboxes for everybody it talks to."""

    def __init__(self, runtime_dir: Path) -> None:
        self.runtime_dir = runtime_dir
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.hub = self.context.socket(zmq.ROUTER)
        self.hub.bind(control_address(runtime_dir))
        control = ControlLink(self.context, runtime_dir, SCHEDULER)
        self.pool = Pool.create(1 << 20)
        self.loop = SchedulerLoop(runtime_dir, SCHEDULER, control, self.pool)
        self.boxes = {peer: Mailbox(runtime_dir, peer) for peer in (FRONTEND, OTHER_FRONTEND, WORKER, OTHER_WORKER)}
        self._from_worker = Outbox(runtime_dir)
        self._said: list[m.AnyMessage] = []

    def close(self) -> None:
        for box in self.boxes.values():
            box.close()
        self._from_worker.close()
        self.loop._close()
        self.context.destroy(linger=0)

    def turn(self) -> None:
        """What a turn of the loop does after it has received."""
        self.loop._dispatch()
        self.loop._outbox.flush()

    def control(self, *messages: m.AnyMessage) -> None:
        for message in messages:
            self.loop._on_control(message)
        self.turn()

    def ask(self, number: int, *, asker: int = FRONTEND, model: str = "m", version: int = 1, load: int = 0) -> None:
        body = msgspec.Raw(msgspec.msgpack.encode([number]))
        infer = m.Infer(number, asker, model, version, 1, b"", time.monotonic_ns(), body, load=load)
        self.loop._desk.enqueue(infer, time.monotonic_ns())
        self.turn()

    def cancel(self, number: int, *, asker: int = FRONTEND) -> None:
        self.loop._desk.cancel(asker, number, time.monotonic_ns())
        self.turn()

    def batch(self, worker: int = WORKER) -> m.Batch:
        """The one batch that a worker was given."""
        [batch] = self.boxes[worker].receive()
        assert isinstance(batch, m.Batch)
        return batch

    def finish(self, batch: m.Batch, worker: int = WORKER) -> None:
        now_ns = time.monotonic_ns()
        self.loop._desk.from_worker(m.BatchDone(batch.batch_id, worker, now_ns, now_ns, now_ns, now_ns), now_ns)
        self.turn()

    def failures(self, asker: int = FRONTEND) -> list[tuple[int, str]]:
        found = self.boxes[asker].receive()
        assert all(isinstance(each, m.Failure) for each in found)
        return [(each.request_id, each.code) for each in found if isinstance(each, m.Failure)]

    def said(self, kind: type[m.Message]) -> m.AnyMessage:
        """The next message of a kind that the supervisor hears."""
        while True:
            while self._said:
                message = self._said.pop(0)
                if isinstance(message, kind):
                    return message
            assert self.hub.poll(PATIENCE_MS), f"the supervisor never heard {kind.__name__}"
            self._said += m.decode(self.hub.recv_multipart()[1])

    def heard_nothing_but(self, last: m.Message) -> list[m.AnyMessage]:
        """Everything the supervisor hears up to this message, which is sent now."""
        self.loop._control.send(last)
        heard: list[m.AnyMessage] = []
        while last not in heard:
            assert self.hub.poll(PATIENCE_MS)
            heard += m.decode(self.hub.recv_multipart()[1])
        return heard


@pytest.fixture
def bench() -> Iterator[Bench]:
    # Short, since the path of a socket may have 107 bytes at most.
    path = Path(tempfile.mkdtemp(prefix="tis-test-"))
    made = Bench(path)
    yield made
    made.close()
    shutil.rmtree(path)


def table(*specs: ModelSpec, ready: bool = True, epoch: int = 1) -> m.Table:
    return m.Table(epoch, tuple(m.TableEntry(spec, ready) for spec in specs))


def serving(bench: Bench, *workers: int) -> None:
    bench.control(table(SPEC), *[m.InstanceUp(worker, "m", 1, load=7) for worker in workers or (WORKER,)])


# ---- requests ------------------------------------------------------------------------------------------------------


def test_a_request_reaches_a_worker_with_its_body_untouched(bench: Bench) -> None:
    serving(bench)
    bench.ask(7)
    [item] = bench.batch().items
    assert (item.request_id, item.asker, item.batch_size) == (7, FRONTEND, 1)
    assert bytes(item.body) == msgspec.msgpack.encode([7])


def test_requests_of_several_frontends_share_a_batch(bench: Bench) -> None:
    serving(bench)
    bench.ask(1)
    first = bench.batch()
    bench.ask(1, asker=OTHER_FRONTEND)
    bench.ask(2)
    bench.finish(first)
    assert [(item.asker, item.request_id) for item in bench.batch().items] == [(OTHER_FRONTEND, 1), (FRONTEND, 2)]


@pytest.mark.parametrize(("model", "version"), [("other", 1), ("m", 2)])
def test_a_request_for_a_model_that_is_not_there_is_answered_at_once(bench: Bench, model: str, version: int) -> None:
    serving(bench)
    bench.ask(1, model=model, version=version)
    assert bench.boxes[FRONTEND].receive() == [
        m.Failure(1, "NOT_FOUND", f"Request for unknown model: '{model}' version {version} is not found")
    ]


def test_a_waiting_request_that_is_cancelled_is_answered_and_never_runs(bench: Bench) -> None:
    serving(bench)
    bench.ask(1)
    running = bench.batch()
    bench.ask(2)
    bench.cancel(2)
    assert bench.failures() == [(2, "CANCELLED")]
    bench.finish(running)
    assert bench.boxes[WORKER].receive() == []


def test_a_cancel_for_what_runs_is_told_to_its_worker_and_one_for_what_was_never_heard_of_to_nobody(
    bench: Bench,
) -> None:
    serving(bench)
    bench.ask(1)
    batch = bench.batch()
    bench.cancel(1)
    bench.cancel(99)
    assert bench.failures() == []
    assert bench.boxes[WORKER].receive() == [m.Cancel(1, FRONTEND)]
    bench.finish(batch)


def test_requests_wait_for_the_first_instance(bench: Bench) -> None:
    bench.control(table(SPEC, ready=False))
    bench.ask(1)
    assert bench.boxes[WORKER].receive() == []
    bench.control(m.InstanceUp(WORKER, "m", 1, load=7))
    assert [item.request_id for item in bench.batch().items] == [1]


# ---- models come and go --------------------------------------------------------------------------------------------


def test_what_waits_for_a_version_that_fails_is_answered(bench: Bench) -> None:
    bench.control(table(SPEC))
    bench.ask(1)
    bench.control(table(SPEC, ready=False, epoch=2))
    [failure] = bench.boxes[FRONTEND].receive()
    text = "Request for unknown model: 'm' version 1 is not at ready state"
    assert failure == m.Failure(1, "UNAVAILABLE", text)


def test_a_request_that_comes_just_after_its_version_has_failed_does_not_wait_forever(bench: Bench) -> None:
    bench.control(table(SPEC))
    bench.control(table(SPEC, ready=False, epoch=2))
    bench.ask(1)
    assert bench.failures() == [(1, "UNAVAILABLE")]
    bench.control(table(SPEC, epoch=3), m.InstanceUp(WORKER, "m", 1, load=7))
    bench.ask(2)
    assert [item.request_id for item in bench.batch().items] == [2]


def test_what_waits_for_a_version_that_is_gone_still_runs_and_later_requests_are_not_found(bench: Bench) -> None:
    serving(bench)
    bench.ask(1)
    first = bench.batch()
    bench.ask(2)
    bench.control(table(epoch=2))
    bench.ask(3)
    assert bench.failures() == [(3, "NOT_FOUND")]
    bench.finish(first)
    assert [item.request_id for item in bench.batch().items] == [2]


def test_a_load_is_retired_when_nothing_of_it_waits_or_runs(bench: Bench) -> None:
    serving(bench)
    bench.ask(1)
    newer = msgspec.structs.replace(SPEC, load=8)
    bench.control(table(newer, epoch=2), m.InstanceUp(OTHER_WORKER, "m", 1, load=8))
    # A frontend that has not heard of the newer load still names the older one.
    bench.ask(2, load=7)
    bench.control(m.Retire(7))
    first = bench.batch()
    assert not any(isinstance(each, m.Retired) for each in bench.heard_nothing_but(m.Drained(1)))
    bench.finish(first)
    bench.finish(bench.batch())
    assert bench.said(m.Retired) == m.Retired(SCHEDULER, 7)
    bench.ask(3)
    assert [item.request_id for item in bench.batch(OTHER_WORKER).items] == [3]
    bench.ask(4, load=7)
    assert bench.failures() == [(4, "NOT_FOUND")]


def test_a_table_that_still_lists_a_version_leaves_its_queue_alone(bench: Bench) -> None:
    bench.control(table(SPEC))
    bench.ask(1)
    other = msgspec.structs.replace(SPEC, name="other", load=8)
    bench.control(table(SPEC, other, epoch=2), m.InstanceUp(WORKER, "m", 1, load=7))
    assert [item.request_id for item in bench.batch().items] == [1]


# ---- deaths --------------------------------------------------------------------------------------------------------


def test_a_dead_workers_requests_fail_with_the_reason_and_no_others_do(bench: Bench) -> None:
    serving(bench, WORKER, OTHER_WORKER)
    bench.ask(1)
    bench.ask(2)
    bench.batch(WORKER)
    bench.batch(OTHER_WORKER)
    bench.control(m.PeerDown(WORKER, "was killed by SIGKILL"))
    [failure] = bench.boxes[FRONTEND].receive()
    assert isinstance(failure, m.Failure)
    assert (failure.request_id, failure.code) == (1, "UNAVAILABLE")
    assert "was killed by SIGKILL" in failure.text


def test_after_a_worker_died_what_waited_goes_to_the_others(bench: Bench) -> None:
    serving(bench, WORKER, OTHER_WORKER)
    for number in (1, 2, 3):
        bench.ask(number)
    bench.batch(WORKER)
    other = bench.batch(OTHER_WORKER)
    bench.control(m.PeerDown(WORKER))
    bench.finish(other, OTHER_WORKER)
    assert [item.request_id for item in bench.batch(OTHER_WORKER).items] == [3]


def test_two_workers_that_die_in_one_turn_are_both_noticed(bench: Bench) -> None:
    serving(bench, WORKER, OTHER_WORKER)
    bench.ask(1)
    bench.ask(2)
    bench.control(m.PeerDown(WORKER), m.PeerDown(OTHER_WORKER))
    assert sorted(bench.failures()) == [(1, "UNAVAILABLE"), (2, "UNAVAILABLE")]


def test_a_batch_reported_after_its_workers_death_is_ignored(bench: Bench) -> None:
    serving(bench)
    bench.ask(1)
    batch = bench.batch()
    bench.control(m.PeerDown(WORKER))
    bench.finish(batch)
    assert bench.failures() == [(1, "UNAVAILABLE")]


def test_a_dead_frontend_is_quiesced_only_when_no_worker_reads_its_tensors_any_more(bench: Bench) -> None:
    serving(bench)
    bench.ask(1)
    batch = bench.batch()
    bench.ask(2)
    bench.ask(3, asker=OTHER_FRONTEND)
    bench.control(m.PeerDown(FRONTEND))
    heard = bench.heard_nothing_but(m.Drained(1))
    assert not any(isinstance(each, m.Quiesced) for each in heard)
    bench.finish(batch)
    bench.loop._report_quiesced()
    assert bench.said(m.Quiesced) == m.Quiesced(SCHEDULER, FRONTEND)
    cancel, batch_then = bench.boxes[WORKER].receive()
    assert cancel == m.Cancel(1, FRONTEND)
    assert isinstance(batch_then, m.Batch)
    assert [item.request_id for item in batch_then.items] == [3]


def test_what_a_dead_frontend_had_sent_before_is_not_run(bench: Bench) -> None:
    serving(bench)
    bench.ask(1)
    bench.batch()
    bench.control(m.PeerDown(FRONTEND))
    bench.ask(2)
    assert bench.loop._registry.queued == 0


def test_a_peer_that_held_nothing_is_quiesced_at_once(bench: Bench) -> None:
    bench.control(m.PeerDown(OTHER_FRONTEND))
    assert bench.said(m.Quiesced) == m.Quiesced(SCHEDULER, OTHER_FRONTEND)


# ---- slow peers ----------------------------------------------------------------------------------------------------


def fill(bench: Bench, peer: int) -> None:
    """Answer a frontend that does not read until its queue is full."""
    number = 1000
    while not bench.loop._outbox.blocked():
        bench.ask(number, asker=peer, model="nowhere")
        number += 1


def read_until_empty(bench: Bench, peer: int) -> list[int]:
    found: list[int] = []
    while True:
        arrived = bench.failures(peer)
        bench.loop._poller.wait(0.0)
        if not arrived:
            return found
        found += [number for number, _ in arrived]


def test_a_frontend_that_reads_late_still_gets_every_answer(bench: Bench) -> None:
    fill(bench, FRONTEND)
    bench.ask(1, model="nowhere")
    numbers = read_until_empty(bench, FRONTEND)
    assert numbers == [*range(1000, 1000 + len(numbers) - 1), 1]


def test_a_blocked_peer_is_watched_though_its_descriptor_was_that_of_a_dead_one(bench: Bench) -> None:
    fill(bench, FRONTEND)
    [fd] = bench.loop._outbox.blocked()
    bench.loop._poller.wait(0.0)
    bench.control(m.PeerDown(FRONTEND))
    fill(bench, OTHER_FRONTEND)
    assert list(bench.loop._outbox.blocked()) == [fd], "the descriptor was not used again: the test tests nothing"
    numbers = read_until_empty(bench, OTHER_FRONTEND)
    assert numbers == list(range(1000, 1000 + len(numbers)))
    assert not bench.loop._outbox.blocked()


# ---- statistics ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "version", "keys"),
    [
        ("", 0, [("a", 1), ("m", 1), ("m", 2)]),
        ("m", 0, [("m", 1), ("m", 2)]),
        ("m", 2, [("m", 2)]),
        ("zzz", 0, []),
    ],
)
def test_statistics_are_given_for_what_is_asked(
    bench: Bench, name: str, version: int, keys: list[tuple[str, int]]
) -> None:
    replace: Callable[..., ModelSpec] = msgspec.structs.replace
    bench.control(table(SPEC, replace(SPEC, version=2, load=8), replace(SPEC, name="a", load=9)))
    bench.loop._on_statistics(m.StatisticsQuery(5, FRONTEND, name, version))
    bench.turn()
    [reply] = bench.boxes[FRONTEND].receive()
    assert isinstance(reply, m.StatisticsReply)
    assert reply.request_id == 5
    assert [(each.name, each.version) for each in reply.models] == keys


# ---- the whole loop ------------------------------------------------------------------------------------------------


def test_the_running_loop_says_that_it_is_up_works_and_stops_when_told(bench: Bench) -> None:
    push = bench.context.socket(zmq.PUSH)
    push.connect(f"ipc://{requests_path(bench.runtime_dir)}")
    infer = m.Infer(1, FRONTEND, "nowhere", 1, 1, b"", 0, msgspec.Raw(b"\xc0"))
    push.send(m.encode([infer]))

    def stop_when_answered() -> None:
        select.select([bench.boxes[FRONTEND].fileno()], [], [], PATIENCE_MS / 1000)
        bench.hub.send_multipart([str(SCHEDULER).encode(), m.encode([m.Stop()])])

    assert bench.said(m.Hello) is not None
    stopper = threading.Thread(target=stop_when_answered)
    stopper.start()
    bench.loop.run()
    stopper.join()
    assert bench.said(m.Up) == m.Up(SCHEDULER)
    assert bench.failures() == [(1, "NOT_FOUND")]
    push.close()
