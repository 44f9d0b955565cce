"""A stream whose client does not read: what waits for it is bounded, and it is not read from either."""

import asyncio
import itertools

import pytest

from tests.unit.frontend.test_grpc_stream import Client, client
from tis.errors import Code
from tis_frontend.backlog import EACH_BYTES, Backlog

__all__ = ["client"]


def test_responses_of_a_decoupled_model_that_are_not_taken_end_the_stream(client: Client) -> None:
    reads = asyncio.Semaphore(0)
    # A second passes whenever somebody looks.
    backlog = Backlog(10 * (EACH_BYTES + 200), most_bytes=1 << 30, clock=itertools.count().__next__)
    client.open(reads=reads, backlog=backlog)
    client.send("a", "many")
    client.send("b", "many")
    first, second = client.core.submitted
    while not first.cancelled:
        client.answer(first, final=False)
        assert backlog.waiting_bytes <= backlog.most_line_bytes
    assert second.cancelled
    assert backlog.waiting_bytes == 0
    # What still comes is given back.
    client.answer(second, final=False)
    assert backlog.waiting_bytes == 0
    # The client goes on with the response that it was at, and hears of the end in place of the others.
    reads.release()
    client.turn()
    assert client.ids == ["a"]
    [error] = client.ended
    assert error is not None
    assert error.code is Code.UNAVAILABLE
    assert error.message.startswith("responses are not taken: ")
    assert not backlog.lines


def test_requests_are_not_read_while_much_waits_to_be_written(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tis_frontend.grpc.stream.MOST_UNWRITTEN_BYTES", 3 * EACH_BYTES)
    reads = asyncio.Semaphore(0)
    client.open(reads=reads)
    for name in "abcd":
        client.send(name)
    for each in list(client.core.submitted):
        client.answer(each)
    # One is on its way out, three wait: the reader takes the request that it has waited for and no further one.
    for name in "efg":
        client.send(name)
    assert client.read == 5
    for _ in range(4):
        reads.release()
        client.turn()
    assert client.read == 7
    assert client.ids == ["a", "b", "c", "d"]


def test_responses_that_wait_for_earlier_ones_are_no_reason_to_end_a_stream(client: Client) -> None:
    """Of models that answer once there are no more than requests in flight."""
    backlog = Backlog(EACH_BYTES, most_bytes=1 << 30, clock=itertools.count().__next__)
    client.open(backlog=backlog)
    for name in "abc":
        client.send(name)
    a, b, c = client.core.submitted
    client.answer(c)
    client.answer(b)
    assert backlog.waiting_bytes > 2 * EACH_BYTES
    client.answer(a)
    assert client.ids == ["a", "b", "c"]
    assert backlog.waiting_bytes == 0


def test_a_stream_that_is_left_early_waits_no_more(client: Client) -> None:
    backlog = Backlog()
    client.open(reads=asyncio.Semaphore(0), backlog=backlog)
    client.send("a", "many")
    for _ in range(3):
        client.answer(client.core.submitted[0], final=False)
    assert backlog.waiting_bytes
    assert client.task is not None
    client.task.cancel()
    client.turn()
    assert not backlog.waiting_bytes
    assert not backlog.lines
