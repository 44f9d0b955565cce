"""With a goal for latency batches grow where that pays, the goal is kept, and nobody waits in vain."""

import random
from collections.abc import Callable

import msgspec
import pytest

from tests.unit.scheduler.simulation import MS, Simulation
from tis.contracts.messages import Infer
from tis.contracts.model_spec import ModelSpec
from tis.contracts.scheduling_spec import DynamicBatcherSpec, ExtensionSpec, QueuePolicySpec
from tis.scheduler.adaptive_delay import AdaptiveDelay
from tis.scheduler.execution_cost import ExecutionCost
from tis.scheduler.queued import QueuedRequest


def shared(items: int) -> float:
    """An execution that costs much however few items it has."""
    return 5 + 0.5 * items


def proportional(items: int) -> float:
    """An execution that costs for its items only."""
    return 5.0 * items


def simulation(
    goal_ms: float, takes_ms: Callable[[int], float] = shared, batcher: DynamicBatcherSpec | None = None
) -> Simulation:
    extensions = ExtensionSpec(latency_goal_us=int(goal_ms * 1000))
    batcher = batcher or DynamicBatcherSpec()
    return Simulation(
        ModelSpec("m", 1, "", "onnxruntime", 32, (), (), batcher=batcher, extensions=extensions), takes_ms
    )


def arriving(run: Simulation, rate_hz: float, requests: int) -> list[float]:
    """Latencies in milliseconds, sorted, of requests that arrive at random."""
    dice, at_ms, asked = random.Random(2), 0.0, {}
    for _ in range(requests):
        at_ms += dice.expovariate(rate_hz / 1000)
        asked[run.ask(at_ms)] = at_ms
    run.run()
    assert len(run.answered) == requests
    return sorted(run.answered[number] - at_ms for number, at_ms in asked.items())


def in_turns(run: Simulation, clients: int, turns: int) -> float:
    """How long clients take, of which each asks again as soon as it has been answered, in milliseconds."""
    dice = random.Random(1)
    for _ in range(turns):
        waiting = [run.ask(run.now_ns / MS + 0.05 * dice.random()) for _ in range(clients)]
        run.run()
        assert all(number in run.answered for number in waiting)
    return run.now_ns / MS


# ---- whole scenarios -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("goal_ms", "rate_hz"), [(50, 150), (50, 250), (50, 800), (15, 150)])
def test_batches_grow_and_the_goal_is_kept(goal_ms: float, rate_hz: float) -> None:
    plain, adaptive = simulation(0), simulation(goal_ms)
    arriving(plain, rate_hz, 2000)
    latencies = arriving(adaptive, rate_hz, 2000)
    assert latencies[int(len(latencies) * 0.99)] <= goal_ms
    assert len(adaptive.batches) < 0.98 * len(plain.batches)


def test_clients_that_ask_again_together_are_served_together_and_sooner() -> None:
    plain, adaptive = in_turns(simulation(0), 4, 200), in_turns(simulation(50), 4, 200)
    assert adaptive < 0.75 * plain


def test_a_client_alone_waits_for_nobody() -> None:
    alone = simulation(50)
    assert in_turns(alone, 1, 100) <= in_turns(simulation(0), 1, 100)
    # Though it is known from others that joining pays.
    in_turns(alone, 4, 50)
    before_ms = alone.now_ns / MS
    took_ms = in_turns(alone, 1, 400) - before_ms
    assert took_ms < 400 * (shared(1) + 0.05) * 1.05


def test_where_joining_saves_nothing_nobody_waits() -> None:
    plain, adaptive = simulation(0, proportional), simulation(50, proportional)
    arriving(plain, 100, 1000)
    arriving(adaptive, 100, 1000)
    assert adaptive.batches == plain.batches


def test_a_goal_that_cannot_be_kept_adds_no_delay() -> None:
    plain, adaptive = simulation(0), simulation(4)
    assert arriving(adaptive, 150, 1000) == arriving(plain, 150, 1000)


def test_a_preferred_size_and_a_full_batch_are_sent_at_once() -> None:
    run = simulation(50, batcher=DynamicBatcherSpec((4,)))
    in_turns(run, 4, 50)
    start_ms = run.now_ns / MS
    numbers = [run.ask(start_ms) for _ in range(4)]
    run.run()
    assert run.batches[-1] == (start_ms, [1] * 4, numbers)


def test_the_configured_delay_is_the_longest() -> None:
    free, bounded = simulation(50), simulation(50, batcher=DynamicBatcherSpec(max_queue_delay_us=1000))
    assert arriving(bounded, 150, 1000)[990] < arriving(free, 150, 1000)[990]
    waits = [
        began_ms - min(bounded.requests[number].enqueued_ns / MS for number in numbers)
        for began_ms, _, numbers in bounded.batches
    ]
    # Beyond an execution that was in the way, nobody waits longer.
    assert max(waits) <= shared(32) + 1


def test_priorities_and_timeouts_hold_while_a_batch_waits() -> None:
    rule = QueuePolicySpec(default_timeout_us=8_000)
    run = simulation(50, batcher=DynamicBatcherSpec(priority_levels=2, default_priority_level=2, default_policy=rule))
    latencies_ms = []
    dice, at_ms = random.Random(3), 0.0
    for _ in range(1000):
        at_ms += dice.expovariate(0.25)
        run.ask(at_ms, priority=dice.choice((1, 2)))
    run.run()
    for number, request in run.requests.items():
        ended_ms = run.answered[number] if number in run.answered else run.refused[number][0]
        latencies_ms.append(ended_ms - request.enqueued_ns / MS)
    assert len(latencies_ms) == 1000
    assert max(latencies_ms) <= 8 + shared(32)


# ---- single decisions ----------------------------------------------------------------------------------------------


def request(at_ns: int = 0) -> QueuedRequest:
    return QueuedRequest(Infer(1, 1, "m", 1, 1, b"", at_ns, msgspec.Raw(b"\xc0")), at_ns)


def teach(delay: AdaptiveDelay) -> None:
    for _ in range(20):
        for items in (1, 2, 4, 8):
            delay.learn(items, int(shared(items) * MS))


def test_as_long_as_nothing_is_known_nobody_waits() -> None:
    assert not AdaptiveDelay(50 * MS).waits(1, request(), 0)


def test_it_waits_as_long_as_joining_saves_and_anew_for_each_that_joins() -> None:
    delay, oldest = AdaptiveDelay(50 * MS), request()
    teach(delay)
    assert delay.waits(1, oldest, 0)
    assert delay.until_ns == pytest.approx(5 * MS, rel=0.02)
    assert delay.waits(1, oldest, 4 * MS)
    assert delay.waits(2, oldest, 4 * MS)
    assert delay.until_ns == pytest.approx(9 * MS, rel=0.02)
    assert not delay.waits(2, oldest, 9 * MS + MS // 5)


def test_it_waits_no_longer_than_the_goal_leaves_the_oldest() -> None:
    delay, oldest = AdaptiveDelay(10 * MS), request(at_ns=-2 * MS)
    teach(delay)
    assert delay.waits(1, oldest, 0)
    assert delay.until_ns is not None
    # 2 ms have gone by, an execution of two takes 6 ms, and something is kept back.
    assert delay.until_ns <= 2 * MS
    delay.sent(1)
    assert not delay.waits(1, request(at_ns=-4 * MS), 0)


def test_waits_in_vain_become_rare_and_one_that_is_not_makes_them_common_again() -> None:
    delay, outcomes = AdaptiveDelay(50 * MS), []
    teach(delay)
    for _ in range(500):
        waited = delay.waits(1, request(), 0)
        outcomes.append(waited)
        delay.sent(1)
    assert outcomes[:2] == [True, True]
    assert sum(outcomes) < 20
    while not delay.waits(1, request(), 0):
        delay.sent(1)
    delay.sent(2)
    assert delay.waits(1, request(), 0)


def test_a_batch_that_is_withdrawn_while_it_waits_is_no_wait_of_the_next() -> None:
    delay = AdaptiveDelay(50 * MS)
    teach(delay)
    assert delay.waits(1, request(), 0)
    assert delay.waits(1, request(at_ns=100 * MS), 100 * MS)
    assert delay.until_ns == pytest.approx(105 * MS, rel=0.02)


# ---- what executions cost ------------------------------------------------------------------------------------------


def test_a_line_is_learnt_from_a_few_sizes() -> None:
    cost = ExecutionCost()
    for _ in range(50):
        for items in (1, 3, 8):
            cost.learn(items, 1000 + 100 * items)
    assert cost.is_known
    assert cost.base_ns == pytest.approx(1000, rel=0.02)
    assert cost.predicted_ns(20) == pytest.approx(3000, rel=0.05)


def test_of_one_size_nothing_is_concluded_about_others() -> None:
    cost = ExecutionCost()
    for _ in range(50):
        cost.learn(4, 1000)
    assert cost.base_ns == 0
    assert cost.predicted_ns(4) == pytest.approx(1000, rel=0.02)
    assert cost.predicted_ns(8) >= 2000


def test_a_stall_does_not_change_the_line_and_a_lasting_change_does() -> None:
    cost = ExecutionCost()
    for number in range(200):
        cost.learn(1 + number % 8, 1000 + 100 * (1 + number % 8))
    cost.learn(4, 1_000_000)
    assert cost.predicted_ns(4) < 2 * 1400
    for number in range(400):
        cost.learn(1 + number % 8, 5000 + 100 * (1 + number % 8))
    assert cost.base_ns == pytest.approx(5000, rel=0.1)


def test_a_larger_batch_that_is_no_slower_makes_no_item_cost_less_than_nothing() -> None:
    cost = ExecutionCost()
    for _ in range(50):
        cost.learn(1, 1000)
        cost.learn(8, 900)
    assert cost.predicted_ns(64) >= cost.base_ns > 0
