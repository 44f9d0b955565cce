"""Priorities, bounds and timeouts of queues, in scenarios that were measured on the reference server or are documented."""

import pytest

from tests.unit.scheduler.simulation import Simulation
from tis.contracts.inference import REQUEST_TIMEOUT_TEXT
from tis.contracts.messages import Wishes
from tis.contracts.metrics import REJECTED
from tis.contracts.model_spec import ModelSpec
from tis.contracts.scheduling_spec import DynamicBatcherSpec, QueuePolicySpec
from tis.scheduler.model import runs_ahead
from tis.scheduler.queue_policies import QueuePolicies

FULL = "Exceeds maximum queue size"


def spec(batcher: DynamicBatcherSpec | None, max_batch_size: int = 8) -> ModelSpec:
    return ModelSpec("m", 1, "", "onnxruntime", max_batch_size, (), (), batcher=batcher)


def simulation(batcher: DynamicBatcherSpec | None, takes_ms: float = 300, max_batch_size: int = 8) -> Simulation:
    return Simulation(spec(batcher, max_batch_size), lambda _: takes_ms)


def refusals(run: Simulation) -> list[int]:
    return [run.scheduler.statistics.metrics(0, 0).failures[0], run.scheduler.statistics.snapshot().fail.count]


# ---- measured batch sizes ------------------------------------------------------------------------------------------

PREFERRING = DynamicBatcherSpec((4,), max_queue_delay_us=200_000)


@pytest.mark.parametrize(("requests", "began_ms", "ended_ms"), [(1, 200, 500), (3, 200, 500), (4, 0, 300)])
def test_fewer_than_the_preferred_size_wait_for_the_delay_and_the_preferred_size_goes_at_once(
    requests: int, began_ms: float, ended_ms: float
) -> None:
    run = simulation(PREFERRING)
    numbers = [run.ask(0) for _ in range(requests)]
    run.run()
    assert run.batches == [(began_ms, [1] * requests, numbers)]
    assert set(run.answered.values()) == {ended_ms}


def test_of_fourteen_in_forty_milliseconds_four_go_at_once_then_six_together_and_four_find_the_queue_full() -> None:
    bounded = DynamicBatcherSpec((4,), 200_000, default_policy=QueuePolicySpec(max_queue_size=6))
    run = simulation(bounded)
    numbers = [run.ask(number * 40 / 14) for number in range(14)]
    run.run()
    assert [numbers for _, _, numbers in run.batches] == [numbers[:4], numbers[4:10]]
    assert [text for _, text in run.refused.values()] == [FULL] * 4
    assert list(run.refused) == numbers[10:]
    assert refusals(run) == [0, 0], "a full queue counts in no statistic"


def test_behind_a_busy_instance_a_full_batch_forms_and_then_the_rest() -> None:
    run = simulation(DynamicBatcherSpec())
    for number in range(10):
        run.ask(number)
    assert run.run().sizes == [[1], [1] * 8, [1]]


def test_items_1_5_5_2_become_1_then_5_then_5_and_2() -> None:
    run = simulation(DynamicBatcherSpec())
    for at_ms, items in enumerate((1, 5, 5, 2)):
        run.ask(at_ms, items)
    assert run.run().sizes == [[1], [5], [5, 2]]


# ---- priorities ----------------------------------------------------------------------------------------------------

LEVELS = DynamicBatcherSpec((1,), priority_levels=3, default_priority_level=2)


def test_level_1_is_served_first_and_0_missing_and_unknown_levels_are_the_default_one() -> None:
    """Measured: three at level 3, then default, 1, 0 and 9, while the instance is busy."""
    run = simulation(LEVELS)
    first = run.ask(0)
    low, also_low = run.ask(20, priority=3), run.ask(30, priority=3)
    default, high, zero, unknown = (
        run.ask(50),
        run.ask(60, priority=1),
        run.ask(70, priority=0),
        run.ask(80, priority=9),
    )
    assert run.run().served == [first, high, default, zero, unknown, low, also_low]


def test_a_batch_takes_from_the_first_level_first_and_fills_up_from_the_next() -> None:
    run = simulation(DynamicBatcherSpec(priority_levels=3, default_priority_level=2), max_batch_size=4)
    run.ask(0)
    low = [run.ask(10, priority=3) for _ in range(3)]
    high = [run.ask(20, priority=1) for _ in range(2)]
    run.run()
    assert [numbers for _, _, numbers in run.batches[1:]] == [[*high, *low[:2]], low[2:]]


def test_a_request_of_a_higher_level_goes_before_those_that_an_idle_instance_waits_with() -> None:
    run = simulation(DynamicBatcherSpec((4,), 200_000, priority_levels=2, default_priority_level=2), max_batch_size=4)
    waiting = [run.ask(10), run.ask(20), run.ask(30)]
    high = [run.ask(40, priority=1), run.ask(40, priority=1)]
    run.run()
    assert [numbers for _, _, numbers in run.batches] == [[*high, *waiting[:2]], waiting[2:]]
    assert run.batches[0][0] == 40


def test_the_delay_counts_for_the_oldest_request_though_others_go_before_it() -> None:
    run = simulation(DynamicBatcherSpec((8,), 200_000, priority_levels=2, default_priority_level=2))
    low, high = run.ask(0), run.ask(150, priority=1)
    assert run.run().batches == [(200, [1, 1], [high, low])]


def test_without_levels_the_parameter_is_ignored() -> None:
    run = simulation(DynamicBatcherSpec((1,)))
    asked = [run.ask(at_ms, priority=priority) for at_ms, priority in enumerate((0, 3, 2, 1))]
    assert run.run().served == asked


def test_the_default_scheduler_knows_no_priorities_bounds_or_timeouts() -> None:
    run = simulation(None, takes_ms=10)
    asked = [run.ask(0.01 * number, priority=number % 3, timeout_ms=1) for number in range(20)]
    assert run.run().served == asked
    assert run.sizes == [[1]] * 20


def test_a_model_that_does_not_batch_has_queue_policies_all_the_same() -> None:
    batcher = DynamicBatcherSpec(priority_levels=2, default_priority_level=2)
    run = simulation(batcher, max_batch_size=0)
    first, low, high = run.ask(0), run.ask(1), run.ask(2, priority=1)
    assert run.run().served == [first, high, low]
    assert run.sizes == [[1]] * 3


# ---- bounds --------------------------------------------------------------------------------------------------------


def test_each_level_has_a_bound_of_its_own() -> None:
    rules = {1: QueuePolicySpec(max_queue_size=1), 3: QueuePolicySpec(max_queue_size=2)}
    run = simulation(DynamicBatcherSpec((1,), priority_levels=3, default_priority_level=2, level_policies=rules))
    run.ask(0)
    for priority in (3, 3, 1, 2, 2, 2):
        run.ask(10, priority=priority)
    too_low, too_high = run.ask(20, priority=3), run.ask(30, priority=1)
    run.run()
    assert run.refused == {too_low: (20, FULL), too_high: (30, FULL)}


def test_requests_that_come_together_do_not_find_a_queue_full_that_an_idle_instance_is_about_to_take() -> None:
    run = simulation(DynamicBatcherSpec(default_policy=QueuePolicySpec(max_queue_size=2)), max_batch_size=2)
    numbers = [run.ask(0) for _ in range(6)]
    run.run()
    assert [numbers for _, _, numbers in run.batches] == [numbers[:2], numbers[2:4]]
    assert run.refused == {numbers[4]: (0, FULL), numbers[5]: (0, FULL)}


def test_cancelled_and_expired_requests_leave_room() -> None:
    rule = QueuePolicySpec(max_queue_size=1, default_timeout_us=50_000)
    run = simulation(DynamicBatcherSpec(default_policy=rule))
    run.ask(0)
    cancelled, expired, last = run.ask(10), run.ask(30), run.ask(90)
    run.cancel(20, cancelled)
    run.run()
    assert run.refused == {expired: (80, REQUEST_TIMEOUT_TEXT), last: (140, REQUEST_TIMEOUT_TEXT)}


# ---- timeouts ------------------------------------------------------------------------------------------------------


def timed(*, delays: bool = False, override: bool = True, default_ms: int = 150) -> DynamicBatcherSpec:
    return DynamicBatcherSpec((1,), default_policy=QueuePolicySpec(delays, default_ms * 1000, override))


def test_a_timeout_is_told_on_time_though_the_instance_is_busy_and_counts_as_rejected() -> None:
    run = simulation(timed(), takes_ms=1500)
    run.ask(0)
    default, shorter, longer = run.ask(100), run.ask(120, timeout_ms=50), run.ask(140, timeout_ms=900)
    run.run()
    assert run.refused == {
        shorter: (170, REQUEST_TIMEOUT_TEXT),
        default: (250, REQUEST_TIMEOUT_TEXT),
        longer: (290, REQUEST_TIMEOUT_TEXT),
    }
    metrics = run.scheduler.statistics.metrics(0, 0)
    assert metrics.failures == (3, 0, 0, 0), f"all are {REJECTED}"


@pytest.mark.parametrize("batcher", [timed(override=False), timed(default_ms=0)])
def test_a_requests_own_timeout_counts_only_where_the_policy_allows_it_and_has_a_longer_one(
    batcher: DynamicBatcherSpec,
) -> None:
    run = simulation(batcher, takes_ms=100)
    run.ask(0)
    own = run.ask(10, timeout_ms=5)
    assert run.run().answered[own] == 200


def test_time_runs_only_while_a_request_waits() -> None:
    run = simulation(timed(), takes_ms=1000)
    assert run.answered == {}
    number = run.ask(0)
    assert run.run().answered == {number: 1000}


def test_a_delayed_request_is_served_behind_all_whose_time_is_not_over_and_has_no_timeout_any_more() -> None:
    """Measured: with 150 ms by default, the second at 20, one with 50 ms of its own at 40, two more later."""
    run = simulation(timed(delays=True), takes_ms=300)
    first, default, shorter = run.ask(0), run.ask(20), run.ask(40, timeout_ms=50)
    fresh, also_fresh = run.ask(200), run.ask(210)
    run.run(until_ms=301)
    assert run.served == [first, fresh]
    run.run()
    # `also_fresh` was delayed at 360, while `fresh` ran.
    assert run.served == [first, fresh, shorter, default, also_fresh]
    assert run.refused == {}


def test_requests_delayed_at_a_level_go_before_the_next_level() -> None:
    rules = {1: QueuePolicySpec(delays=True, default_timeout_us=50_000)}
    run = simulation(DynamicBatcherSpec((1,), priority_levels=2, default_priority_level=2, level_policies=rules))
    first, low, delayed, fresh = run.ask(0), run.ask(10), run.ask(20, priority=1), run.ask(290, priority=1)
    assert run.run().served == [first, fresh, delayed, low]


def test_a_timeout_shorter_than_the_delay_is_kept_as_in_the_reference_though_an_instance_is_idle() -> None:
    run = simulation(DynamicBatcherSpec((4,), 200_000, default_policy=QueuePolicySpec(default_timeout_us=50_000)))
    number = run.ask(0)
    assert run.run().refused == {number: (50, REQUEST_TIMEOUT_TEXT)}


# ---- what a config asks for ----------------------------------------------------------------------------------------


def test_a_batcher_without_levels_bounds_and_timeouts_needs_no_policies_and_runs_ahead() -> None:
    assert QueuePolicies.of(None) is None
    assert QueuePolicies.of(DynamicBatcherSpec(default_policy=QueuePolicySpec(allow_timeout_override=True))) is None
    assert runs_ahead(spec(DynamicBatcherSpec()))


@pytest.mark.parametrize(
    "batcher",
    [
        DynamicBatcherSpec(priority_levels=2, default_priority_level=1),
        DynamicBatcherSpec(default_policy=QueuePolicySpec(max_queue_size=1)),
        DynamicBatcherSpec(default_policy=QueuePolicySpec(default_timeout_us=1)),
    ],
)
def test_with_policies_no_request_leaves_the_queue_before_an_instance_is_free(batcher: DynamicBatcherSpec) -> None:
    assert not runs_ahead(spec(batcher))


def test_levels_may_be_as_many_as_the_config_can_say() -> None:
    policies = QueuePolicies(DynamicBatcherSpec(priority_levels=2**64 - 1, default_priority_level=7))
    assert policies.level(Wishes(priority=2**63)) == 2**63
    assert policies.level(None) == 7
