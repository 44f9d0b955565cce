"""A model version's scheduler: its queue, instances and statistics together, without a clock or a socket."""

from collections.abc import Iterable

import msgspec
import pytest

from tis.contracts.messages import BatchDone, Cancel, Finished, Infer
from tis.contracts.model_spec import ModelSpec
from tis.contracts.scheduling_spec import DynamicBatcherSpec
from tis.errors import Code
from tis.scheduler.batcher import BatchPolicy
from tis.scheduler.decisions import Decision, Run, Tell
from tis.scheduler.instances import HANDOVER_LEAD_NS, RunningBatch
from tis.scheduler.model import ModelScheduler, policy_of
from tis.scheduler.queued import QueuedRequest, Refusal

MS = 1_000_000
WORKER, OTHER_WORKER, FRONTEND, OTHER_FRONTEND = 100, 101, 1, 11


def spec(max_batch_size: int = 8, batcher: DynamicBatcherSpec | None = None) -> ModelSpec:
    return ModelSpec("m", 1, "", "onnxruntime", max_batch_size, (), (), batcher=batcher)


def infer(number: int, *, asker: int = FRONTEND, items: int = 1, arrival_ns: int = 0) -> Infer:
    return Infer(number, asker, "m", 1, items, b"", arrival_ns, msgspec.Raw(b"\xc0"))


def add(
    scheduler: ModelScheduler, number: int, *, asker: int = FRONTEND, items: int = 1, at_ns: int = 0
) -> QueuedRequest:
    request = QueuedRequest(infer(number, asker=asker, items=items), at_ns)
    scheduler.add(request, at_ns)
    return request


def model(*, delay_us: int = 0, workers: tuple[int, ...] = (WORKER,)) -> ModelScheduler:
    made = ModelScheduler(spec(batcher=DynamicBatcherSpec(max_queue_delay_us=delay_us)))
    for worker in workers:
        made.instance_up(worker)
    return made


def ids(batch: RunningBatch) -> list[int]:
    return [request.infer.request_id for request in batch.requests]


def dispatched(scheduler: ModelScheduler, now_ns: int = 0) -> list[tuple[int, list[int]]]:
    return [(peer, ids(batch)) for peer, batch in runs(scheduler, now_ns)]


def runs(scheduler: ModelScheduler, now_ns: int = 0) -> list[Run]:
    """What is handed over, where nothing else is decided."""
    decisions = list(scheduler.dispatch(now_ns))
    assert all(isinstance(each, Run) for each in decisions)
    return [each for each in decisions if isinstance(each, Run)]


def refused(decisions: Iterable[Decision]) -> list[tuple[int, Code]]:
    """Numbers and codes of requests that are refused, where nothing else is decided."""
    found = list(decisions)
    assert all(isinstance(each, Refusal) for each in found)
    return [(each.request.infer.request_id, each.error.code) for each in found if isinstance(each, Refusal)]


def finish(
    scheduler: ModelScheduler, batch: RunningBatch, peer: int = WORKER, *, start_ns: int = 0, end_ns: int = 1
) -> None:
    assert scheduler.done(BatchDone(batch.batch_id, peer, start_ns, start_ns, end_ns, end_ns), end_ns) == batch.requests


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
    add(scheduler, 1)
    assert scheduler.queued == 1
    assert dispatched(scheduler) == [(WORKER, [1])]
    assert scheduler.queued == 0
    assert dispatched(scheduler) == []


def test_without_an_instance_requests_wait_and_go_when_one_comes() -> None:
    scheduler = model(workers=())
    add(scheduler, 1)
    assert dispatched(scheduler) == []
    assert scheduler.wake_ns(0) is None
    scheduler.instance_up(WORKER)
    assert dispatched(scheduler) == [(WORKER, [1])]


def test_what_arrives_while_all_are_busy_forms_one_batch() -> None:
    scheduler = model()
    add(scheduler, 1)
    [(_, first)] = runs(scheduler)
    for number in (2, 3, 4):
        add(scheduler, number)
    assert dispatched(scheduler) == []
    finish(scheduler, first)
    assert dispatched(scheduler, 1) == [(WORKER, [2, 3, 4])]


def test_several_free_instances_are_all_given_work_in_one_turn() -> None:
    scheduler = ModelScheduler(spec(8))
    scheduler.instance_up(WORKER)
    scheduler.instance_up(OTHER_WORKER)
    for number in (1, 2, 3):
        add(scheduler, number)
    assert dispatched(scheduler) == [(WORKER, [1]), (OTHER_WORKER, [2])]


def test_batch_numbers_are_never_used_twice_even_across_models() -> None:
    numbers = []
    for scheduler in (model(), model()):
        add(scheduler, 1)
        numbers += [batch.batch_id for _, batch in runs(scheduler)]
    assert len(set(numbers)) == 2


def test_a_batchs_items_count_every_request_at_least_once() -> None:
    scheduler = model()
    for number, items in ((1, 0), (2, 3)):
        add(scheduler, number, items=items)
    [(_, batch)] = runs(scheduler)
    assert batch.items == 4


# ---- waking --------------------------------------------------------------------------------------------------------


def test_it_wakes_when_the_delay_of_its_oldest_request_is_over() -> None:
    scheduler = model(delay_us=5000)
    add(scheduler, 1, at_ns=2 * MS)
    assert dispatched(scheduler, 3 * MS) == []
    assert scheduler.wake_ns(3 * MS) == 7 * MS
    assert dispatched(scheduler, 7 * MS) == [(WORKER, [1])]
    assert scheduler.wake_ns(7 * MS) is None


def test_while_busy_it_wakes_when_the_next_batch_can_be_handed_over() -> None:
    scheduler = model()
    add(scheduler, 1)
    [(_, first)] = runs(scheduler)
    finish(scheduler, first, start_ns=0, end_ns=20 * MS)
    add(scheduler, 2, at_ns=30 * MS)
    assert dispatched(scheduler, 30 * MS) == [(WORKER, [2])]
    add(scheduler, 3, at_ns=31 * MS)
    assert dispatched(scheduler, 31 * MS) == []
    assert scheduler.wake_ns(31 * MS) == 50 * MS - HANDOVER_LEAD_NS
    assert dispatched(scheduler, 50 * MS - HANDOVER_LEAD_NS) == [(WORKER, [3])]


# ---- cancellation --------------------------------------------------------------------------------------------------


def test_a_waiting_request_can_be_cancelled_once_and_never_runs() -> None:
    scheduler = model(workers=())
    first = add(scheduler, 1)
    add(scheduler, 2)
    assert refused(scheduler.cancel(first, 9)) == [(1, Code.CANCELLED)]
    assert refused(scheduler.cancel(first, 9)) == []
    assert scheduler.queued == 1
    scheduler.instance_up(WORKER)
    assert dispatched(scheduler) == [(WORKER, [2])]
    assert scheduler.statistics.snapshot().fail.count == 1


def test_the_cancellation_of_a_running_request_reaches_its_worker_and_nobody_else() -> None:
    scheduler = model()
    first = add(scheduler, 1)
    add(scheduler, 2)
    [(_, batch)] = runs(scheduler)
    assert list(scheduler.cancel(first, 0)) == [Tell(WORKER, Cancel(1, FRONTEND))]
    assert list(scheduler.cancel(first, 0)) == []
    finish(scheduler, batch)
    assert scheduler.statistics.snapshot().success.count == 2


# ---- deaths --------------------------------------------------------------------------------------------------------


def test_a_dead_instance_takes_exactly_its_own_requests_with_it() -> None:
    scheduler = ModelScheduler(spec(8))
    scheduler.instance_up(WORKER)
    scheduler.instance_up(OTHER_WORKER)
    for number in (1, 2, 3):
        add(scheduler, number)
    runs(scheduler)
    assert refused(scheduler.instance_gone(WORKER, "died", 50)) == [(1, Code.UNAVAILABLE)]
    assert scheduler.statistics.snapshot().fail.count == 1
    assert scheduler.queued == 1
    assert refused(scheduler.instance_gone(WORKER, "died", 50)) == []


def test_two_batches_of_a_dead_instance_are_both_lost() -> None:
    scheduler = model()
    add(scheduler, 1)
    [(_, first)] = runs(scheduler)
    finish(scheduler, first, end_ns=2 * MS)
    add(scheduler, 2)
    runs(scheduler)
    add(scheduler, 3)
    assert dispatched(scheduler, 3 * MS) == [(WORKER, [3])]
    assert [number for number, _ in refused(scheduler.instance_gone(WORKER, "died", 0))] == [2, 3]


def test_a_batch_reported_by_an_instance_that_was_given_up_counts_for_nothing() -> None:
    scheduler = model()
    add(scheduler, 1)
    [(_, batch)] = runs(scheduler)
    assert len(refused(scheduler.instance_gone(WORKER, "died", 0))) == 1
    assert scheduler.done(BatchDone(batch.batch_id, WORKER, 0, 0, 0, 0), 0) == []
    snapshot = scheduler.statistics.snapshot()
    assert (snapshot.success.count, snapshot.fail.count) == (0, 1)


@pytest.mark.parametrize("peer", [WORKER, OTHER_WORKER])
def test_a_batch_reported_twice_or_by_a_stranger_counts_once(peer: int) -> None:
    scheduler = model()
    add(scheduler, 1)
    [(_, batch)] = runs(scheduler)
    finish(scheduler, batch)
    assert scheduler.done(BatchDone(batch.batch_id, peer, 0, 0, 0, 0), 0) == []
    assert scheduler.statistics.snapshot().success.count == 1


def test_a_model_that_goes_away_gives_back_what_waited_and_counts_it_as_failed() -> None:
    scheduler = model(workers=())
    _, second, _ = [add(scheduler, number) for number in (1, 2, 3)]
    assert len(refused(scheduler.cancel(second, 0))) == 1
    assert [number for number, _ in refused(scheduler.close(7))] == [1, 3]
    assert scheduler.queued == 0
    assert scheduler.statistics.snapshot().fail.count == 3
    scheduler.instance_up(WORKER)
    assert dispatched(scheduler) == []


# ---- responses after the batch, and requests that run again -----------------------------------------------------------


def test_a_request_that_is_answered_after_its_batch_counts_when_its_last_response_is_sent() -> None:
    scheduler = model()
    first, second = add(scheduler, 1), add(scheduler, 2)
    [(_, batch)] = runs(scheduler)
    done = BatchDone(batch.batch_id, WORKER, 0, 0, 1, 1, unfinished=(1,))
    assert scheduler.done(done, 1) == [first]
    assert scheduler.statistics.snapshot().success.count == 1
    assert scheduler.finished(Finished(batch.batch_id, WORKER, 1, 9)) is second
    assert scheduler.finished(Finished(batch.batch_id, WORKER, 1, 9)) is None
    snapshot = scheduler.statistics.snapshot()
    assert (snapshot.success.count, snapshot.inference_count, snapshot.execution_count) == (2, 2, 1)


def test_a_dead_instance_takes_the_requests_with_it_that_it_had_not_finished() -> None:
    scheduler = model()
    add(scheduler, 1)
    [(_, batch)] = runs(scheduler)
    scheduler.done(BatchDone(batch.batch_id, WORKER, 0, 0, 1, 1, unfinished=(0,)), 1)
    assert refused(scheduler.instance_gone(WORKER, "died", 5)) == [(1, Code.UNAVAILABLE)]
    assert scheduler.finished(Finished(batch.batch_id, WORKER, 0, 9)) is None
