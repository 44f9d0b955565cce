"""Batches are cut by Triton's rules: when somebody can take one, never split, never reordered, never too large."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tis.contracts.messages import Batch, BatchItem, Infer, encode
from tis.scheduler.batcher import MOST_REQUESTS, Batcher, BatchPolicy
from tis.scheduler.queued import QueuedRequest

MS = 1_000_000
NO_BODY = msgspec.Raw(msgspec.msgpack.encode(None))


def request(
    number: int, items: int = 1, *, key: bytes = b"", at_ns: int = 0, body: msgspec.Raw = NO_BODY
) -> QueuedRequest:
    return QueuedRequest(Infer(number, 1, "m", 1, items, key, at_ns, body), at_ns)


class Queue:
    """A batcher fed by items and read as lists of items."""

    def __init__(self, policy: BatchPolicy) -> None:
        self.batcher = Batcher(policy)
        self._number = 0

    def add(self, *items: int, at_ns: int = 0, key: bytes = b"") -> list[QueuedRequest]:
        added = []
        for each in items:
            self._number += 1
            added.append(request(self._number, each, key=key, at_ns=at_ns))
            self.batcher.add(added[-1], at_ns)
        return added

    def cut(self, at_ns: int = 0) -> list[int]:
        return [each.items for each in self.batcher.cut(at_ns)]


def queue(max_items: int = 8, *preferred: int, delay_ms: int = 0) -> Queue:
    return Queue(BatchPolicy(max_items, preferred, delay_ms * MS))


# ---- the default scheduler -----------------------------------------------------------------------------------------


def test_without_dynamic_batching_every_request_is_an_execution_of_its_own_in_order_of_arrival() -> None:
    single = Queue(BatchPolicy(8, one_request=True))
    single.add(1, 2, 8, 1)
    assert [single.cut() for _ in range(5)] == [[1], [2], [8], [1], []]


# ---- without preferred sizes and delay -----------------------------------------------------------------------------


def test_an_empty_queue_gives_no_batch_and_never_wakes() -> None:
    empty = queue()
    assert empty.cut() == []
    assert empty.batcher.due_ns() is None
    assert len(empty.batcher) == 0


def test_without_delay_whatever_waits_is_sent_at_once() -> None:
    fresh = queue()
    fresh.add(1)
    assert fresh.cut() == [1]
    fresh.add(1, 1, 1)
    assert fresh.cut() == [1, 1, 1]


def test_items_count_not_requests_and_requests_are_never_split() -> None:
    """Items 1, 5, 5, 2 with at most 8: 1 | 5 | 5+2."""
    fresh = queue()
    fresh.add(1)
    assert fresh.cut() == [1]
    fresh.add(5, 5, 2)
    assert fresh.cut() == [5]
    assert fresh.cut() == [5, 2]
    assert fresh.cut() == []


def test_a_request_that_does_not_fit_is_never_skipped_for_one_behind_it() -> None:
    fresh = queue()
    fresh.add(5, 4, 1, 1)
    assert fresh.cut() == [5]
    assert fresh.cut() == [4, 1, 1]


def test_while_an_instance_is_busy_the_waiting_batch_grows_to_the_limit_and_no_further() -> None:
    fresh = queue()
    fresh.add(*[1] * 10)
    assert fresh.cut() == [1] * 8
    assert fresh.cut() == [1, 1]


def test_a_request_without_batch_dimension_counts_as_one_item() -> None:
    fresh = queue(2)
    fresh.add(0, 0, 0)
    assert fresh.cut() == [1, 1]
    assert fresh.cut() == [1]


def test_one_batch_holds_no_more_requests_than_a_packet_can_carry() -> None:
    fresh = queue(10 * MOST_REQUESTS)
    fresh.add(*[1] * (MOST_REQUESTS + 3))
    assert len(fresh.cut()) == MOST_REQUESTS
    assert len(fresh.cut()) == 3


# ---- batch keys ----------------------------------------------------------------------------------------------------


def test_a_different_key_ends_the_batch_and_does_not_skip_ahead() -> None:
    fresh = queue()
    fresh.add(1, 1, key=b"a")
    fresh.add(1, key=b"b")
    fresh.add(1, key=b"a")
    assert [fresh.cut() for _ in range(4)] == [[1, 1], [1], [1], []]


def test_a_batch_closed_by_a_different_key_does_not_wait_for_the_delay() -> None:
    delayed = queue(delay_ms=100)
    delayed.add(1, key=b"a")
    assert delayed.cut() == []
    delayed.add(1, key=b"b")
    assert delayed.cut() == [1]
    assert delayed.cut() == []


# ---- preferred sizes and delay: rules a) to d) ---------------------------------------------------------------------


def test_rule_a_a_preferred_size_is_sent_at_once_though_more_waits() -> None:
    preferring = queue(8, 4, delay_ms=200)
    preferring.add(*[1] * 6)
    assert preferring.cut(at_ns=10 * MS) == [1] * 4
    assert preferring.cut(at_ns=10 * MS) == []
    assert preferring.cut(at_ns=200 * MS) == [1, 1]


def test_rule_a_the_largest_preferred_size_that_is_reached_counts() -> None:
    preferring = queue(8, 2, 4, delay_ms=200)
    preferring.add(*[1] * 7)
    assert preferring.cut() == [1] * 4
    assert preferring.cut() == [1, 1]
    assert preferring.cut() == []


def test_rule_a_without_delay_a_preferred_size_is_sent_before_the_rest() -> None:
    preferring = queue(8, 4)
    preferring.add(*[1] * 6)
    assert preferring.cut(at_ns=500 * MS) == [1] * 4
    assert preferring.cut(at_ns=500 * MS) == [1, 1]


def test_rule_a_when_the_next_request_would_exceed_the_largest_preferred_size_what_is_gathered_is_marked() -> None:
    preferring = queue(8, 4, delay_ms=200)
    preferring.add(3, 2)
    assert preferring.cut() == [3]
    assert preferring.cut() == []


def test_rule_b_a_full_batch_is_sent_though_its_delay_is_not_over() -> None:
    delayed = queue(8, delay_ms=200)
    delayed.add(*[1] * 8)
    assert delayed.cut() == [1] * 8


def test_rule_b_a_batch_that_the_next_request_would_overfill_is_sent() -> None:
    delayed = queue(8, delay_ms=200)
    delayed.add(5)
    assert delayed.cut() == []
    delayed.add(5)
    assert delayed.cut() == [5]


def test_rule_b_a_single_request_above_the_largest_preferred_size_is_sent() -> None:
    preferring = queue(8, 4, delay_ms=200)
    preferring.add(6)
    assert preferring.cut() == [6]


def test_rule_c_after_the_delay_everything_gathered_is_sent_whatever_is_preferred() -> None:
    preferring = queue(8, 4, delay_ms=200)
    preferring.add(1, 1, 1)
    assert preferring.cut(at_ns=200 * MS - 1) == []
    assert preferring.cut(at_ns=200 * MS) == [1, 1, 1]


def test_rule_c_after_the_delay_a_batch_may_exceed_the_preferred_size_up_to_the_limit() -> None:
    preferring = queue(8, 4, delay_ms=200)
    preferring.add(*[1] * 10)
    assert preferring.cut(at_ns=200 * MS) == [1] * 8
    preferring.add(*[1] * 4, at_ns=200 * MS)
    assert preferring.cut(at_ns=200 * MS) == [1] * 6


def test_rule_d_until_then_it_waits_for_the_oldest_requests_delay() -> None:
    preferring = queue(8, 4, delay_ms=200)
    preferring.add(1, at_ns=50 * MS)
    preferring.add(1, at_ns=90 * MS)
    assert preferring.cut(at_ns=100 * MS) == []
    assert preferring.batcher.due_ns() == 250 * MS
    assert preferring.cut(at_ns=250 * MS) == [1, 1]


def test_the_measured_example_of_the_reference_server() -> None:
    """Preferred 4, at most 8, delay 200 ms: one alone waits, three go together, four at once, then six together."""
    preferring = queue(8, 4, delay_ms=200)
    preferring.add(1)
    assert preferring.cut(at_ns=199 * MS) == []
    assert preferring.cut(at_ns=200 * MS) == [1]
    preferring.add(1, 1, 1, at_ns=1000 * MS)
    assert preferring.cut(at_ns=1000 * MS) == []
    assert preferring.cut(at_ns=1200 * MS) == [1, 1, 1]
    preferring.add(*[1] * 10, at_ns=2000 * MS)
    assert preferring.cut(at_ns=2000 * MS) == [1] * 4
    # The instance runs for 300 ms, longer than the delay.
    assert preferring.cut(at_ns=2300 * MS) == [1] * 6


# ---- cancellation --------------------------------------------------------------------------------------------------


def test_a_cancelled_request_leaves_the_queue_and_the_others_close_up() -> None:
    fresh = queue()
    first, second, third = fresh.add(1, 8, 1)
    second.cancelled = True
    fresh.batcher.withdraw(first, 0)
    assert len(fresh.batcher) == 2
    assert fresh.batcher.cut(0) == [first, third]
    assert len(fresh.batcher) == 0


def test_after_the_oldest_is_cancelled_the_delay_counts_from_the_next() -> None:
    delayed = queue(delay_ms=100)
    [first] = delayed.add(1, at_ns=0)
    delayed.add(1, at_ns=60 * MS)
    first.cancelled = True
    delayed.batcher.withdraw(first, 0)
    assert delayed.cut(at_ns=100 * MS) == []
    assert delayed.batcher.due_ns() == 160 * MS
    assert delayed.cut(at_ns=160 * MS) == [1]


def test_a_queue_of_cancelled_requests_only_gives_nothing() -> None:
    fresh = queue()
    for each in fresh.add(1, 1):
        each.cancelled = True
        fresh.batcher.withdraw(first, 0)
    assert len(fresh.batcher) == 0
    assert fresh.cut() == []
    assert fresh.batcher.due_ns() is None
    fresh.add(1)
    assert fresh.cut() == [1]


def test_taking_everything_leaves_out_the_cancelled_and_empties_the_queue() -> None:
    fresh = queue()
    kept, dropped, also_kept = fresh.add(1, 1, 1)
    dropped.cancelled = True
    fresh.batcher.withdraw(first, 0)
    assert fresh.batcher.take_all() == [kept, also_kept]
    assert len(fresh.batcher) == 0
    assert fresh.cut() == []
    fresh.add(2)
    assert fresh.cut() == [2]


# ---- against an oracle ---------------------------------------------------------------------------------------------


def due(waiting: list[QueuedRequest], policy: BatchPolicy, now_ns: int) -> int:
    """The rules as they are written down, by walking the whole queue each time. How many requests to send."""
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
    elapsed = now_ns - waiting[0].enqueued_ns >= policy.max_delay_ns
    if marked and (not elapsed or not policy.max_delay_ns):
        return marked
    if closed or size >= max(policy.preferred_items, default=policy.max_items) or elapsed:
        return gathered
    return 0


POLICIES = st.integers(1, 8).flatmap(
    lambda most: st.builds(
        BatchPolicy,
        st.just(most),
        st.sets(st.integers(1, most), max_size=3).map(lambda sizes: tuple(sorted(sizes))),
        st.sampled_from([0, 5, 50]),
        st.booleans(),
    )
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 8), st.sampled_from([b"", b"", b"", b"k"])),
        st.tuples(st.just("cut"), st.integers(0, 30), st.just(b"")),
        st.tuples(st.just("cancel"), st.integers(0, 40), st.just(b"")),
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(POLICIES, STEPS)
def test_no_request_is_lost_split_doubled_or_reordered_and_no_batch_breaks_a_rule(
    policy: BatchPolicy, steps: list[tuple[str, int, bytes]]
) -> None:
    batcher = Batcher(policy)
    waiting: list[QueuedRequest] = []
    now_ns = number = 0
    for what, value, key in steps:
        if what == "add":
            number += 1
            added = request(number, min(value, policy.max_items), key=key, at_ns=now_ns)
            waiting.append(added)
            batcher.add(added)
        elif what == "cancel" and waiting:
            gone = waiting.pop(value % len(waiting))
            gone.cancelled = True
            batcher.cancelled()
        elif what == "cut":
            now_ns += value
            expected = waiting[: due(waiting, policy, now_ns)]
            batch = batcher.cut(now_ns)
            assert batch == expected
            del waiting[: len(batch)]
            assert sum(each.items for each in batch) <= policy.max_items
            assert len({each.infer.batch_key for each in batch}) <= 1
        assert len(batcher) == len(waiting)
    rest = []
    while waiting:
        # An instance stays free: cut until it must wait, then come back exactly when told to, not a moment earlier.
        batch = batcher.cut(now_ns)
        if not batch:
            wake_ns = batcher.due_ns()
            assert wake_ns is not None
            assert wake_ns > now_ns
            assert batcher.cut(wake_ns - 1) == []
            now_ns = wake_ns
            batch = batcher.cut(now_ns)
            assert batch, "it woke and there was nothing to do"
        assert batch == waiting[: len(batch)]
        del waiting[: len(batch)]
        rest += batch
    assert batcher.cut(now_ns) == []
    assert batcher.due_ns() is None


@pytest.mark.parametrize("preferred", [(), (4,)])
def test_a_decision_with_ten_thousand_waiting_takes_every_request_exactly_once(preferred: tuple[int, ...]) -> None:
    long = queue(8, *preferred)
    added = long.add(*[1] * 10_000)
    taken: list[QueuedRequest] = []
    while batch := long.batcher.cut(0):
        taken += batch
    assert taken == added


def test_a_batch_always_fits_one_packet_however_long_the_clients_ids_are() -> None:
    fresh = queue(64)
    long = msgspec.Raw(msgspec.msgpack.encode("x" * 50_000))
    for number in range(5):
        fresh.batcher.add(request(number, body=long))
    sizes = []
    while batch := fresh.batcher.cut(0):
        sizes.append(len(batch))
        packet = encode([Batch(1, tuple(BatchItem(1, 1, 1, each.infer.body) for each in batch))])
        assert len(packet) < 212_992
    assert sizes == [2, 2, 1]
