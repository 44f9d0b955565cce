"""Statistics count in the terms of the reference: requests, items, executions, and durations of whole batches."""

import msgspec

from tis.contracts.messages import BatchDone, Duration, Infer
from tis.contracts.metrics import CANCELED, FAILURE_REASONS
from tis.scheduler.instances import RunningBatch
from tis.scheduler.queued import QueuedRequest
from tis.scheduler.statistics import Statistics


def request(number: int, *, items: int = 1, arrival_ns: int = 0, enqueued_ns: int = 10) -> QueuedRequest:
    return QueuedRequest(Infer(number, 1, "m", 1, items, b"", arrival_ns, msgspec.Raw(b"\xc0")), enqueued_ns)


def batch(*requests: QueuedRequest) -> RunningBatch:
    return RunningBatch(1, list(requests), sum(each.items for each in requests))


def done(start_ns: int = 100, failed: tuple[int, ...] = ()) -> BatchDone:
    """Input takes 1, the run 20, output 300."""
    return BatchDone(1, 9, start_ns, start_ns + 1, start_ns + 21, start_ns + 321, failed)


def test_a_loaded_model_starts_with_zeros() -> None:
    fresh = Statistics("m", 3).snapshot()
    assert (fresh.name, fresh.version) == ("m", 3)
    assert fresh.last_inference_ms == fresh.inference_count == fresh.execution_count == 0
    assert fresh.success == fresh.fail == fresh.queue == fresh.compute_infer == Duration(0, 0)
    assert fresh.batches == ()


def test_a_success_lasts_from_arrival_to_the_end_of_its_batch() -> None:
    statistics = Statistics("m", 1)
    statistics.executed(batch(request(1, arrival_ns=5)), done())
    assert statistics.snapshot().success == Duration(1, 421 - 5)


def test_a_batch_counts_once_as_an_execution_and_each_item_as_an_inference() -> None:
    statistics = Statistics("m", 1)
    statistics.executed(batch(request(1, items=2), request(2, items=3), request(3, items=0)), done())
    snapshot = statistics.snapshot()
    assert snapshot.execution_count == 1
    assert snapshot.inference_count == 2 + 3 + 1
    assert snapshot.success.count == 3
    assert snapshot.last_inference_ms > 0


def test_each_request_of_a_batch_gets_the_whole_batchs_compute_times() -> None:
    statistics = Statistics("m", 1)
    statistics.executed(batch(request(1), request(2)), done())
    snapshot = statistics.snapshot()
    assert snapshot.compute_input == Duration(2, 2 * 1)
    assert snapshot.compute_infer == Duration(2, 2 * 20)
    assert snapshot.compute_output == Duration(2, 2 * 300)


def test_queue_time_is_from_the_scheduler_to_the_start_of_the_execution() -> None:
    statistics = Statistics("m", 1)
    statistics.executed(batch(request(1, enqueued_ns=40), request(2, enqueued_ns=90)), done(start_ns=100))
    assert statistics.snapshot().queue == Duration(2, 60 + 10)


def test_a_clock_read_late_does_not_make_queue_time_negative() -> None:
    statistics = Statistics("m", 1)
    statistics.executed(batch(request(1, enqueued_ns=500)), done(start_ns=100))
    assert statistics.snapshot().queue == Duration(1, 0)


def test_batch_statistics_go_by_total_items_once_an_execution_in_ascending_order() -> None:
    statistics = Statistics("m", 1)
    statistics.executed(batch(request(1, items=5)), done())
    statistics.executed(batch(request(2, items=2)), done())
    statistics.executed(batch(request(3), request(4)), done())
    batches = statistics.snapshot().batches
    assert [each.batch_size for each in batches] == [2, 5]
    assert batches[0].compute_input == Duration(2, 2)
    assert batches[0].compute_infer == Duration(2, 40)
    assert batches[0].compute_output == Duration(2, 600)
    assert batches[1].compute_infer == Duration(1, 20)


def test_a_failed_request_of_a_batch_is_no_success_and_no_inference() -> None:
    statistics = Statistics("m", 1)
    statistics.executed(batch(request(1, items=2), request(2, items=3)), done(failed=(0,)))
    snapshot = statistics.snapshot()
    assert snapshot.success.count == snapshot.fail.count == 1
    assert snapshot.inference_count == 3
    assert snapshot.execution_count == 1
    assert snapshot.compute_infer.count == snapshot.queue.count == 1


def test_a_batch_that_failed_as_a_whole_is_no_execution() -> None:
    statistics = Statistics("m", 1)
    statistics.executed(batch(request(1), request(2)), done(failed=(0, 1)))
    snapshot = statistics.snapshot()
    assert snapshot.fail.count == 2
    assert snapshot.execution_count == snapshot.success.count == snapshot.last_inference_ms == 0
    assert snapshot.batches == ()


def test_a_batch_that_failed_as_a_whole_is_an_execution_where_the_backend_says_so() -> None:
    statistics = Statistics("m", 1, counts_failed_batches=True)
    statistics.executed(batch(request(1), request(2)), done(failed=(0, 1)))
    snapshot = statistics.snapshot()
    assert (snapshot.fail.count, snapshot.success.count, snapshot.inference_count) == (2, 0, 0)
    assert (snapshot.execution_count, snapshot.compute_infer.count) == (1, 0)
    assert snapshot.batches[0].compute_infer.count == 1


def test_a_request_that_never_ran_is_a_failure_with_its_time() -> None:
    statistics = Statistics("m", 1)
    statistics.failed(77)
    statistics.failed(23)
    assert statistics.snapshot().fail == Duration(2, 100)


def test_a_snapshot_does_not_change_afterwards() -> None:
    statistics = Statistics("m", 1)
    statistics.executed(batch(request(1)), done())
    before = statistics.snapshot()
    statistics.executed(batch(request(2)), done())
    assert before.success.count == before.batches[0].compute_infer.count == 1


def test_metrics_tell_the_same_counts_and_why_requests_failed() -> None:
    statistics = Statistics("m", 1)
    statistics.executed(batch(request(1, items=2, arrival_ns=0), request(2)), done(start_ns=2_000, failed=(1,)))
    statistics.failed(77, CANCELED)
    statistics.failed(5)
    metrics = statistics.metrics(3, 0)
    snapshot = statistics.snapshot()
    assert dict(zip(FAILURE_REASONS, metrics.failures, strict=True)) == {
        "REJECTED": 0,
        "CANCELED": 1,
        "BACKEND": 1,
        "OTHER": 1,
    }
    assert sum(metrics.failures) == snapshot.fail.count
    assert (metrics.success, metrics.inference_count, metrics.execution_count, metrics.pending) == (1, 2, 1, 3)
    assert metrics.durations_us[0] == snapshot.success.ns // 1000
    assert metrics.summaries == ()
