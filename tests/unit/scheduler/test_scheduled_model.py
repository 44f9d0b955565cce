"""A model version's scheduler: its queue, instances and statistics together, without a clock or a socket."""

import msgspec
import pytest

from tis.contracts.messages import BatchDone, Infer
from tis.contracts.model_spec import ModelSpec
from tis.contracts.scheduling_spec import DynamicBatcherSpec
from tis.scheduler.batcher import BatchPolicy
from tis.scheduler.instances import HANDOVER_LEAD_NS, RunningBatch
from tis.scheduler.model import ModelScheduler, policy_of

MS = 1_000_000
WORKER, OTHER_WORKER, FRONTEND, OTHER_FRONTEND = 100, 101, 1, 11


def spec(max_batch_size: int = 8, batcher: DynamicBatcherSpec | None = None) -> ModelSpec:
    return ModelSpec("m", 1, "", "onnxruntime", max_batch_size, (), (), batcher=batcher)


def infer(number: int, *, asker: int = FRONTEND, items: int = 1, arrival_ns: int = 0) -> Infer:
    return Infer(number, asker, "m", 1, items, b"", arrival_ns, msgspec.Raw(b"\xc0"))


def model(*, delay_us: int = 0, workers: tuple[int, ...] = (WORKER,)) -> ModelScheduler:
    made = ModelScheduler(spec(batcher=DynamicBatcherSpec(max_queue_delay_us=delay_us)))
    for worker in workers:
        made.instances.add(worker)
    return made


def ids(batch: RunningBatch) -> list[int]:
    return [request.infer.request_id for request in batch.requests]


def dispatched(scheduler: ModelScheduler, now_ns: int = 0) -> list[tuple[int, list[int]]]:
    return [(peer, ids(batch)) for peer, batch in scheduler.dispatch(now_ns)]


def finish(
    scheduler: ModelScheduler, batch: RunningBatch, peer: int = WORKER, *, start_ns: int = 0, end_ns: int = 1
) -> None:
    assert scheduler.done(BatchDone(batch.batch_id, peer, start_ns, start_ns, end_ns, end_ns)) is batch


# ---- policies ------------------------------------------------------------------------------------------------------


def test_a_model_without_dynamic_batching_runs_a_request_at_a_time() -> None:
    assert policy_of(spec(8)) == BatchPolicy(8, one_request=True)


def test_a_model_that_does_not_batch_runs_a_request_at_a_time_though_it_asks_for_batching() -> None:
    assert policy_of(spec(0, DynamicBatcherSpec(max_queue_delay_us=5))) == BatchPolicy(1, one_request=True)


def test_preferred_sizes_are_sorted_and_the_delay_is_in_nanoseconds() -> None:
    assert policy_of(spec(8, DynamicBatcherSpec((8, 2, 4), 150))) == BatchPolicy(8, (2, 4, 8), 150_000)


# ---- dispatching ---------------------------------------------------------------------------------------------------


def test_a_request_goes_to_a_free_instance_at_once() -> None:
    scheduler = model()
    scheduler.add(infer(1), 0)
    assert scheduler.queued == 1
    assert dispatched(scheduler) == [(WORKER, [1])]
    assert scheduler.queued == 0
    assert dispatched(scheduler) == []


def test_without_an_instance_requests_wait_and_go_when_one_comes() -> None:
    scheduler = model(workers=())
    scheduler.add(infer(1), 0)
    assert dispatched(scheduler) == []
    assert scheduler.wake_ns(0) is None
    scheduler.instances.add(WORKER)
    assert dispatched(scheduler) == [(WORKER, [1])]


def test_what_arrives_while_all_are_busy_forms_one_batch() -> None:
    scheduler = model()
    scheduler.add(infer(1), 0)
    [(_, first)] = scheduler.dispatch(0)
    for number in (2, 3, 4):
        scheduler.add(infer(number), 0)
    assert dispatched(scheduler) == []
    finish(scheduler, first)
    assert dispatched(scheduler, 1) == [(WORKER, [2, 3, 4])]


def test_several_free_instances_are_all_given_work_in_one_turn() -> None:
    scheduler = ModelScheduler(spec(8))
    scheduler.instances.add(WORKER)
    scheduler.instances.add(OTHER_WORKER)
    for number in (1, 2, 3):
        scheduler.add(infer(number), 0)
    assert dispatched(scheduler) == [(WORKER, [1]), (OTHER_WORKER, [2])]


def test_batch_numbers_are_never_used_twice_even_across_models() -> None:
    numbers = []
    for scheduler in (model(), model()):
        scheduler.add(infer(1), 0)
        numbers += [batch.batch_id for _, batch in scheduler.dispatch(0)]
    assert len(set(numbers)) == 2


def test_a_batchs_items_count_every_request_at_least_once() -> None:
    scheduler = model()
    for number, items in ((1, 0), (2, 3)):
        scheduler.add(infer(number, items=items), 0)
    [(_, batch)] = scheduler.dispatch(0)
    assert batch.items == 4


# ---- waking --------------------------------------------------------------------------------------------------------


def test_it_wakes_when_the_delay_of_its_oldest_request_is_over() -> None:
    scheduler = model(delay_us=5000)
    scheduler.add(infer(1), 2 * MS)
    assert dispatched(scheduler, 3 * MS) == []
    assert scheduler.wake_ns(3 * MS) == 7 * MS
    assert dispatched(scheduler, 7 * MS) == [(WORKER, [1])]
    assert scheduler.wake_ns(7 * MS) is None


def test_while_busy_it_wakes_when_the_next_batch_can_be_handed_over() -> None:
    scheduler = model()
    scheduler.add(infer(1), 0)
    [(_, first)] = scheduler.dispatch(0)
    finish(scheduler, first, start_ns=0, end_ns=20 * MS)
    scheduler.add(infer(2), 30 * MS)
    assert dispatched(scheduler, 30 * MS) == [(WORKER, [2])]
    scheduler.add(infer(3), 31 * MS)
    assert dispatched(scheduler, 31 * MS) == []
    assert scheduler.wake_ns(31 * MS) == 50 * MS - HANDOVER_LEAD_NS
    assert dispatched(scheduler, 50 * MS - HANDOVER_LEAD_NS) == [(WORKER, [3])]


# ---- cancellation --------------------------------------------------------------------------------------------------


def test_a_waiting_request_can_be_cancelled_once_and_never_runs() -> None:
    scheduler = model(workers=())
    scheduler.add(infer(1), 0)
    scheduler.add(infer(2), 0)
    assert scheduler.cancel(FRONTEND, 1, 9)
    assert not scheduler.cancel(FRONTEND, 1, 9)
    assert scheduler.queued == 1
    scheduler.instances.add(WORKER)
    assert dispatched(scheduler) == [(WORKER, [2])]
    assert scheduler.statistics.snapshot().fail.count == 1


def test_two_frontends_use_the_same_numbers_for_different_requests() -> None:
    scheduler = model(workers=())
    scheduler.add(infer(1, asker=FRONTEND), 0)
    scheduler.add(infer(1, asker=OTHER_FRONTEND), 0)
    assert scheduler.cancel(OTHER_FRONTEND, 1, 0)
    scheduler.instances.add(WORKER)
    [(_, batch)] = scheduler.dispatch(0)
    assert [request.infer.asker for request in batch.requests] == [FRONTEND]


def test_a_running_request_cannot_be_cancelled_and_its_batch_mates_are_not_disturbed() -> None:
    scheduler = model()
    scheduler.add(infer(1), 0)
    scheduler.add(infer(2), 0)
    [(_, batch)] = scheduler.dispatch(0)
    assert not scheduler.cancel(FRONTEND, 1, 0)
    finish(scheduler, batch)
    assert scheduler.statistics.snapshot().success.count == 2


def test_everything_that_waits_for_a_dead_frontend_is_dropped_and_nothing_else() -> None:
    scheduler = model(workers=())
    for number, asker in ((1, FRONTEND), (2, OTHER_FRONTEND), (3, FRONTEND)):
        scheduler.add(infer(number, asker=asker), 0)
    scheduler.cancel_all_of(FRONTEND, 0)
    scheduler.instances.add(WORKER)
    assert dispatched(scheduler) == [(WORKER, [2])]


# ---- deaths --------------------------------------------------------------------------------------------------------


def test_a_dead_instance_takes_exactly_its_own_requests_with_it() -> None:
    scheduler = ModelScheduler(spec(8))
    scheduler.instances.add(WORKER)
    scheduler.instances.add(OTHER_WORKER)
    for number in (1, 2, 3):
        scheduler.add(infer(number), 0)
    list(scheduler.dispatch(0))
    lost = scheduler.instance_gone(WORKER, 50)
    assert [request.infer.request_id for request in lost] == [1]
    assert scheduler.statistics.snapshot().fail.count == 1
    assert scheduler.queued == 1
    assert scheduler.instance_gone(WORKER, 50) == []


def test_two_batches_of_a_dead_instance_are_both_lost() -> None:
    scheduler = model()
    scheduler.add(infer(1), 0)
    [(_, first)] = scheduler.dispatch(0)
    finish(scheduler, first, end_ns=2 * MS)
    scheduler.add(infer(2), 0)
    list(scheduler.dispatch(0))
    scheduler.add(infer(3), 0)
    assert dispatched(scheduler, 100 * MS) == [(WORKER, [3])]
    assert [request.infer.request_id for request in scheduler.instance_gone(WORKER, 0)] == [2, 3]


def test_a_batch_reported_by_an_instance_that_was_given_up_counts_for_nothing() -> None:
    scheduler = model()
    scheduler.add(infer(1), 0)
    [(_, batch)] = scheduler.dispatch(0)
    scheduler.instance_gone(WORKER, 0)
    assert scheduler.done(BatchDone(batch.batch_id, WORKER, 0, 0, 0, 0)) is None
    snapshot = scheduler.statistics.snapshot()
    assert (snapshot.success.count, snapshot.fail.count) == (0, 1)


@pytest.mark.parametrize("peer", [WORKER, OTHER_WORKER])
def test_a_batch_reported_twice_or_by_a_stranger_counts_once(peer: int) -> None:
    scheduler = model()
    scheduler.add(infer(1), 0)
    [(_, batch)] = scheduler.dispatch(0)
    finish(scheduler, batch)
    assert scheduler.done(BatchDone(batch.batch_id, peer, 0, 0, 0, 0)) is None
    assert scheduler.statistics.snapshot().success.count == 1


def test_it_runs_for_an_asker_until_the_last_batch_with_a_request_of_it_is_done() -> None:
    scheduler = model()
    scheduler.add(infer(1, asker=FRONTEND), 0)
    scheduler.add(infer(1, asker=OTHER_FRONTEND), 0)
    assert not scheduler.runs_for(FRONTEND)
    [(_, batch)] = scheduler.dispatch(0)
    assert scheduler.runs_for(FRONTEND)
    assert scheduler.runs_for(OTHER_FRONTEND)
    finish(scheduler, batch)
    assert not scheduler.runs_for(FRONTEND)


def test_a_model_that_goes_away_gives_back_what_waited_and_counts_it_as_failed() -> None:
    scheduler = model(workers=())
    for number in (1, 2, 3):
        scheduler.add(infer(number), 0)
    scheduler.cancel(FRONTEND, 2, 0)
    assert [request.infer.request_id for request in scheduler.close(7)] == [1, 3]
    assert scheduler.queued == 0
    assert scheduler.statistics.snapshot().fail.count == 3
    scheduler.instances.add(WORKER)
    assert dispatched(scheduler) == []
