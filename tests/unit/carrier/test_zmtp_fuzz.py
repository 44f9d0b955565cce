"""Senders that say anything at all: the receiving end takes whole messages or cuts the sender off, and nothing else."""

import shutil
import socket
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tis.carrier.zmtp import PullConnection, PullSocket, ZmtpError

GREETING = b"\xff" + b"\x00" * 8 + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\x00") + b"\x00" * 32
READY = b"\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04PUSH"


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """A frame with any flags, whose length is mostly that of its body."""
    flags = draw(st.integers(0, 255) | st.sampled_from([0, 1, 2, 3, 4, 6]))
    body = draw(st.binary(max_size=40))
    size_bytes = draw(st.just(len(body)) | st.just(len(body)) | st.integers(0, 255) | st.integers(0, (1 << 64) - 1))
    size = size_bytes.to_bytes(8, "big") if flags & 2 else bytes([size_bytes & 0xFF])
    return bytes([flags]) + size + body


STREAMS = st.binary(max_size=200) | st.builds(
    lambda greeting, parts: greeting + b"".join(parts),
    st.sampled_from([GREETING, GREETING + READY, GREETING[:40], b""]),
    st.lists(frames() | st.binary(max_size=12), max_size=6),
)


def pieces(draw: st.DataObject, stream: bytes) -> list[bytes]:
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    ends = [*cuts, len(stream)]
    return [stream[start:end] for start, end in zip([0, *cuts], ends, strict=True) if start < end]


def taken(parts: list[bytes]) -> tuple[list[bytes], bool]:
    """What a connection makes of these pieces: the messages, and whether it bore them all."""
    ours, theirs = socket.socketpair()
    connection = PullConnection(ours)
    room = memoryview(bytearray(1 << 12))
    messages: list[bytes] = []
    try:
        for part in parts:
            theirs.sendall(part)
            messages += connection.receive(room)[0]
    except ZmtpError:
        return messages, False
    finally:
        connection.close()
        theirs.close()
    return messages, True


@settings(max_examples=250)
@given(STREAMS, st.data())
def test_whatever_is_sent_nothing_but_a_zmtp_error_is_raised_however_it_is_cut(
    stream: bytes, data: st.DataObject
) -> None:
    whole, borne = taken([stream] if stream else [])
    cut, cut_borne = taken(pieces(data, stream))
    assert borne == cut_borne
    # A piece that breaks the protocol takes the messages before it in the same piece with it.
    assert cut == whole if borne else cut[: len(whole)] == whole
    assert sum(map(len, whole)) <= len(stream)


@settings(max_examples=60)
@given(st.lists(STREAMS, min_size=1, max_size=3))
def test_strangers_are_cut_off_and_a_good_sender_among_them_is_heard(streams: list[bytes]) -> None:
    directory = Path(tempfile.mkdtemp(prefix="tis-test-"))
    pull = PullSocket(directory / "requests")
    strangers = []
    try:
        fd, received = None, None
        for stream in [*streams, GREETING + READY + b"\x00\x02hi"]:
            stranger = socket.socket(socket.AF_UNIX)
            strangers.append(stranger)
            stranger.connect(str(directory / "requests"))
            fd = pull.accept()
            assert fd is not None
            stranger.sendall(stream)
            received = pull.receive(fd) if stream else []
        assert received == [b"hi"]
    finally:
        for stranger in strangers:
            stranger.close()
        pull.close()
        shutil.rmtree(directory)
