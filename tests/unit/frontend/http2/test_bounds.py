"""What a peer can make a connection hold or do with few bytes: header fields named again, broken streams, dribbled room."""

import pytest

from tests.unit.frontend.http2.peers import HEAD, TRAILERS, well_formed
from tests.unit.frontend.http2.test_rules import BLOCK, ENDS, WHOLE, Peer, peer
from tis_frontend.grpc.native.head import read_head
from tis_frontend.http2 import frames as f
from tis_frontend.http2 import headers, limits
from tis_frontend.http2.frames import Error
from tis_frontend.http2.headers import HeaderBlocks

__all__ = ["peer"]

#: Puts a field of 4,000 bytes into the dynamic table, which one byte names from then on.
_BIG: int = 4000
LARGE = b"\x40\x01a\x7f\xa1\x1e" + b"b" * _BIG
AGAIN = b"\xbe"


def refused(out: bytes, stream: int) -> bool:
    return f.reset(stream, Error.REFUSED_STREAM) in out


# ---- header fields -----------------------------------------------------------------------------------------------------


def test_fields_of_open_streams_are_bounded_however_few_bytes_name_them(peer: Peer) -> None:
    peer.frame(f.HEADERS, WHOLE, 1, BLOCK + LARGE)
    sent = 0
    number = 1
    while not refused(out := peer.frame(f.HEADERS, WHOLE, number + 2, BLOCK + AGAIN * 3), number + 2):
        number += 2
        sent += len(BLOCK + AGAIN * 3) + f.HEADER_BYTES
        assert out == b""
    held = sum(stream.head_bytes for stream in peer.server.streams.values())
    assert 0.9 * limits.MOST_OPEN_HEADER_BYTES < held <= limits.MOST_OPEN_HEADER_BYTES
    assert sent < 10_000
    assert not peer.server.is_over
    # Room comes back when streams end: by a reset, by an answer.
    peer.now_s += 10
    peer.frame(f.RST_STREAM, 0, number, f.WORD.pack(Error.CANCEL))
    assert not refused(peer.frame(f.HEADERS, WHOLE, number + 4, BLOCK + AGAIN * 3), number + 4)
    assert refused(peer.frame(f.HEADERS, WHOLE, number + 6, BLOCK + AGAIN * 3), number + 6)
    peer.server.sending.respond(peer.notes.streams[1].stream, HEAD, b"data", TRAILERS)
    peer.server.sending.respond(peer.notes.streams[3].stream, HEAD, b"data", TRAILERS)
    assert not refused(peer.frame(f.HEADERS, WHOLE, number + 8, BLOCK + AGAIN * 3), number + 8)


def test_a_thousand_streams_with_fields_of_common_size_are_taken(peer: Peer) -> None:
    block = BLOCK + b"\0\x01a\x7f\xb1\x0f" + b"b" * 2096
    for number in range(1, 2 * limits.MOST_STREAMS, 2):
        assert not refused(peer.frame(f.HEADERS, WHOLE, number, block), number)
    assert len(peer.server.streams) == limits.MOST_STREAMS


def test_blocks_are_remembered_only_as_far_as_their_fields_are_small() -> None:
    blocks = HeaderBlocks(well_formed, limits.MOST_HEADER_BYTES)
    blocks.decode(BLOCK + LARGE)
    for number in range(200):
        # Each is another one: a short field that is not put into the table.
        _, size_bytes = blocks.decode(BLOCK + AGAIN * 3 + b"\0\x01c\x01" + bytes((number,)))
        assert size_bytes > 3 * _BIG
        assert blocks._remembered_bytes <= headers._MOST_REMEMBERED_BYTES
        assert len(blocks._remembered) <= 4


def test_a_field_of_binary_values_holds_only_so_many() -> None:
    fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/x")]
    assert read_head([*fields, (b"a-bin", b",".join([b"YQ"] * 100))]) is not None
    assert read_head([*fields, (b"a-bin", b"," * 10_000)]) is None
    assert read_head([*fields, *[(b"a-bin", b"," * 300)] * 2]) is None


# ---- streams that the peer has this side reset (CVE-2025-8671) -----------------------------------------------------------


BREAKS = {
    "more room than there may be": (f.WINDOW_UPDATE, 0, b"\x7f\xff\xff\xff"),
    "room of nothing": (f.WINDOW_UPDATE, 0, bytes(4)),
    "a priority of another size": (f.PRIORITY, 0, bytes(4)),
    "data after the end": (f.DATA, 0, b"x"),
    "headers after the end": (f.HEADERS, WHOLE, BLOCK),
    "headers in the middle": (f.HEADERS, WHOLE, BLOCK),
}


@pytest.mark.parametrize("way", BREAKS)
def test_streams_begun_and_broken_at_once_end_the_connection(peer: Peer, way: str) -> None:
    kind, flags, payload = BREAKS[way]
    out = b""
    for number in range(1, 20_001, 2):
        peer.frame(f.HEADERS, WHOLE if way == "headers in the middle" else WHOLE | ENDS, number, BLOCK)
        out = peer.frame(kind, flags, number, payload)
        assert number not in peer.server.streams
        if peer.server.is_over:
            break
    assert peer.ends_with(out) == Error.ENHANCE_YOUR_CALM
    assert number < 2 * 2000
    assert not peer.server.streams


# ---- room that is dribbled out to many streams ---------------------------------------------------------------------------


def waiting(peer: Peer, streams: int) -> None:
    """So many streams have more to send than there is room for."""
    for number in range(1, 2 * streams, 2):
        peer.frame(f.HEADERS, WHOLE | ENDS, number, BLOCK)
        peer.server.sending.headers(peer.notes.streams[number].stream, HEAD)
        peer.server.sending.data(peer.notes.streams[number].stream, bytes(70_000))
    peer.server.out.clear()


def test_room_for_all_does_not_walk_over_streams_that_have_none_of_their_own(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer.frame(f.SETTINGS, 0, 0, f.SETTING.pack(f.INITIAL_WINDOW_SIZE, 0))
    waiting(peer, 1000)
    walked = 0
    send_frame = peer.server.sending._send_frame

    def counted(stream: object) -> bool:
        nonlocal walked
        walked += 1
        return send_frame(stream)  # type: ignore[arg-type]

    monkeypatch.setattr(peer.server.sending, "_send_frame", counted)
    for _ in range(100):
        assert peer.frame(f.WINDOW_UPDATE, 0, 0, f.WORD.pack(1)) == b""
    assert walked == 0


def test_room_for_all_is_used_by_streams_that_wait_for_it(peer: Peer) -> None:
    peer.frame(f.SETTINGS, 0, 0, f.SETTING.pack(f.INITIAL_WINDOW_SIZE, 1 << 20))
    waiting(peer, 3)
    sent = 0
    while not sent >= 3 * 70_000 - f.DEFAULT_WINDOW_BYTES:
        out = peer.frame(f.WINDOW_UPDATE, 0, 0, f.WORD.pack(10_000))
        assert out
        sent += 10_000
    assert not peer.server.sending.queued_bytes


def test_settings_that_touch_many_streams_cost_more(peer: Peer) -> None:
    for number in range(1, 2001, 2):
        peer.frame(f.HEADERS, WHOLE | ENDS, number, BLOCK)
    out = b""
    sent = 0
    while not peer.server.is_over:
        out = peer.frame(f.SETTINGS, 0, 0, f.SETTING.pack(f.INITIAL_WINDOW_SIZE, 1000 + sent % 2))
        sent += 1
        assert sent < 300
    assert peer.ends_with(out) == Error.ENHANCE_YOUR_CALM


def test_a_connection_says_whether_it_is_inside_of_a_frame_or_a_block(peer: Peer) -> None:
    whole = f.head(len(BLOCK), f.HEADERS, WHOLE | ENDS, 1) + BLOCK
    seen = [peer.server.is_inside]
    peer.server.receive(whole[:-1], 0.0)
    seen.append(peer.server.is_inside)
    peer.server.receive(whole[-1:], 0.0)
    seen.append(peer.server.is_inside)
    peer.frame(f.HEADERS, 0, 3, BLOCK[:3])
    seen.append(peer.server.is_inside)
    assert seen == [False, True, False, True]
