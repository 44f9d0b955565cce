"""Batches are cut by Triton's rules: when somebody can take one, never split, never reordered, never too large."""

import msgspec
import pytest

from tis.contracts.messages import MOST_REQUESTS, Batch, BatchItem, Infer, encode
from tis.scheduler.batcher import Batcher, BatchPolicy
from tis.scheduler.instances import Instance
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

    def withdraw(self, request: QueuedRequest) -> None:
        request.cancelled = True
        assert self.batcher.withdraw(request, 0) == []

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


def test_when_the_request_that_closed_a_batch_is_cancelled_the_batch_waits_for_others_again() -> None:
    delayed = queue(delay_ms=100)
    delayed.add(1, key=b"a")
    [other] = delayed.add(1, key=b"b")
    delayed.withdraw(other)
    assert delayed.cut(at_ns=50 * MS) == []
    delayed.add(1, key=b"a", at_ns=60 * MS)
    assert delayed.cut(at_ns=100 * MS) == [1, 1]


def test_a_request_to_be_run_again_waits_behind_the_others() -> None:
    fresh = queue(1)
    [first] = fresh.add(1)
    assert fresh.batcher.cut(0) == [first]
    [second] = fresh.add(1)
    fresh.batcher.ended(Instance(1), [first], [first], 5 * MS)
    assert [fresh.batcher.cut(0), fresh.batcher.cut(0)] == [[second], [first]]


# ---- cancellation --------------------------------------------------------------------------------------------------


def test_a_cancelled_request_leaves_the_queue_and_the_others_close_up() -> None:
    fresh = queue()
    first, second, third = fresh.add(1, 8, 1)
    fresh.withdraw(second)
    assert len(fresh.batcher) == 2
    assert fresh.batcher.cut(0) == [first, third]
    assert len(fresh.batcher) == 0


def test_after_the_oldest_is_cancelled_the_delay_counts_from_the_next() -> None:
    delayed = queue(delay_ms=100)
    [first] = delayed.add(1, at_ns=0)
    delayed.add(1, at_ns=60 * MS)
    delayed.withdraw(first)
    assert delayed.cut(at_ns=100 * MS) == []
    assert delayed.batcher.due_ns() == 160 * MS
    assert delayed.cut(at_ns=160 * MS) == [1]


def test_a_queue_of_cancelled_requests_only_gives_nothing() -> None:
    fresh = queue()
    for each in fresh.add(1, 1):
        fresh.withdraw(each)
    assert len(fresh.batcher) == 0
    assert fresh.cut() == []
    assert fresh.batcher.due_ns() is None
    fresh.add(1)
    assert fresh.cut() == [1]


def test_taking_everything_leaves_out_the_cancelled_and_empties_the_queue() -> None:
    fresh = queue()
    kept, dropped, also_kept = fresh.add(1, 1, 1)
    fresh.withdraw(dropped)
    assert fresh.batcher.drain() == [kept, also_kept]
    assert len(fresh.batcher) == 0
    assert fresh.cut() == []
    fresh.add(2)
    assert fresh.cut() == [2]


# ---- sizes ---------------------------------------------------------------------------------------------------------


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
        fresh.batcher.add(request(number, body=long), 0)
    sizes = []
    while batch := fresh.batcher.cut(0):
        sizes.append(len(batch))
        packet = encode([Batch(1, 1, tuple(BatchItem(1, 1, 1, each.infer.body) for each in batch))])
        assert len(packet) < 212_992
    assert sizes == [2, 2, 1]
