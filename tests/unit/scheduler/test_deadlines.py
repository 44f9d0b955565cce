"""Where a request's `timeout` covers its execution, its client hears on time, wherever the request is."""

import msgspec

from tests.unit.scheduler.simulation import FRONTEND, MS, Simulation
from tis.contracts.inference import REQUEST_TIMEOUT_TEXT
from tis.contracts.messages import BatchDone, Cancel, Expired, Finished, Infer, Wishes
from tis.contracts.model_spec import ModelSpec
from tis.contracts.scheduling_spec import DynamicBatcherSpec, ExtensionSpec
from tis.errors import Code
from tis.scheduler.decisions import Run, Tell
from tis.scheduler.model import ModelScheduler
from tis.scheduler.queued import QueuedRequest, Refusal

WORKER = 100


def spec(batcher: DynamicBatcherSpec | None = None, *, covers: bool = True) -> ModelSpec:
    extensions = ExtensionSpec(timeout_covers_execution=covers)
    return ModelSpec("m", 1, "", "onnxruntime", 8, (), (), batcher=batcher, extensions=extensions)


def simulation(takes_ms: float = 300, *, covers: bool = True) -> Simulation:
    return Simulation(spec(covers=covers), lambda _: takes_ms)


def running(timeout_us: int = 100_000) -> tuple[ModelScheduler, QueuedRequest, int]:
    """A model that runs a request; also the number of its batch."""
    scheduler = ModelScheduler(spec())
    scheduler.instance_up(WORKER)
    infer = Infer(7, FRONTEND, "m", 1, 1, b"", 0, msgspec.Raw(b"\xc0"), Wishes(timeout_us=timeout_us))
    request = QueuedRequest(infer, 0)
    scheduler.add(request, 0)
    [run] = scheduler.dispatch(0)
    assert isinstance(run, Run)
    return scheduler, request, run.batch.batch_id


def failures(scheduler: ModelScheduler) -> tuple[int, ...]:
    """Rejected, cancelled, of the backend, others."""
    return scheduler.statistics.metrics(0, 0).failures


def test_a_running_request_is_answered_when_its_time_is_over_and_its_worker_is_told() -> None:
    run = simulation()
    number, other = run.ask(0, timeout_ms=100), run.ask(10)
    run.run()
    assert run.expired == {number: 100}
    assert run.told_to_stop == {number: 100}
    assert run.refused == {}
    assert run.answered == {number: 300, other: 600}
    assert failures(run.scheduler) == (1, 0, 0, 0)
    assert run.scheduler.statistics.snapshot().success.count == 1


def test_a_waiting_request_is_refused_when_its_time_is_over() -> None:
    run = simulation()
    first, second = run.ask(0), run.ask(10, timeout_ms=100)
    run.run()
    assert run.refused == {second: (110, REQUEST_TIMEOUT_TEXT)}
    assert (run.expired, run.answered) == ({}, {first: 300})
    assert failures(run.scheduler) == (1, 0, 0, 0)


def test_a_request_that_is_answered_in_time_hears_nothing_more() -> None:
    run = simulation(50)
    run.ask(0, timeout_ms=100)
    run.run()
    assert (run.expired, run.refused, run.told_to_stop) == ({}, {}, {})
    assert run.scheduler.wake_ns(run.now_ns) is None


def test_without_the_extension_a_timeout_means_nothing_to_a_running_request() -> None:
    run = simulation(covers=False)
    number = run.ask(0, timeout_ms=100)
    assert run.run().answered == {number: 300}
    assert run.expired == {}


def test_time_counts_from_the_arrival_at_the_frontend() -> None:
    scheduler = ModelScheduler(spec())
    infer = Infer(7, FRONTEND, "m", 1, 1, b"", 10 * MS, msgspec.Raw(b"\xc0"), Wishes(timeout_us=5000))
    scheduler.add(QueuedRequest(infer, 12 * MS), 12 * MS)
    assert scheduler.wake_ns(12 * MS) == 15 * MS
    [refusal] = scheduler.dispatch(15 * MS)
    assert isinstance(refusal, Refusal)
    assert (refusal.error.code, refusal.error.complete) == (Code.UNAVAILABLE, True)


def test_a_request_that_its_worker_stops_because_of_it_counts_as_rejected_and_not_as_cancelled() -> None:
    scheduler, request, batch = running()
    told = list(scheduler.dispatch(100 * MS))
    assert told == [Tell(FRONTEND, Expired(7)), Tell(WORKER, Cancel(7, FRONTEND))]
    assert request.expired
    assert scheduler.wake_ns(100 * MS) is None
    done = BatchDone(batch, WORKER, 0, 0, 0, 120 * MS, failed=(0,), cancelled=(0,))
    assert scheduler.done(done, 120 * MS) == [request]
    assert failures(scheduler) == (1, 0, 0, 0)


def test_a_request_whose_last_response_comes_after_its_batch_is_watched_until_then() -> None:
    scheduler, request, batch = running()
    assert scheduler.done(BatchDone(batch, WORKER, 0, 0, 0, 1, unfinished=(0,)), 1) == []
    assert scheduler.wake_ns(1) == 100 * MS
    assert len(list(scheduler.dispatch(100 * MS))) == 2
    assert scheduler.finished(Finished(batch, WORKER, 0, 110 * MS, failed=True)) is request
    assert failures(scheduler) == (1, 0, 0, 0)


def test_a_request_that_is_to_run_once_more_though_its_time_is_over_is_refused() -> None:
    scheduler, request, batch = running()
    assert len(list(scheduler.dispatch(100 * MS))) == 2
    assert scheduler.done(BatchDone(batch, WORKER, 0, 0, 0, 120 * MS, rescheduled=(0,)), 120 * MS) == []
    [refusal] = scheduler.dispatch(120 * MS)
    assert isinstance(refusal, Refusal)
    assert refusal.request is request
    assert (scheduler.queued, failures(scheduler)) == (0, (1, 0, 0, 0))


def test_a_request_whose_client_has_gone_is_not_answered_again() -> None:
    scheduler, request, _ = running()
    assert list(scheduler.cancel(request, 50 * MS)) == [Tell(WORKER, Cancel(7, FRONTEND))]
    assert list(scheduler.dispatch(100 * MS)) == []


def test_a_request_that_dies_with_its_worker_after_its_time_counts_as_rejected() -> None:
    scheduler, _, _ = running()
    list(scheduler.dispatch(100 * MS))
    assert len(list(scheduler.instance_gone(WORKER, "killed", 110 * MS))) == 1
    assert failures(scheduler) == (1, 0, 0, 0)
    assert scheduler.wake_ns(110 * MS) is None
