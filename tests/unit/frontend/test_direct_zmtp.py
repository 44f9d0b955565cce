"""The ROUTER's end of ZeroMQ's wire protocol: messages out of bytes, however they are cut, and nothing beyond the limits."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tis.errors import Code
from tis_frontend.direct.zmtp import Budget, Connection, Incoming, Limits, message
from tis_frontend.direct.zmtp_error import ZmtpError

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
HELLO = GREETING + READY
LIMITS = Limits(head_bytes=1000, message_bytes=300_000, frames=3)


class Peer:
    """A connection that is fed by hand."""

    def __init__(self, budget_bytes: int = 1 << 30) -> None:
        self.budget = Budget(budget_bytes)
        self.connection = Connection(LIMITS, self.budget)
        self.messages: list[Incoming] = []

    def feed(self, data: bytes, most: int = 1 << 30) -> "Peer":
        """Bytes come in, at most so many at once."""
        while data:
            room = self.connection.room()
            size = min(len(room), len(data), most)
            room[:size] = data[:size]
            self.messages += self.connection.received(size)
            data = data[size:]
        return self

    @property
    def frames(self) -> list[list[bytes]]:
        return [[bytes(frame) for frame in each.frames] for each in self.messages]


def wire(*frames: bytes) -> bytes:
    return b"".join(message(frames[0], list(frames[1:])))


MESSAGES = [[b"head"], [b"", b"x" * 255, b"y" * 256], [b"h", b"z" * 200_000, b"", b"w" * 70_000], [b"last"]]
STREAM = HELLO + b"".join(wire(*frames) for frames in MESSAGES)


@pytest.mark.parametrize("most", [1, 2, 63, 64, 65, 1000, 65_537, 1 << 30])
def test_messages_come_whole_however_the_bytes_are_cut(most: int) -> None:
    peer = Peer().feed(STREAM, most)
    assert peer.frames == MESSAGES
    assert all(each.refusal is None for each in peer.messages)
    assert peer.budget.take(1 << 30)


def test_messages_come_whole_however_the_bytes_are_cut_at_random() -> None:
    chance = random.Random(1)
    peer = Peer()
    at = 0
    while at < len(STREAM):
        end = at + chance.choice([1, 3, 100, 30_000])
        peer.feed(STREAM[at:end])
        at = end
    assert peer.frames == MESSAGES


@pytest.mark.parametrize("most", [1, 1000, 1 << 30])
@pytest.mark.parametrize(
    "frames",
    [
        [b"head", b"x" * 300_000],
        [b"head", b"x" * 150_000, b"y" * 150_000],
        [b"head", b"1", b"2", b"3", b"4"],
        [b"head", b"1", b"2", b"3", b"", b"", b"x" * 70_000],
    ],
    ids=["one", "two", "many", "more"],
)
def test_a_message_beyond_the_limits_is_read_to_its_end_and_told(frames: list[bytes], most: int) -> None:
    peer = Peer().feed(HELLO + wire(*frames) + wire(b"next", b"one"), most)
    refused, after = peer.messages
    assert refused.frames == [b"head"]
    assert refused.refusal is not None
    assert refused.refusal.code is Code.INVALID_ARG
    assert "a message has at most" in refused.refusal.message
    assert after == Incoming([b"next", b"one"])
    assert peer.budget.take(1 << 30)


def test_messages_of_all_connections_share_a_budget() -> None:
    first = Peer(100_000)
    second = Peer()
    second.connection = Connection(LIMITS, first.budget)
    first.feed(HELLO + wire(b"head", b"x" * 80_000)[:-1])
    second.feed(HELLO + wire(b"head", b"y" * 80_000))
    refusal = second.messages[0].refusal
    assert refusal is not None
    assert refusal.code is Code.UNAVAILABLE
    first.connection.abandon()
    second.feed(wire(b"head", b"y" * 80_000))
    assert second.messages[1].refusal is None


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        GREETING.replace(b"NULL", b"CURV"),
        b"\xff" + bytes(8) + b"\x7f\x02" + GREETING[11:],
        GREETING + wire(b"before READY"),
        GREETING + b"\x04\x03\x02HI",
        GREETING + READY.replace(b"DEALER", b"ROUTER"),
        GREETING + READY[:-3],
        GREETING + b"\x04\x10" + READY[2:18],
        GREETING + b"\x06" + (2000).to_bytes(8, "big"),
        HELLO + wire(b"h" * 1001),
        HELLO + b"\x08\x00",
        HELLO + b"\x04\x19\x04PING\x00\x00" + bytes(18),
    ],
)
def test_what_is_no_zeromq_is_an_error(data: bytes) -> None:
    peer = Peer()
    if data == GREETING + READY[:-3]:
        assert not peer.feed(data).connection.is_ready
    else:
        with pytest.raises(ZmtpError):
            peer.feed(data)


def test_a_ping_is_answered_with_its_context() -> None:
    peer = Peer().feed(HELLO)
    peer.connection.out.clear()
    peer.feed(b"\x04\x0b\x04PING\x00\x64mine")
    assert peer.connection.out == b"\x04\x09\x04PONGmine"


@given(st.binary(max_size=300))
def test_random_bytes_are_messages_or_an_error(data: bytes) -> None:
    for before in (b"", GREETING, HELLO):
        peer = Peer()
        try:
            peer.feed(before + data)
        except ZmtpError:
            continue
        assert all(each.frames for each in peer.messages)
