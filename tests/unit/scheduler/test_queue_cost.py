"""What a queue does for a request does not depend on how many wait: steps are counted, no time is measured."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tis.contracts.messages import Infer, Wishes
from tis.contracts.scheduling_spec import DynamicBatcherSpec, QueuePolicySpec
from tis.scheduler.batcher import Batcher, BatchPolicy
from tis.scheduler.forming import FormingBatch
from tis.scheduler.lanes import Lanes, _Lane
from tis.scheduler.queue_policies import QueuePolicies
from tis.scheduler.queued import QueuedRequest
from tis.scheduler.wakeups import Wakeups

_BODY = msgspec.Raw(b"\xc0")
_LEVELS = DynamicBatcherSpec(
    priority_levels=3,
    default_priority_level=2,
    default_policy=QueuePolicySpec(default_timeout_us=10_000_000, allow_timeout_override=True),
    level_policies={3: QueuePolicySpec(delays=True, default_timeout_us=5_000, max_queue_size=1_000_000)},
)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often requests are moved or looked at."""
    counts: Counter[str] = Counter()

    def counted(kind: type, name: str) -> Callable[..., Any]:
        method = getattr(kind, name)

        def call(*arguments: Any) -> Any:
            counts["steps"] += 1
            return method(*arguments)

        return call

    for kind, names in (
        (Lanes, ("add", "put_back", "discard")),
        (FormingBatch, ("join",)),
        (_Lane, ("tidy",)),
        (Wakeups, ("set",)),
    ):
        for name in names:
            monkeypatch.setattr(kind, name, counted(kind, name))
    return counts


def request(number: int, now_ns: int, wishes: Wishes | None = None) -> QueuedRequest:
    return QueuedRequest(Infer(number, 1, "m", 1, 1, b"", now_ns, _BODY, wishes), now_ns)


def steps_a_request(count: int, policy: BatchPolicy, spec: DynamicBatcherSpec | None, steps: Counter[str]) -> float:
    """Many arrive; from then on each that is served, withdrawn or expires is followed by another that arrives."""
    dice = random.Random(7)
    batcher = Batcher(policy, QueuePolicies.of(spec))
    waiting: dict[int, QueuedRequest] = {}
    now_ns = number = 0

    def arrive() -> None:
        nonlocal number
        number += 1
        wishes = Wishes(dice.randint(0, 3), dice.choice((0, 3_000, 500_000))) if spec is not None else None
        waiting[number] = request(number, now_ns, wishes)
        batcher.add(waiting[number], now_ns)

    for _ in range(count):
        arrive()
    steps.clear()
    ended = 0
    while ended < 2_000:
        now_ns += 1_000_000
        gone = [refusal.request for refusal in batcher.expire(now_ns)]
        for _ in range(3):
            cancelled = waiting[dice.choice(list(waiting))] if len(waiting) < 2_000 else waiting[number]
            if not gone and not cancelled.cancelled:
                cancelled.cancelled = True
                batcher.withdraw(cancelled, now_ns)
                gone.append(cancelled)
        gone += batcher.cut(now_ns)
        for each in gone:
            waiting.pop(each.infer.request_id, None)
            arrive()
        ended += len(gone)
    return steps["steps"] / ended


@pytest.mark.parametrize("spec", [None, _LEVELS], ids=["plain", "levels and timeouts"])
@pytest.mark.parametrize("preferred", [(), (4,)])
def test_steps_a_request_are_as_many_with_thirty_thousand_waiting_as_with_three_hundred(
    spec: DynamicBatcherSpec | None, preferred: tuple[int, ...], steps: Counter[str]
) -> None:
    policy = BatchPolicy(8, preferred)
    few, many = (steps_a_request(count, policy, spec, steps) for count in (300, 30_000))
    assert many < 1.5 * few
    assert many < 40


def test_a_withdrawal_in_the_middle_of_a_long_queue_takes_a_few_steps(steps: Counter[str]) -> None:
    batcher = Batcher(BatchPolicy(8))
    long = [request(number, 0) for number in range(50_000)]
    for each in long:
        batcher.add(each, 0)
    steps.clear()
    for each in long[10::2]:
        each.cancelled = True
        batcher.withdraw(each, 0)
    assert steps["steps"] <= 3 * len(long[10::2])
    steps.clear()
    taken: list[QueuedRequest] = []
    while batch := batcher.cut(0):
        taken += batch
    assert taken == [*long[:10], *long[11::2]]
    assert steps["steps"] <= 5 * len(taken), "nothing is left of the withdrawn that costs a step"


def test_an_arrival_that_goes_before_all_others_costs_no_more_than_the_batch_that_it_changes(
    steps: Counter[str],
) -> None:
    batcher = Batcher(BatchPolicy(8, (), 1_000_000), QueuePolicies.of(_LEVELS))
    for number in range(10_000):
        batcher.add(request(number, 0, Wishes(3)), 0)
    for number in range(100):
        steps.clear()
        batcher.add(request(20_000 + number, 0, Wishes(1)), 0)
        assert steps["steps"] <= 2 + 8 + 8
        batch = batcher.cut(0)
        assert batch[0].infer.request_id == 20_000 + number
        assert len(batch) == 8
