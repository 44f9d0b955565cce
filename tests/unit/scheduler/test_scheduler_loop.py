"""The scheduler's loop, stepped by hand: real sockets on both sides, no process, no waiting."""

import select
import threading
from collections.abc import Callable

import msgspec
import pytest
import zmq

from tests.unit.scheduler.loop_bench import (
    FRONTEND,
    OTHER_FRONTEND,
    PATIENCE_MS,
    SCHEDULER,
    SPEC,
    WORKER,
    Bench,
    serving,
    table,
)
from tis.contracts import messages as m
from tis.contracts.control import requests_path
from tis.contracts.model_spec import ModelSpec

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
