"""The batcher does what a queue does that is too simple to be wrong: a list, sorted and walked anew at every step."""

from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tis.contracts.inference import REQUEST_TIMEOUT_TEXT
from tis.contracts.messages import MOST_REQUESTS, Infer, Wishes
from tis.contracts.scheduling_spec import DynamicBatcherSpec, QueuePolicySpec
from tis.errors import Code
from tis.scheduler.batcher import Batcher, BatchPolicy
from tis.scheduler.instances import Instances
from tis.scheduler.queue_policies import QueueFullError, QueuePolicies
from tis.scheduler.queued import QueuedRequest

NO_BODY = msgspec.Raw(msgspec.msgpack.encode(None))
NO_INSTANCE = Instances()
ONE_INSTANCE = Instances()
ONE_INSTANCE.add(1)


@dataclass
class Waiting:
    """A request as the oracle knows it."""

    request: QueuedRequest
    level: int
    deadline_ns: int | None
    #: Its place among its like: when it came, or when it was delayed.
    number: int
    delayed: bool = False


@dataclass
class Oracle:
    """A queue by the rules as they are written down; every question walks the whole list."""

    policy: BatchPolicy
    spec: DynamicBatcherSpec | None
    waiting: list[Waiting] = field(default_factory=list)
    number: int = 0

    def add(self, request: QueuedRequest) -> bool:
        """False where the queue is full."""
        level, rule = 0, QueuePolicySpec()
        wishes = request.infer.wishes or Wishes()
        if self.spec is not None:
            levels = range(1, self.spec.priority_levels + 1)
            if levels:
                level = wishes.priority if wishes.priority in levels else self.spec.default_priority_level
            rule = self.rule(level)
        if rule.max_queue_size and len([each for each in self.waiting if each.level == level]) >= rule.max_queue_size:
            return False
        timeouts_us = [rule.default_timeout_us]
        if rule.allow_timeout_override and wishes.timeout_us:
            timeouts_us.append(wishes.timeout_us)
        timeout_us = min(timeouts_us)
        deadline_ns = request.enqueued_ns + timeout_us * 1000 if timeout_us else None
        self.number += 1
        self.waiting.append(Waiting(request, level, deadline_ns, self.number))
        return True

    def rule(self, level: int) -> QueuePolicySpec:
        assert self.spec is not None
        return self.spec.level_policies.get(level, self.spec.default_policy)

    def next_deadline_ns(self) -> int | None:
        return min((each.deadline_ns for each in self.waiting if each.deadline_ns is not None), default=None)

    def expire(self, now_ns: int) -> list[QueuedRequest]:
        over = [each for each in self.waiting if each.deadline_ns is not None and each.deadline_ns <= now_ns]
        over.sort(key=lambda each: (each.deadline_ns, each.number))
        refused = []
        for each in over:
            each.deadline_ns = None
            if self.rule(each.level).delays:
                self.number += 1
                each.delayed, each.number = True, self.number
            else:
                self.waiting.remove(each)
                refused.append(each.request)
        return refused

    def ordered(self) -> list[QueuedRequest]:
        self.waiting.sort(key=lambda each: (each.level, each.delayed, each.number))
        return [each.request for each in self.waiting]

    def cut(self, now_ns: int) -> list[QueuedRequest]:
        batch = self.ordered()[: self.due(now_ns)]
        self.take(batch)
        return batch

    def take(self, requests: list[QueuedRequest]) -> None:
        self.waiting = [each for each in self.waiting if each.request not in requests]

    def due(self, now_ns: int) -> int:
        """How many requests to send."""
        policy, waiting = self.policy, self.ordered()
        size = marked = gathered = 0
        closed = False
        for each in waiting:
            if gathered and (
                policy.one_request
                or size + each.items > policy.max_items
                or gathered == MOST_REQUESTS
                or each.infer.batch_key != waiting[0].infer.batch_key
            ):
                closed = True
                break
            if policy.preferred_items and gathered and not marked and size + each.items > max(policy.preferred_items):
                marked = gathered
            size += each.items
            gathered += 1
            if size in policy.preferred_items:
                marked = gathered
        if not gathered:
            return 0
        elapsed = now_ns - min(each.enqueued_ns for each in waiting[:gathered]) >= policy.max_delay_ns
        if marked and (not elapsed or not policy.max_delay_ns):
            return marked
        if closed or size >= max(policy.preferred_items, default=policy.max_items) or elapsed:
            return gathered
        return 0


@dataclass
class Pair:
    """The batcher and the oracle, side by side, and the clock."""

    policy: BatchPolicy
    spec: DynamicBatcherSpec | None
    now_ns: int = 0
    sent: list[QueuedRequest] = field(default_factory=list)
    refused: list[QueuedRequest] = field(default_factory=list)
    cancelled: list[QueuedRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.batcher = Batcher(self.policy, QueuePolicies.of(self.spec))
        self.oracle = Oracle(self.policy, self.spec)
        self.taken: list[QueuedRequest] = []
        self.number = 0

    def add(self, items: int, key: bytes, wishes: Wishes | None) -> None:
        self.number += 1
        infer = Infer(self.number, 1, "m", 1, min(items, self.policy.max_items), key, self.now_ns, NO_BODY, wishes)
        request = QueuedRequest(infer, self.now_ns)
        if self.oracle.add(request):
            self.batcher.add(request, self.now_ns)
            self.taken.append(request)
        else:
            with pytest.raises(QueueFullError, match=r"^Exceeds maximum queue size$"):
                self.batcher.add(request, self.now_ns)

    def cancel(self, position: int) -> None:
        waiting = self.oracle.ordered()
        if waiting:
            request = waiting[position % len(waiting)]
            request.cancelled = True
            self.oracle.take([request])
            assert self.batcher.withdraw(request, self.now_ns) == []
            self.cancelled.append(request)

    def cut(self) -> list[QueuedRequest]:
        expected = self.oracle.cut(self.now_ns)
        batch = self.batcher.cut(self.now_ns)
        assert batch == expected
        assert sum(each.items for each in batch) <= self.policy.max_items
        assert len({each.infer.batch_key for each in batch}) <= 1
        self.sent += batch
        return batch

    def wait_until(self, then_ns: int) -> None:
        """Let time pass while no instance is free. The batcher asks to be woken exactly when somebody's time is over."""
        while True:
            wake_ns = self.batcher.wake_ns(NO_INSTANCE, self.now_ns)
            assert wake_ns == self.oracle.next_deadline_ns()
            if wake_ns is None or wake_ns > then_ns:
                break
            self.now_ns = wake_ns
            self.expire()
        self.now_ns = then_ns
        assert self.batcher.expire(then_ns) == []

    def expire(self) -> None:
        expected = self.oracle.expire(self.now_ns)
        refusals = self.batcher.expire(self.now_ns)
        assert [refusal.request for refusal in refusals] == expected
        for refusal in refusals:
            assert (refusal.error.code, refusal.error.message) == (Code.UNAVAILABLE, REQUEST_TIMEOUT_TEXT)
        self.refused += expected

    def finish(self) -> None:
        """An instance stays free: cut until it must wait, then come back exactly when told to."""
        while self.oracle.waiting:
            if self.cut():
                continue
            wake_ns = self.batcher.wake_ns(ONE_INSTANCE, self.now_ns)
            assert wake_ns is not None
            assert wake_ns > self.now_ns
            assert self.oracle.due(wake_ns - 1) == 0, "it wakes too late"
            self.now_ns = wake_ns
            self.expire()
        assert self.cut() == []
        assert self.batcher.wake_ns(ONE_INSTANCE, self.now_ns) is None
        ended = self.sent + self.refused + self.cancelled
        assert len(ended) == len(self.taken)
        assert set(ended) == set(self.taken)


POLICIES = st.integers(1, 8).flatmap(
    lambda most: st.builds(
        BatchPolicy,
        st.just(most),
        st.sets(st.integers(1, most), max_size=3).map(lambda sizes: tuple(sorted(sizes))),
        st.sampled_from([0, 5_000, 50_000]),
        st.booleans(),
    )
)
RULES = st.builds(
    QueuePolicySpec,
    delays=st.booleans(),
    default_timeout_us=st.sampled_from([0, 0, 7, 20, 60]),
    allow_timeout_override=st.booleans(),
    max_queue_size=st.sampled_from([0, 0, 1, 3, 6]),
)
SPECS = st.one_of(
    st.none(),
    st.builds(DynamicBatcherSpec, default_policy=RULES),
    st.builds(
        DynamicBatcherSpec,
        priority_levels=st.just(3),
        default_priority_level=st.integers(1, 3),
        default_policy=RULES,
        level_policies=st.dictionaries(st.integers(1, 3), RULES, max_size=3),
    ),
)
WISHES = st.one_of(st.none(), st.builds(Wishes, st.integers(0, 4), st.sampled_from([0, 5, 10, 40, 90])))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 8), st.sampled_from([b"", b"", b"", b"k"]), WISHES),
        st.tuples(st.just("cut"), st.integers(0, 30_000), st.just(b""), st.none()),
        st.tuples(st.just("wait"), st.integers(0, 30_000), st.just(b""), st.none()),
        st.tuples(st.just("cancel"), st.integers(0, 40), st.just(b""), st.none()),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(POLICIES, SPECS, STEPS)
def test_no_request_is_lost_split_doubled_served_out_of_order_or_late_and_no_bound_is_broken(
    policy: BatchPolicy, spec: DynamicBatcherSpec | None, steps: list[tuple[str, int, bytes, Wishes | None]]
) -> None:
    pair = Pair(policy, spec)
    for what, value, key, wishes in steps:
        if what == "add":
            pair.add(value, key, wishes)
        elif what == "cancel":
            pair.cancel(value)
        else:
            pair.wait_until(pair.now_ns + value)
            if what == "cut":
                pair.cut()
        assert len(pair.batcher) == len(pair.oracle.waiting)
    pair.finish()


@settings(max_examples=100, deadline=None)
@given(POLICIES, SPECS, STEPS)
def test_draining_gives_everything_in_order_and_leaves_nothing(
    policy: BatchPolicy, spec: DynamicBatcherSpec | None, steps: list[tuple[str, int, bytes, Wishes | None]]
) -> None:
    pair = Pair(policy, spec)
    for what, value, key, wishes in steps:
        if what == "add":
            pair.add(value, key, wishes)
        elif what == "wait":
            pair.wait_until(pair.now_ns + value)
    assert pair.batcher.drain() == pair.oracle.ordered()
    assert len(pair.batcher) == 0
    assert pair.batcher.cut(pair.now_ns) == []
    assert pair.batcher.wake_ns(ONE_INSTANCE, pair.now_ns) is None
    pair.oracle.waiting.clear()
    pair.add(1, b"", None)
    assert pair.oracle.waiting, "bounds count anew"
