"""Models come and go and processes die, as the scheduler's loop sees it: nothing is lost, nothing waits for ever."""

import msgspec

from tests.unit.scheduler.loop_bench import (
    FRONTEND,
    OTHER_FRONTEND,
    OTHER_WORKER,
    SCHEDULER,
    SPEC,
    WORKER,
    Bench,
    serving,
    table,
)
from tis.contracts import messages as m

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
    bench.finish(first)
    bench.finish(bench.batch())
    assert bench.said(m.Retired) == m.Retired(SCHEDULER, 7, is_over=False)
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


def test_an_instance_that_is_told_of_twice_has_warmed_up_once(bench: Bench) -> None:
    up = m.InstanceUp(WORKER, "m", 1, load=7, warmups=(m.Warmup(2, 0, 1, 2, 3),))
    bench.control(table(SPEC), up, up)
    bench.loop._on_statistics(m.StatisticsQuery(5, FRONTEND, "m", 1))
    bench.turn()
    [reply] = bench.boxes[FRONTEND].receive()
    assert isinstance(reply, m.StatisticsReply)
    assert (reply.models[0].execution_count, reply.models[0].inference_count) == (1, 2)
