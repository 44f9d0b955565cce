"""Rules of RFC 9113 that a peer may break, by their section, and floods."""

import pytest

from tests.unit.frontend.http2.peers import HEAD, TRAILERS, Notes, well_formed
from tis_frontend.http2 import frames as f
from tis_frontend.http2.connection import Connection
from tis_frontend.http2.frames import Error
from tis_frontend.http2.headers import Fields
from tis_frontend.http2.limits import CONNECTION_WINDOW_BYTES, FRAME_BYTES, STREAM_WINDOW_BYTES

BLOCK = b"\x83\x86\x04\x02/x"
ENDS, WHOLE = f.END_STREAM, f.END_HEADERS


class Peer:
    """Frames by hand."""

    def __init__(self) -> None:
        self.notes = Notes()
        self.server: Connection[Fields] = Connection(self.notes, well_formed, 0.0)
        self.server.receive(f.PREFACE + f.settings({}), 0.0)
        self.server.out.clear()
        self.now_s = 0.0

    def frame(self, kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
        """Send one; gives what comes back."""
        self.server.receive(f.head(len(payload), kind, flags, stream) + payload, self.now_s)
        out = b"".join(self.server.out)
        self.server.out.clear()
        return out

    def ends_with(self, out: bytes) -> Error:
        """The error of the GOAWAY in what came back."""
        assert self.server.is_over, "the connection goes on"
        at = 0
        while at < len(out):
            high, low, kind, _flags, _stream = f.HEAD.unpack_from(out, at)
            size = high << 8 | low
            if kind == f.GOAWAY:
                return Error(f.WORD.unpack_from(out, at + 13)[0])
            at += 9 + size
        raise AssertionError("no GOAWAY")


@pytest.fixture
def peer() -> Peer:
    return Peer()


BREACHES = {
    "3.4 no preface": (None, Error.PROTOCOL_ERROR),
    "4.2 a frame that is too long": ((f.DATA, 0, 1, bytes(FRAME_BYTES + 1)), Error.FRAME_SIZE_ERROR),
    "4.3 a block that is none": ((f.HEADERS, WHOLE, 1, b"\xff\xff\xff\xff\xff\xff"), Error.COMPRESSION_ERROR),
    "5.1 data on an idle stream": ((f.DATA, 0, 1, b"x"), Error.PROTOCOL_ERROR),
    "5.1 a window of an idle stream": ((f.WINDOW_UPDATE, 0, 1, b"\0\0\0\1"), Error.PROTOCOL_ERROR),
    "5.1.1 a stream of an even number": ((f.HEADERS, WHOLE, 2, BLOCK), Error.PROTOCOL_ERROR),
    "6.1 data on stream 0": ((f.DATA, 0, 0, b"x"), Error.PROTOCOL_ERROR),
    "6.2 headers on stream 0": ((f.HEADERS, WHOLE, 0, BLOCK), Error.PROTOCOL_ERROR),
    "6.2 padding beyond the frame": ((f.HEADERS, WHOLE | f.PADDED, 1, b"\x09" + BLOCK), Error.PROTOCOL_ERROR),
    "6.3 a priority of stream 0": ((f.PRIORITY, 0, 0, bytes(5)), Error.PROTOCOL_ERROR),
    "6.4 a reset of an idle stream": ((f.RST_STREAM, 0, 1, bytes(4)), Error.PROTOCOL_ERROR),
    "6.4 a reset of another size": ((f.RST_STREAM, 0, 1, bytes(3)), Error.FRAME_SIZE_ERROR),
    "6.5 settings of a stream": ((f.SETTINGS, 0, 1, b""), Error.PROTOCOL_ERROR),
    "6.5 settings cut off": ((f.SETTINGS, 0, 0, bytes(5)), Error.FRAME_SIZE_ERROR),
    "6.5 an acknowledgement with content": ((f.SETTINGS, f.ACK, 0, bytes(6)), Error.FRAME_SIZE_ERROR),
    "6.5.2 push is neither on nor off": ((f.SETTINGS, 0, 0, f.SETTING.pack(2, 2)), Error.PROTOCOL_ERROR),
    "6.5.2 a window beyond all": ((f.SETTINGS, 0, 0, f.SETTING.pack(4, 1 << 31)), Error.FLOW_CONTROL_ERROR),
    "6.5.2 frames smaller than the least": ((f.SETTINGS, 0, 0, f.SETTING.pack(5, 16_383)), Error.PROTOCOL_ERROR),
    "6.6 a push": ((f.PUSH_PROMISE, WHOLE, 1, bytes(4) + BLOCK), Error.PROTOCOL_ERROR),
    "6.7 a ping of a stream": ((f.PING, 0, 1, bytes(8)), Error.PROTOCOL_ERROR),
    "6.7 a ping of another size": ((f.PING, 0, 0, bytes(7)), Error.FRAME_SIZE_ERROR),
    "6.8 a goaway of a stream": ((f.GOAWAY, 0, 1, bytes(8)), Error.PROTOCOL_ERROR),
    "6.9 a window of nothing": ((f.WINDOW_UPDATE, 0, 0, bytes(4)), Error.PROTOCOL_ERROR),
    "6.9 a window of another size": ((f.WINDOW_UPDATE, 0, 0, bytes(3)), Error.FRAME_SIZE_ERROR),
    "6.9.1 a window beyond all": ((f.WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), Error.FLOW_CONTROL_ERROR),
    "6.10 a continuation of nothing": ((f.CONTINUATION, WHOLE, 1, BLOCK), Error.PROTOCOL_ERROR),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_ends_the_connection_with_its_code(peer: Peer, breach: str) -> None:
    frame, code = BREACHES[breach]
    if frame is None:
        server: Connection[Fields] = Connection(peer.notes, well_formed, 0.0)
        server.receive(b"GET / HTTP/1.1\r\n\r\n", 0.0)
        peer.server = server
        out = b"".join(server.out)
        assert server.is_over
        assert peer.ends_with(out) == code
        return
    assert peer.ends_with(peer.frame(*frame)) == code


@pytest.mark.parametrize("between", [f.DATA, f.PING, f.HEADERS, f.SETTINGS])
def test_nothing_may_interrupt_a_header_block(peer: Peer, between: int) -> None:
    """6.10."""
    peer.frame(f.HEADERS, 0, 1, BLOCK[:3])
    assert peer.ends_with(peer.frame(between, 0, 1 if between in (f.DATA, f.HEADERS) else 0, b"")) in (
        Error.PROTOCOL_ERROR,
        Error.FRAME_SIZE_ERROR,
    )


def test_a_block_in_pieces_is_one(peer: Peer) -> None:
    peer.frame(f.HEADERS, ENDS, 1, BLOCK[:2])
    peer.frame(f.CONTINUATION, 0, 1, BLOCK[2:4])
    peer.frame(f.CONTINUATION, WHOLE, 1, BLOCK[4:])
    assert peer.notes.streams[1].ended == 1


def test_the_first_frame_must_be_settings() -> None:
    """3.4."""
    peer = Peer()
    peer.server = Connection(peer.notes, well_formed, 0.0)
    peer.server.receive(f.PREFACE, 0.0)
    peer.server.out.clear()
    assert peer.ends_with(peer.frame(f.HEADERS, WHOLE, 1, BLOCK)) == Error.PROTOCOL_ERROR


def test_data_after_the_end_resets_that_stream_alone(peer: Peer) -> None:
    """5.1, half-closed (remote)."""
    peer.frame(f.HEADERS, WHOLE | ENDS, 1, BLOCK)
    assert f.reset(1, Error.STREAM_CLOSED) in peer.frame(f.DATA, 0, 1, b"x")
    assert peer.notes.streams[1].aborted == 1
    peer.frame(f.HEADERS, WHOLE | ENDS, 3, BLOCK)
    assert peer.notes.streams[3].ended == 1


def test_data_beyond_a_streams_room_reset_that_stream_alone(peer: Peer) -> None:
    """6.9.1."""
    peer.frame(f.HEADERS, WHOLE, 1, BLOCK)
    peer.server.hold(peer.notes.streams[1].stream)
    piece = bytes(FRAME_BYTES)
    for _ in range(STREAM_WINDOW_BYTES // FRAME_BYTES):
        assert f.reset(1, Error.FLOW_CONTROL_ERROR) not in peer.frame(f.DATA, 0, 1, piece)
    assert f.reset(1, Error.FLOW_CONTROL_ERROR) in peer.frame(f.DATA, 0, 1, b"x")
    assert not peer.server.is_over


def test_room_is_given_again_as_data_are_used(peer: Peer) -> None:
    peer.frame(f.HEADERS, WHOLE, 1, BLOCK)
    for _ in range(3 * CONNECTION_WINDOW_BYTES // FRAME_BYTES):
        peer.frame(f.DATA, 0, 1, bytes(FRAME_BYTES))
    assert not peer.server.is_over
    assert len(peer.notes.streams[1].data) == 3 * CONNECTION_WINDOW_BYTES


def test_unknown_frames_and_settings_are_ignored(peer: Peer) -> None:
    """5.5, 6.5.2."""
    assert peer.frame(0xBE, 0xFF, 77, b"whatever") == b""
    assert peer.frame(f.SETTINGS, 0, 0, f.SETTING.pack(0xBEEF, 7)) == f.SETTINGS_ACK


def test_more_room_by_settings_is_used_only_after_they_are_acknowledged(peer: Peer) -> None:
    """6.5.3: the peer counts by its old settings until it reads the acknowledgement."""
    peer.frame(f.SETTINGS, 0, 0, f.SETTING.pack(f.INITIAL_WINDOW_SIZE, 10))
    peer.frame(f.HEADERS, WHOLE | ENDS, 1, BLOCK)
    peer.server.sending.respond(peer.notes.streams[1].stream, HEAD, b"d" * 50, TRAILERS)
    peer.server.out.clear()
    out = peer.frame(f.SETTINGS, 0, 0, f.SETTING.pack(f.INITIAL_WINDOW_SIZE, 100))
    assert out.startswith(f.SETTINGS_ACK)
    assert b"d" * 40 in out


def test_trailers_of_a_request_end_it(peer: Peer) -> None:
    peer.frame(f.HEADERS, WHOLE, 1, BLOCK)
    peer.frame(f.HEADERS, WHOLE | ENDS, 1, b"\0\1a\1b")
    assert peer.notes.streams[1].ended == 1


FLOODS = {
    "pings (CVE-2019-9512)": (f.PING, 0, 0, bytes(8)),
    "settings (CVE-2019-9515)": (f.SETTINGS, 0, 0, b""),
    "acknowledgements": (f.SETTINGS, f.ACK, 0, b""),
    "empty data (CVE-2019-9518)": (f.DATA, 0, 1, b""),
    "priorities (CVE-2019-9513)": (f.PRIORITY, 0, 1, bytes(5)),
    "windows": (f.WINDOW_UPDATE, 0, 1, b"\0\0\0\1"),
    "unknown frames": (0xBE, 0, 0, b""),
    "only padding": (f.DATA, f.PADDED, 1, b"\x08" + bytes(8)),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_of_frames_that_bring_no_work_ends_the_connection(peer: Peer, flood: str) -> None:
    peer.frame(f.HEADERS, WHOLE, 1, BLOCK)
    sent = answered = 0
    out = b""
    while not peer.server.is_over:
        out = peer.frame(*FLOODS[flood])
        answered += len(out)
        sent += 1
        assert sent < 20_000
    assert peer.ends_with(out) == Error.ENHANCE_YOUR_CALM
    assert answered < 500_000
    assert peer.notes.streams[1].aborted == 1


def test_streams_begun_and_reset_at_once_end_the_connection(peer: Peer) -> None:
    """CVE-2023-44487."""
    out = b""
    for number in range(1, 20_001, 2):
        peer.frame(f.HEADERS, WHOLE | ENDS, number, BLOCK)
        out = peer.frame(f.RST_STREAM, 0, number, f.WORD.pack(Error.CANCEL))
        if peer.server.is_over:
            break
    assert peer.ends_with(out) == Error.ENHANCE_YOUR_CALM
    assert not peer.server.streams


def test_a_client_that_cancels_often_in_the_course_of_its_work_is_served(peer: Peer) -> None:
    for number in range(1, 20_001, 2):
        peer.now_s += 0.005
        peer.frame(f.HEADERS, WHOLE | ENDS, number, BLOCK)
        peer.frame(f.RST_STREAM, 0, number, f.WORD.pack(Error.CANCEL))
    assert not peer.server.is_over


def test_window_updates_in_answer_to_what_was_sent_are_no_flood(peer: Peer) -> None:
    for number in range(1, 10_001, 2):
        peer.frame(f.HEADERS, WHOLE | ENDS, number, BLOCK)
        peer.server.sending.respond(peer.notes.streams[number].stream, HEAD, b"data", TRAILERS)
        peer.frame(f.WINDOW_UPDATE, 0, 0, f.WORD.pack(4))
        peer.frame(f.WINDOW_UPDATE, 0, number, f.WORD.pack(4))
    assert not peer.server.is_over


def test_a_header_block_without_end_is_cut_off(peer: Peer) -> None:
    """CVE-2024-27316."""
    out = peer.frame(f.HEADERS, 0, 1, BLOCK)
    for _ in range(200):
        out = peer.frame(f.CONTINUATION, 0, 1, b"\0\1a\x7f\xa1\x07" + b"b" * 1000)
        if peer.server.is_over:
            break
    assert peer.ends_with(out) == Error.ENHANCE_YOUR_CALM


def test_a_header_bomb_is_refused(peer: Peer) -> None:
    """A field of 4 KB in the dynamic table, named again by one byte each time."""
    big = b"\x40\x01a\x7f\xa1\x1e" + b"b" * 4000
    out = peer.frame(f.HEADERS, WHOLE | ENDS, 1, BLOCK + big + b"\xbe" * 100)
    assert peer.ends_with(out) == Error.ENHANCE_YOUR_CALM


# ---- the end of connections, and floods that look like work ------------------------------------------------------------


def test_a_drained_connection_ends_with_its_last_stream(peer: Peer) -> None:
    """6.8."""
    peer.frame(f.HEADERS, WHOLE | ENDS, 1, BLOCK)
    peer.server.drain()
    peer.frame(f.PING, f.ACK, 0, b"tisdrain")
    assert not peer.server.is_over
    peer.frame(f.HEADERS, WHOLE | ENDS, 3, BLOCK)
    assert 3 not in peer.notes.streams
    peer.server.sending.respond(peer.notes.streams[1].stream, HEAD, b"x", TRAILERS)
    assert peer.server.is_over


def test_a_client_that_does_not_answer_a_drain_is_refused_streams_all_the_same(peer: Peer) -> None:
    peer.server.drain()
    peer.frame(f.HEADERS, WHOLE, 1, BLOCK)
    peer.server.refuse_streams()
    peer.frame(f.HEADERS, WHOLE, 3, BLOCK)
    assert list(peer.notes.streams) == [1]
    peer.frame(f.RST_STREAM, 0, 1, bytes(4))
    assert peer.server.is_over


def test_room_that_is_dribbled_out_pays_for_nothing(peer: Peer) -> None:
    """CVE-2019-9511."""
    peer.frame(f.SETTINGS, 0, 0, f.SETTING.pack(f.INITIAL_WINDOW_SIZE, 0))
    peer.frame(f.HEADERS, WHOLE | ENDS, 1, BLOCK)
    peer.server.sending.respond(peer.notes.streams[1].stream, HEAD, bytes(100_000), TRAILERS)
    out = b""
    for _ in range(5000):
        out = peer.frame(f.WINDOW_UPDATE, 0, 1, f.WORD.pack(1))
        if peer.server.is_over:
            break
    assert peer.ends_with(out) == Error.ENHANCE_YOUR_CALM


def test_data_on_their_way_to_refused_streams_are_no_flood(peer: Peer) -> None:
    """A hundred calls with large messages, refused at their heads, whose clients learn of that a window later."""
    for stream in range(1, 201, 2):
        peer.frame(f.HEADERS, WHOLE, stream, BLOCK)
        peer.server.sending.end(peer.notes.streams[stream].stream, TRAILERS)
        for _ in range(64):
            peer.frame(f.DATA, 0, stream, bytes(16_384))
        peer.frame(f.RST_STREAM, 0, stream, bytes(4))
    assert not peer.server.is_over


def test_calls_whose_clients_lose_patience_are_no_flood(peer: Peer) -> None:
    for stream in range(1, 6001, 2):
        peer.now_s = stream * 0.001
        peer.frame(f.HEADERS, WHOLE | ENDS, stream, BLOCK)
        if stream > 200:
            peer.frame(f.RST_STREAM, 0, stream - 200, bytes(4))
    assert not peer.server.is_over


def test_nothing_holds_a_call_whose_stream_has_ended(peer: Peer) -> None:
    peer.frame(f.HEADERS, WHOLE | ENDS, 1, BLOCK)
    stream = peer.notes.streams[1].stream
    stream.call = object()
    peer.server.sending.respond(stream, HEAD, b"x", TRAILERS)
    assert stream.call is None


def test_what_waits_is_counted_until_it_is_sent_or_forgotten(peer: Peer) -> None:
    peer.frame(f.SETTINGS, 0, 0, f.SETTING.pack(f.INITIAL_WINDOW_SIZE, 10))
    for stream in (1, 3):
        peer.frame(f.HEADERS, WHOLE | ENDS, stream, BLOCK)
        peer.server.sending.respond(peer.notes.streams[stream].stream, HEAD, bytes(100), TRAILERS)
    assert peer.server.sending.queued_bytes == 180
    peer.frame(f.RST_STREAM, 0, 1, bytes(4))
    assert peer.server.sending.queued_bytes == 90
    peer.frame(f.WINDOW_UPDATE, 0, 3, f.WORD.pack(90))
    assert peer.server.sending.queued_bytes == 0
