"""CURVE's handshake and boxes against a client that is written here from the specification, and that may misbehave."""

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings as sodium

from tis_frontend.direct.curve import DENIED, ServerKeys
from tis_frontend.direct.secured import SecuredConnection
from tis_frontend.direct.zmtp import Budget, Incoming, Limits, as_frame
from tis_frontend.direct.zmtp_error import ZmtpError

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"CURVE".ljust(20, b"\0") + bytes(32)
METADATA = b"\x0bSocket-Type\x00\x00\x00\x06DEALER"
LIMITS = Limits(head_bytes=1000, message_bytes=300_000, frames=3)
SERVER_PUBLIC, SERVER_SECRET = sodium.crypto_box_keypair()
KNOWN_PUBLIC, KNOWN_SECRET = sodium.crypto_box_keypair()


class Peer:
    """A client and the server's end of its connection."""

    def __init__(self, public: bytes = KNOWN_PUBLIC, secret: bytes = KNOWN_SECRET) -> None:
        self.long_term = (public, secret)
        self.public, self.secret = sodium.crypto_box_keypair()
        self.budget = Budget(1 << 20)
        keys = ServerKeys(SERVER_SECRET, lambda key: key == KNOWN_PUBLIC)
        self.connection = SecuredConnection(LIMITS, self.budget, keys)
        self.messages: list[Incoming] = []
        self.number = 0
        self.server = b""
        self.cookie = b""

    def feed(self, data: bytes) -> "Peer":
        while data:
            room = self.connection.room()
            size = min(len(room), len(data))
            room[:size] = data[:size]
            self.messages += self.connection.received(size)
            data = data[size:]
        return self

    def heard(self) -> bytes:
        """What the server has said, but the greeting."""
        said = bytes(self.connection.out)
        self.connection.out.clear()
        return said[64:] if said.startswith(b"\xff") else said

    def nonce(self) -> bytes:
        self.number += 1
        return self.number.to_bytes(8, "big")

    def hello(self) -> bytes:
        nonce = self.nonce()
        box = sodium.crypto_box(bytes(64), b"CurveZMQHELLO---" + nonce, SERVER_PUBLIC, self.secret)
        return as_frame(4, b"\x05HELLO\x01\x00" + bytes(72) + self.public + nonce + box)

    def welcome(self) -> None:
        said = self.heard()
        assert said[:10] == b"\x04\xa8\x07WELCOME"
        plain = sodium.crypto_box_open(said[26:], b"WELCOME-" + said[10:26], SERVER_PUBLIC, self.secret)
        self.server, self.cookie = plain[:32], plain[32:]

    def initiate(self, *, vouched: bytes | None = None, metadata: bytes = METADATA) -> bytes:
        public, secret = self.long_term
        nonce = self.nonce()
        vouch_nonce = os.urandom(16)
        words = (vouched or self.public) + SERVER_PUBLIC
        vouch = vouch_nonce + sodium.crypto_box(words, b"VOUCH---" + vouch_nonce, self.server, secret)
        box = sodium.crypto_box(public + vouch + metadata, b"CurveZMQINITIATE" + nonce, self.server, self.secret)
        return as_frame(4, b"\x08INITIATE" + self.cookie + nonce + box)

    def frame(self, flags: int, body: bytes) -> bytes:
        nonce = self.nonce()
        box = sodium.crypto_box(bytes((flags,)) + body, b"CurveZMQMESSAGEC" + nonce, self.server, self.secret)
        return as_frame(0, b"\x07MESSAGE" + nonce + box)

    def open(self, said: bytes) -> bytes:
        at = said.index(b"\x07MESSAGE") + 8
        return sodium.crypto_box_open(said[at + 8 :], b"CurveZMQMESSAGES" + said[at : at + 8], self.server, self.secret)

    def met(self) -> "Peer":
        self.feed(GREETING + self.hello()).welcome()
        self.feed(self.initiate())
        assert self.connection.is_ready
        assert self.heard()[2:8] == b"\x05READY"
        return self


def test_messages_go_both_ways_in_boxes() -> None:
    peer = Peer().met()
    peer.feed(peer.frame(1, b"head") + peer.frame(1, b"x" * 200_000) + peer.frame(0, b""))
    assert [bytes(each) for each in peer.messages[0].frames] == [b"head", b"x" * 200_000, b""]
    assert peer.open(peer.connection.wire(b"answer", [])) == b"\x00answer"
    peer.feed(peer.frame(2, b"\x04PING\x00\x64mine"))
    assert peer.open(peer.heard()) == b"\x02\x04PONGmine"
    assert peer.budget.take(1 << 20)


def test_a_client_without_a_known_key_is_told_and_never_in() -> None:
    peer = Peer(*sodium.crypto_box_keypair())
    peer.feed(GREETING + peer.hello()).welcome()
    with pytest.raises(ZmtpError, match="not among"):
        peer.feed(peer.initiate())
    assert peer.heard() == as_frame(4, DENIED)
    assert not peer.connection.is_ready


def test_a_known_key_without_its_secret_half_is_of_no_use() -> None:
    peer = Peer(KNOWN_PUBLIC, sodium.crypto_box_keypair()[1])
    peer.feed(GREETING + peer.hello()).welcome()
    with pytest.raises(ZmtpError, match="does not open"):
        peer.feed(peer.initiate())


def test_a_vouch_of_another_connection_is_of_no_use() -> None:
    peer = Peer()
    peer.feed(GREETING + peer.hello()).welcome()
    with pytest.raises(ZmtpError, match="vouch"):
        peer.feed(peer.initiate(vouched=bytes(32)))


def test_a_cookie_of_another_connection_is_of_no_use() -> None:
    peer, other = Peer(), Peer()
    for each in (peer, other):
        each.feed(GREETING + each.hello()).welcome()
    peer.cookie = other.cookie
    with pytest.raises(ZmtpError, match="INITIATE"):
        peer.feed(peer.initiate())


def test_a_frame_is_taken_once_and_as_it_was_sent() -> None:
    peer = Peer().met()
    first = peer.frame(0, b"one")
    peer.feed(first)
    with pytest.raises(ZmtpError, match="before"):
        peer.feed(first)
    peer = Peer().met()
    changed = bytearray(peer.frame(0, b"one"))
    changed[-1] ^= 1
    with pytest.raises(ZmtpError, match="does not open"):
        peer.feed(bytes(changed))
    assert not peer.messages


@pytest.mark.parametrize(
    "words",
    [
        lambda _: GREETING.replace(b"CURVE", b"NULL\0"),
        lambda peer: GREETING + peer.hello()[:20] + bytes(182),
        lambda peer: GREETING + peer.hello() + peer.hello(),
        lambda _: GREETING + as_frame(4, b"\x05READY" + METADATA),
        lambda _: GREETING + as_frame(0, b"\x05HELLO"),
        lambda _: GREETING + as_frame(4, b"\x08INITIATE" + bytes(300)),
        lambda _: GREETING + as_frame(4, b"\x05HELLO" + bytes(1100)),
        # A key of low order: everybody knows what it makes.
        lambda _: GREETING + as_frame(4, b"\x05HELLO\x01\x00" + bytes(72 + 32 + 8 + 80)),
    ],
)
def test_who_does_not_shake_hands_is_not_let_in(words: Any) -> None:
    peer = Peer()
    with pytest.raises(ZmtpError):
        peer.feed(words(peer))
    assert not peer.connection.is_ready


@pytest.mark.parametrize(
    "frames",
    [
        [(0, b"h" * 1001)],
        [(1, b"h"), (0, b"x" * 300_000)],
        [(1, b"h"), (1, b""), (1, b""), (1, b""), (0, b"")],
    ],
)
def test_a_message_beyond_the_limits_ends_the_connection(frames: list[tuple[int, bytes]]) -> None:
    peer = Peer().met()
    with pytest.raises(ZmtpError):
        peer.feed(b"".join(peer.frame(*each) for each in frames))
    peer.connection.abandon()
    assert peer.budget.take(1 << 20)


@pytest.mark.parametrize("metadata", [b"", METADATA.replace(b"DEALER", b"ROUTER"), METADATA[:-1], b"\xff"])
def test_who_is_no_dealer_is_not_let_in(metadata: bytes) -> None:
    peer = Peer()
    peer.feed(GREETING + peer.hello()).welcome()
    with pytest.raises(ZmtpError):
        peer.feed(peer.initiate(metadata=metadata))
    assert not peer.connection.is_ready


@given(st.binary(max_size=300), st.integers(0, 7))
def test_random_bytes_are_an_error_and_no_message(data: bytes, flags: int) -> None:
    fresh, met = Peer(), Peer().met()
    fresh.feed(GREETING)
    for peer, words in ((fresh, data), (fresh, as_frame(4, data)), (met, as_frame(flags & 5, b"\x07MESSAGE" + data))):
        try:
            peer.feed(words)
        except ZmtpError:
            continue
        assert not peer.messages
