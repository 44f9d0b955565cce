"""The ledger of requests in flight: every block comes back once, every client is told, late answers harm nobody."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.frontend.core_bench import FRONTEND, HALF, PLAN, STRINGS, Bench
from tis.carrier.zmtp import PullSocket
from tis.contracts import messages as m
from tis.errors import Code, TisError, unavailable
from tis_shm.pool import Block, StaleBlockError

# ---- places for tensors --------------------------------------------------------------------------------------------


def test_a_block_that_is_not_submitted_is_given_back(bench: Bench) -> None:
    block = bench.core.take(5000)
    assert bench.core.used_bytes == 8192
    bench.core.discard(block)
    assert bench.core.used_bytes == 0


def test_a_request_without_tensors_has_a_block_too(bench: Bench) -> None:
    bench.core.discard(bench.core.take(0))


def test_while_there_is_no_room_a_request_may_come_again_later(bench: Bench) -> None:
    taken = bench.core.take(HALF)
    with pytest.raises(TisError) as caught:
        bench.core.take(1000)
    assert caught.value.code is Code.UNAVAILABLE
    assert f"{HALF} of {HALF} bytes are taken" in caught.value.message
    bench.core.discard(taken)


def test_a_request_that_can_never_fit_is_told_so_with_sizes(bench: Bench) -> None:
    with pytest.raises(TisError) as caught:
        bench.core.take(HALF + 1)
    assert caught.value.code is Code.INVALID_ARG
    assert f"{HALF + 1} bytes" in caught.value.message
    assert "--pool-byte-size" in caught.value.message


# ---- requests ------------------------------------------------------------------------------------------------------


def test_a_request_reaches_the_scheduler_with_all_that_a_worker_needs(bench: Bench) -> None:
    number = bench.submit()
    bench.turn()
    [infer] = bench.sent()
    assert isinstance(infer, m.Infer)
    assert (infer.request_id, infer.asker, infer.model, infer.version) == (number, FRONTEND, "m", 1)
    assert (infer.batch_size, infer.batch_key, infer.arrival_ns) == (1, b"key", 123)
    body = m.decode_body(infer.body)
    assert (body.client_id, body.inputs, body.outputs) == ("x", PLAN.inputs, None)
    bench.pool.check(Block(body.blocks[0].offset, body.blocks[0].generation))


def test_requests_of_one_turn_leave_in_order_and_in_few_packets(bench: Bench) -> None:
    numbers = [bench.submit() for _ in range(10)]
    bench.turn()
    packets = bench.packets()
    assert [each.request_id for packet in packets for each in packet if isinstance(each, m.Infer)] == numbers
    assert [len(packet) for packet in packets] == [8, 2]


def test_a_request_alone_leaves_at_the_end_of_its_turn(bench: Bench) -> None:
    number = bench.submit()
    bench.turn()
    assert [message.request_id for message in bench.sent() if isinstance(message, m.Infer)] == [number]


def test_an_answer_is_read_in_place_and_its_block_goes_back_to_the_worker_after_release(bench: Bench) -> None:
    number = bench.submit()
    bench.turn()
    bench.reply(number)
    [answer] = bench.answers
    assert answer.error is None
    assert [(each.name, each.datatype, each.shape, bytes(each.data)) for each in answer.outputs] == [
        ("Y", "INT8", (4,), b"abcd")
    ]
    assert bench.loans.collect() == 0
    bench.core.release(answer)
    bench.core.release(answer)
    assert bench.loans.collect() == 1
    assert bench.core.pending == bench.core.used_bytes == 0


def test_parameters_go_to_the_worker_and_come_back_from_the_model(bench: Bench) -> None:
    number = bench.submit(plan=replace(PLAN, parameters={"n": 1, "f": 1.5, "b": True, "s": "x"}))
    bench.turn()
    [infer] = bench.sent()
    assert isinstance(infer, m.Infer)
    assert m.decode_body(infer.body).parameters == {"n": 1, "f": 1.5, "b": True, "s": "x"}
    bench.receive(m.Reply(number, (), (), {"tokens": 3}))
    assert bench.answers[0].parameters == {"tokens": 3}


def test_an_answer_without_bytes_needs_no_block(bench: Bench) -> None:
    number = bench.submit()
    bench.receive(m.Reply(number, (), (m.OutputRef("Y", "FP32", (0,), 0, 0),)))
    [answer] = bench.answers
    assert bytes(answer.outputs[0].data) == b""
    bench.core.release(answer)


@pytest.mark.parametrize(("text", "complete"), [("it broke", False), ("[request id: x] it broke", True)])
def test_a_failure_has_its_code_and_the_requests_id_once(bench: Bench, text: str, *, complete: bool) -> None:
    number = bench.submit()
    bench.receive(m.Failure(number, "UNAVAILABLE", text, complete))
    [answer] = bench.answers
    assert answer.error is not None
    assert (answer.error.code, answer.error.message) == (Code.UNAVAILABLE, "[request id: x] it broke")
    assert bench.core.used_bytes == 0


def test_answers_may_come_in_any_order(bench: Bench) -> None:
    numbers = [bench.submit(client_id=str(number)) for number in range(3)]
    for number in reversed(numbers):
        bench.receive(m.Failure(number, "INTERNAL", "no"))
    assert [each.error and each.error.message for each in bench.answers] == [
        f"[request id: {number}] no" for number in (2, 1, 0)
    ]


def test_an_answer_for_a_request_that_never_was_is_counted_and_its_block_released(bench: Bench) -> None:
    bench.reply(999)
    assert bench.answers == []
    assert bench.core.late_answers == 1
    assert bench.loans.collect() == 1


def test_a_request_answered_twice_is_delivered_once(bench: Bench) -> None:
    number = bench.submit()
    bench.receive(m.Failure(number, "INTERNAL", "no"), m.Failure(number, "INTERNAL", "no"))
    assert len(bench.answers) == 1
    assert bench.core.late_answers == 1


def test_an_answer_whose_block_was_freed_meanwhile_is_an_error_and_never_other_bytes(bench: Bench) -> None:
    number = bench.submit()
    stale = bench.lend(b"abcd")
    bench.worker_slab.free(stale)
    with pytest.raises(StaleBlockError):
        bench.pool.check(stale)
    bench.receive(m.Reply(number, (m.BlockRef(*stale),), (m.OutputRef("Y", "INT8", (4,), 0, 4),)))
    [answer] = bench.answers
    assert answer.error is not None
    assert answer.error.code is Code.INTERNAL
    assert answer.outputs == []


# ---- refusals ------------------------------------------------------------------------------------------------------


def test_strings_that_do_not_fit_their_shape_are_refused_with_the_requests_id(bench: Bench) -> None:
    with pytest.raises(TisError) as caught:
        bench.submit(b"\5\0\0\0abcde", STRINGS)
    assert (
        caught.value.message
        == "[request id: x] expected 2 string elements for inference input 'S' for model 'm', got 1"
    )
    assert bench.core.pending == 0


def test_an_id_too_long_for_a_packet_is_refused(bench: Bench) -> None:
    with pytest.raises(TisError) as caught:
        bench.submit(client_id="x" * 100_000)
    assert caught.value.code is Code.INVALID_ARG
    assert bench.core.pending == bench.core.used_bytes == 0
    bench.submit(client_id="x" * 10_000)


# ---- clients that go away ------------------------------------------------------------------------------------------


def test_a_cancelled_request_keeps_its_block_until_the_worker_is_surely_done(bench: Bench) -> None:
    number = bench.submit()
    bench.core.cancel(number)
    bench.core.cancel(number)
    bench.turn()
    messages = bench.sent()
    assert messages[1:] == [m.Cancel(number, FRONTEND)]
    assert bench.core.used_bytes > 0
    bench.reply(number)
    assert bench.core.pending == bench.core.used_bytes == 0
    assert bench.answers == []
    assert bench.loans.collect() == 1


def test_cancelling_what_is_answered_already_says_nothing(bench: Bench) -> None:
    number = bench.submit()
    bench.turn()
    bench.sent()
    bench.receive(m.Failure(number, "INTERNAL", "no"))
    bench.core.cancel(number)
    bench.turn()
    assert bench.packets() == []


# ---- the scheduler's death -----------------------------------------------------------------------------------------


def test_when_the_scheduler_dies_everything_in_flight_fails_at_once(bench: Bench) -> None:
    first, cancelled = bench.submit(client_id="a"), bench.submit(client_id="b")
    bench.core.cancel(cancelled)
    query = bench.start(bench.core.statistics("m", 0))
    bench.core.fail_all(unavailable("the scheduler has died"))
    [answer] = bench.answers
    assert answer.error is not None
    assert (answer.error.code, answer.error.message) == (Code.UNAVAILABLE, "[request id: a] the scheduler has died")
    assert bench.core.pending == bench.core.used_bytes == 0
    with pytest.raises(TisError):
        bench.loop.run_until_complete(query)
    bench.reply(first)
    assert bench.core.late_answers == 1
    assert bench.loans.collect() == 1


def test_whoever_waits_for_idleness_is_told_when_everything_has_failed(bench: Bench) -> None:
    bench.submit()
    idle = bench.start(bench.core.idle())
    assert not idle.done()
    bench.core.fail_all(unavailable("the scheduler has died"))
    bench.turn()
    assert idle.done()


def test_idleness_is_told_when_the_last_answer_is_in(bench: Bench) -> None:
    assert bench.start(bench.core.idle()).done()
    numbers = [bench.submit(), bench.submit()]
    idle = bench.start(bench.core.idle())
    bench.receive(m.Failure(numbers[0], "INTERNAL", "no"))
    assert not idle.done()
    bench.receive(m.Failure(numbers[1], "INTERNAL", "no"))
    assert idle.done()


def test_when_the_connection_to_the_scheduler_breaks_everything_in_flight_fails_without_being_told(
    bench: Bench,
) -> None:
    bench.submit()
    bench.turn()
    idle = bench.start(bench.core.idle())
    bench.stop_scheduler()
    bench.turn()
    [answer] = bench.answers
    assert answer.error is not None
    assert answer.error.code is Code.UNAVAILABLE
    assert bench.core.used_bytes == 0
    assert idle.done()


def test_without_a_scheduler_a_request_is_refused_at_once(bench: Bench) -> None:
    bench.stop_scheduler()
    bench.turn()
    bench.submit()
    query = bench.start(bench.core.statistics("", 0))
    [answer] = bench.answers
    assert answer.error is not None
    assert answer.error.code is Code.UNAVAILABLE
    with pytest.raises(TisError, match="not reachable"):
        bench.loop.run_until_complete(query)
    assert bench.core.used_bytes == 0


def test_without_a_scheduler_no_request_is_answered_before_it_is_submitted(bench: Bench) -> None:
    """Not even the one that fills a packet, which leaves at once: its block is its caller's until `submit` has returned."""
    bench.stop_scheduler()
    bench.turn()
    for _ in range(20):
        bench.submit()
        assert not bench.answers
    bench.turn()
    assert len(bench.answers) == 20
    assert bench.core.used_bytes == 0
    assert not bench.core.late_answers


def test_a_query_that_failed_before_it_could_leave_does_not_keep_others_from_their_answers(bench: Bench) -> None:
    bench.stop_scheduler()
    bench.turn()
    query = bench.core.statistics("", 0)
    query.send(None)
    bench.core.fail_all(unavailable("the scheduler has died"))
    bench.submit()
    bench.turn()
    assert len(bench.answers) == 1
    assert bench.core.pending == 0
    with pytest.raises(TisError):
        query.send(None)


def test_a_new_scheduler_gets_new_requests(bench: Bench) -> None:
    assert bench.scheduler is not None
    path = bench.scheduler._path
    bench.stop_scheduler()
    bench.turn()
    bench.core.connect()
    bench.scheduler = PullSocket(path)
    bench.connect()
    number = bench.submit()
    bench.turn()
    assert [message.request_id for message in bench.sent() if isinstance(message, m.Infer)] == [number]


def test_more_than_a_socket_takes_at_once_arrives_whole_when_the_scheduler_reads(bench: Bench) -> None:
    """Also where the scheduler has not shaken hands yet."""
    assert bench.scheduler is not None
    bench.core.connect()
    numbers = []
    for _ in range(200):
        numbers.append(bench.submit(client_id="x" * 10_000))
        bench.turn(1)
    connection = bench.scheduler.accept()
    assert connection is not None
    bench._connection = connection
    received: list[int] = []
    for _ in range(10_000):
        for packet in bench.packets():
            received += [message.request_id for message in packet if isinstance(message, m.Infer)]
        if len(received) == len(numbers):
            break
        bench.turn(1)
    assert received == numbers


# ---- statistics ----------------------------------------------------------------------------------------------------


def test_a_query_gets_its_reply(bench: Bench) -> None:
    query = bench.start(bench.core.statistics("m", 3))
    [sent] = bench.sent()
    assert isinstance(sent, m.StatisticsQuery)
    assert (sent.asker, sent.model, sent.version) == (FRONTEND, "m", 3)
    bench.receive(m.StatisticsReply(sent.request_id, ()))
    assert bench.loop.run_until_complete(query) == ()
    bench.receive(m.StatisticsReply(sent.request_id, ()))


# ---- a worker's death ----------------------------------------------------------------------------------------------


def test_a_dead_workers_memory_is_reported_quiet_only_when_its_last_answer_is_released(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = bench.submit()
    # The reply still lies in the mailbox when the death is heard of.
    block = bench.lend(b"abcd")
    bench.outbox.post(FRONTEND, m.Reply(number, (m.BlockRef(*block),), (m.OutputRef("Y", "INT8", (4,), 0, 4),)))
    bench.outbox.flush()
    reported: list[bool] = []
    later: list[Callable[[], None]] = []

    def call_later(_delay_s: float, callback: Callable[..., None], *arguments: Any) -> None:
        later.append(lambda: callback(*arguments))

    monkeypatch.setattr(bench.core, "_loop", SimpleNamespace(call_later=call_later))
    bench.core.when_quiesced(lambda: reported.append(True))
    [answer] = bench.answers
    assert not reported
    later.pop()()
    assert not reported
    bench.core.release(answer)
    later.pop()()
    assert reported == [True]
    assert later == []
    monkeypatch.undo()


def test_where_nothing_is_held_it_is_quiet_at_once(bench: Bench) -> None:
    reported: list[bool] = []
    bench.core.when_quiesced(lambda: reported.append(True))
    assert reported == [True]
