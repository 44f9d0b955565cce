"""Requests that get several responses, or whose time is over before they have run: what the ledger does with them."""

from tests.unit.frontend.core_bench import Bench
from tis.contracts import messages as m
from tis.errors import Code


def test_a_request_with_several_responses_keeps_its_block_until_the_last(bench: Bench) -> None:
    number = bench.submit()
    bench.receive(m.Reply(number, (), (m.OutputRef("Y", "FP32", (0,), 0, 0),), {}, final=False))
    bench.receive(m.Failure(number, "INTERNAL", "no", complete=True, final=False))
    assert bench.core.used_bytes > 0
    bench.receive(m.Reply(number, (), None))
    assert [(answer.final, answer.is_empty) for answer in bench.answers] == [
        (False, False),
        (False, False),
        (True, True),
    ]
    assert (bench.core.used_bytes, bench.core.pending) == (0, 0)


def test_a_request_whose_time_is_over_is_answered_at_once_and_keeps_its_block_until_it_has_run(bench: Bench) -> None:
    number = bench.submit()
    bench.receive(m.Expired(number))
    [answer] = bench.answers
    assert answer.error is not None
    assert (answer.error.code, answer.error.message) == (Code.UNAVAILABLE, "Request timeout expired")
    assert bench.core.used_bytes > 0
    bench.receive(m.Failure(number, "INTERNAL", "no"))
    assert (bench.core.used_bytes, len(bench.answers)) == (0, 1)
