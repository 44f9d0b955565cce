"""An instance that is to go gets nothing new, ends what it has, and is said to be through exactly once."""

from tests.unit.scheduler.sequence_driver import Driver
from tests.unit.scheduler.test_scheduled_model import OTHER_WORKER, WORKER, add, dispatched, finish, model, runs
from tis.contracts.messages import BatchDone, Finished, Table, TableEntry
from tis.contracts.model_spec import InstanceSpec, ModelSpec
from tis.contracts.scheduling_spec import RateLimitSpec, ResourceSpec, SequenceBatcherSpec
from tis.scheduler.model import ModelScheduler
from tis.scheduler.rate_limiter import RateLimiter
from tis.scheduler.registry import Registry

MS = 1_000_000


def test_an_idle_instance_is_through_at_once_and_gets_nothing() -> None:
    scheduler = model(workers=(WORKER, OTHER_WORKER))
    scheduler.retire_instance(WORKER)
    assert scheduler.is_instance_idle(WORKER)
    add(scheduler, 1)
    assert dispatched(scheduler) == [(OTHER_WORKER, [1])]


def test_what_an_instance_has_is_finished_and_what_comes_goes_elsewhere() -> None:
    scheduler = model(workers=(WORKER, OTHER_WORKER))
    add(scheduler, 1)
    (first,) = runs(scheduler)
    scheduler.retire_instance(first.peer)
    other = OTHER_WORKER if first.peer == WORKER else WORKER
    assert not scheduler.is_instance_idle(first.peer)
    for number in (2, 3):
        add(scheduler, number)
    assert dispatched(scheduler) == [(other, [2, 3])]
    finish(scheduler, first.batch, first.peer)
    assert scheduler.is_instance_idle(first.peer)
    add(scheduler, 4)
    assert dispatched(scheduler, 5) == []


def test_an_instance_whose_pace_is_known_gets_no_batch_ahead() -> None:
    scheduler = model()
    add(scheduler, 1)
    (run,) = runs(scheduler)
    finish(scheduler, run.batch, end_ns=10 * MS)
    add(scheduler, 2)
    (run,) = runs(scheduler, 10 * MS)
    add(scheduler, 3)
    scheduler.retire_instance(WORKER)
    assert dispatched(scheduler, 19_500_000) == []
    assert scheduler.wake_ns(19_500_000) is None
    scheduler.instance_up(OTHER_WORKER)
    assert dispatched(scheduler, 20 * MS) == [(OTHER_WORKER, [3])]


def test_an_instance_with_answers_still_to_give_is_not_through() -> None:
    scheduler = model()
    add(scheduler, 1)
    (run,) = runs(scheduler)
    scheduler.retire_instance(WORKER)
    scheduler.done(BatchDone(run.batch.batch_id, WORKER, 0, 0, 1, 1, unfinished=(0,)), 1)
    assert not scheduler.is_instance_idle(WORKER)
    assert scheduler.running() == [(WORKER, 0)]
    assert scheduler.finished(Finished(run.batch.batch_id, WORKER, 0, 2, failed=False)) is not None
    assert scheduler.is_instance_idle(WORKER)
    assert scheduler.running() == []


def test_what_runs_is_told_with_when_it_began() -> None:
    scheduler = model(workers=(WORKER, OTHER_WORKER))
    add(scheduler, 1, at_ns=7)
    (run,) = runs(scheduler, 7)
    assert scheduler.running() == [(run.peer, 7)]


def test_nothing_waits_for_an_instance_that_dies_while_it_retires() -> None:
    scheduler = model(workers=(WORKER, OTHER_WORKER))
    add(scheduler, 1)
    (run,) = runs(scheduler)
    scheduler.retire_instance(run.peer)
    assert len(list(scheduler.instance_gone(run.peer, "died", 1))) == 1
    assert scheduler.is_instance_idle(run.peer)


# ---- instances that take turns ---------------------------------------------------------------------------------------


def test_an_instance_that_takes_turns_is_through_when_it_has_run() -> None:
    limit = RateLimitSpec((ResourceSpec("R", 1),))
    spec = ModelSpec("m", 1, "", "onnxruntime", 0, (), (), instances=(InstanceSpec("m_0_0", "CPU", 0, limit),))
    limiter = RateLimiter((), lambda _: None)
    scheduler = ModelScheduler(spec, limiter=limiter)
    scheduler.instance_up(WORKER, 0)
    add(scheduler, 1)
    (run,) = runs(scheduler)
    # Its successor, which is not in the specification, has the same place there.
    scheduler.instance_up(OTHER_WORKER, 0, spec.instances[0])
    scheduler.retire_instance(WORKER)
    add(scheduler, 2)
    assert dispatched(scheduler, 1) == []
    finish(scheduler, run.batch)
    assert scheduler.is_instance_idle(WORKER)
    assert dispatched(scheduler, 2) == [(OTHER_WORKER, [2])]
    assert list(scheduler.instance_gone(WORKER, "exited with code 0", 3)) == []


# ---- sequences -------------------------------------------------------------------------------------------------------


def test_sequences_end_where_they_began_and_new_ones_begin_elsewhere() -> None:
    driver = Driver(workers=(100,), slots=2)
    driver.send("a1", 1, start=True)
    driver.run()
    driver.done(100)
    driver.scheduler.instance_up(101)
    driver.scheduler.retire_instance(100)
    driver.send("b1", 2, start=True)
    driver.send("a2", 1)
    assert sorted(driver.run()) == [(100, ["a2"]), (101, ["b1"])]
    driver.done(100)
    assert not driver.scheduler.is_instance_idle(100)
    driver.send("a3", 1, end=True)
    assert driver.run() == [(100, ["a3"])]
    assert not driver.scheduler.is_instance_idle(100)
    driver.done(100)
    assert driver.scheduler.is_instance_idle(100)


def test_a_sequence_that_idles_keeps_its_instance_only_as_long_as_it_may() -> None:
    driver = Driver(SequenceBatcherSpec(max_idle_us=1000), workers=(100, 101))
    driver.send("a1", 1, start=True)
    ((worker, _),) = driver.run()
    driver.done(worker)
    driver.scheduler.retire_instance(worker)
    wake_ns = driver.scheduler.wake_ns(driver.now_ns)
    assert wake_ns is not None
    driver.now_ns = wake_ns
    driver.run()
    assert driver.scheduler.is_instance_idle(worker)


def test_a_sequence_that_begins_anew_leaves_an_instance_that_is_to_go() -> None:
    driver = Driver(workers=(100,))
    driver.send("a1", 1, start=True)
    driver.run()
    driver.done(100)
    driver.scheduler.retire_instance(100)
    driver.scheduler.instance_up(101)
    driver.send("b1", 1, start=True)
    assert driver.run() == [(101, ["b1"])]
    assert driver.scheduler.is_instance_idle(100)


# ---- the registry ----------------------------------------------------------------------------------------------------


def test_each_retired_instance_is_told_once_and_an_unknown_one_at_once() -> None:
    registry = Registry(ModelScheduler)
    registry.follow(Table(1, (TableEntry(ModelSpec("m", 1, "", "onnxruntime", 0, (), (), load=5), ready=True),)))
    registry.instance_up(5, WORKER, 0)
    assert registry.retire_instance(WORKER) is not None
    assert registry.retire_instance(77) is None
    assert sorted(registry.retired_instances()) == [77, WORKER]
    assert registry.retired_instances() == []
