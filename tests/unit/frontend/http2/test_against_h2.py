"""Our HTTP/2 and that of the `h2` library understand each other, whatever legal thing either does; illegal ones end well."""

import random

import h2.settings
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.frontend.http2.peers import HEAD, REQUEST, TRAILERS, Client, Notes, well_formed
from tis_frontend.http2 import frames as f
from tis_frontend.http2.connection import Connection
from tis_frontend.http2.frames import Error
from tis_frontend.http2.limits import MOST_STREAMS, STREAM_WINDOW_BYTES

#: A request that needs nothing of the dynamic table.
BLOCK = b"\x83\x86\x04\x02/x"
SIZES = st.one_of(st.integers(0, 100), st.sampled_from([16_383, 16_384, 16_385, 65_535, 65_536, 200_000, 1_500_000]))


@given(
    sizes=st.lists(st.tuples(SIZES, SIZES), min_size=1, max_size=5),
    step_bytes=st.sampled_from([0, 1000, 77_777]),
    room_bytes=st.sampled_from([0, 20_000, 100_000, 2_000_000]),
    pieces=st.integers(0, 4),
)
def test_requests_and_responses_of_any_size_arrive_whole(
    sizes: list[tuple[int, int]], step_bytes: int, room_bytes: int, pieces: int
) -> None:
    client = Client()
    client.notes.room_bytes = room_bytes
    for number, (there, back) in enumerate(sizes):
        request, response = random.Random(number).randbytes(there), random.Random(-number).randbytes(back)
        stream_id = client.request(request)
        client.exchange(step_bytes)
        noted = client.notes.streams[stream_id]
        assert bytes(noted.data) == request
        assert noted.ended == 1
        client.respond(stream_id, response, pieces)
        got = client.responses[stream_id]
        assert (got.status, bytes(got.data), got.ended) == (b"200", response, True)
        assert got.trailers == [(b"grpc-status", b"0")]
    assert not client.server.streams
    assert client.goaway is None


def test_pieces_without_bytes_hold_up_nothing() -> None:
    client = Client()
    stream_id = client.request(b"x")
    sending, stream = client.server.sending, client.notes.streams[stream_id].stream
    sending.respond_in_pieces(stream, HEAD, [b"", b"a" * 20_000, b"", b"b", b""], TRAILERS)
    client.exchange()
    assert (bytes(client.responses[stream_id].data), client.responses[stream_id].ended) == (b"a" * 20_000 + b"b", True)
    assert not client.server.streams


def test_a_run_of_frames_ends_where_the_stream_has_no_room() -> None:
    client = Client()
    client.notes.room_bytes = 1 << 30
    stream_id = client.request(ends=False)
    stream = client.notes.streams[stream_id].stream
    client.server.hold(stream)
    frame = f.head(60_000, f.DATA, 0, stream_id) + bytes(60_000)
    client.server.receive(frame * (STREAM_WINDOW_BYTES // 60_000 + 1), 0.0)
    assert len(client.notes.streams[stream_id].data) == STREAM_WINDOW_BYTES // 60_000 * 60_000
    assert client.notes.streams[stream_id].aborted == 1
    assert not client.server.is_over


@pytest.mark.parametrize("step_bytes", [1, 2, 7, 9, 10])
def test_bytes_may_come_in_any_pieces(step_bytes: int) -> None:
    client = Client()
    stream_id = client.h2.get_next_available_stream_id()
    client.h2.send_headers(stream_id, [*REQUEST, ("a", "b" * 300)])
    client.h2.send_data(stream_id, b"x" * 500, pad_length=9)
    client.h2.send_data(stream_id, b"y" * 20, end_stream=True)
    client.exchange(step_bytes)
    noted = client.notes.streams[stream_id]
    assert bytes(noted.data) == b"x" * 500 + b"y" * 20
    assert noted.ended == 1


@given(window=st.integers(0, 70_000), size=st.integers(1, 200_000), grants=st.lists(st.integers(1, 50_000), max_size=9))
def test_no_more_is_sent_than_there_is_room_for(window: int, size: int, grants: list[int]) -> None:
    client = Client({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
    client.acknowledges = False
    stream_id = client.request()
    client.respond(stream_id, b"z" * size)  # The library would raise if we sent too much.
    for grant in grants:
        if client.responses[stream_id].ended:
            break
        client.h2.increment_flow_control_window(grant, stream_id)
        client.h2.increment_flow_control_window(grant)
        client.exchange()
    got = client.responses[stream_id]
    room = min(window + sum(grants), f.DEFAULT_WINDOW_BYTES + sum(grants))
    assert len(got.data) == min(size, room)
    assert got.ended == (size <= room)


def test_streams_that_wait_for_room_take_turns() -> None:
    client = Client()
    client.acknowledges = False
    streams = [client.request() for _ in range(4)]
    for stream_id in streams:
        client.server.sending.respond(client.notes.streams[stream_id].stream, HEAD, b"w" * 60_000, TRAILERS)
    client.exchange()
    client.h2.increment_flow_control_window(4 * 16_384)
    client.exchange()
    got = sorted(len(client.responses[stream_id].data) for stream_id in streams)
    assert got[0] > 0, got


def test_a_window_that_shrinks_below_nothing_is_made_up_for_first() -> None:
    client = Client()
    client.acknowledges = False
    stream_id = client.request()
    client.respond(stream_id, b"q" * 100_000)
    client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1000})
    client.exchange()
    client.h2.increment_flow_control_window(200_000)
    client.h2.increment_flow_control_window(64_000, stream_id)
    client.exchange()
    before = len(client.responses[stream_id].data)
    client.h2.increment_flow_control_window(40_000, stream_id)
    client.exchange()
    assert before < 100_000
    assert len(client.responses[stream_id].data) == 100_000


def test_a_request_that_the_client_resets_is_aborted_once_and_its_late_response_goes_nowhere() -> None:
    client = Client()
    stream_id = client.request(b"abc", ends=False)
    noted = client.notes.streams[stream_id]
    client.h2.reset_stream(stream_id, Error.CANCEL)
    client.exchange()
    assert (noted.aborted, noted.ended) == (1, 0)
    assert stream_id not in client.server.streams
    assert client.request(b"next") in client.notes.streams


def test_a_response_before_the_request_has_ended_asks_for_no_more_of_it() -> None:
    client = Client()
    stream_id = client.request(b"abc", ends=False)
    client.respond(stream_id, b"enough")
    assert bytes(client.responses[stream_id].data) == b"enough"
    assert client.responses[stream_id].reset == Error.NO_ERROR


def test_more_streams_than_allowed_are_refused_and_the_connection_goes_on() -> None:
    client = Client()
    client.h2.remote_settings[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = 10 * MOST_STREAMS
    client.h2.remote_settings.acknowledge()
    streams = [client.request(ends=False) for _ in range(MOST_STREAMS + 3)]
    assert [client.responses[stream_id].reset for stream_id in streams[-3:]] == [Error.REFUSED_STREAM] * 3
    client.respond(streams[0], b"one")
    assert client.request() in client.notes.streams


def test_a_drain_lets_what_has_begun_end_and_takes_nothing_that_comes_after_the_client_has_heard_of_it() -> None:
    client = Client()
    notes, server = client.notes, client.server
    old = client.request()
    server.drain()
    first = b"".join(server.out)
    assert first.startswith(f.goaway(f.MOST_WINDOW_BYTES, Error.NO_ERROR))
    server.out.clear()
    # The library takes no frames after a GOAWAY, so the rest goes by hand. This one was on its way before.
    crossing = old + 2
    server.receive(f.head(len(BLOCK), f.HEADERS, 0x5, crossing) + BLOCK, 0.0)
    assert crossing in notes.streams
    server.receive(f.ping(first[-8:], ack=True), 0.0)
    assert f.goaway(crossing, Error.NO_ERROR) in server.out
    server.receive(f.head(len(BLOCK), f.HEADERS, 0x5, crossing + 2) + BLOCK, 0.0)
    assert crossing + 2 not in notes.streams
    for stream_id in (old, crossing):
        server.sending.respond(notes.streams[stream_id].stream, HEAD, b"still", TRAILERS)
    assert b"".join(server.out).count(b"still") == 2
    assert not server.streams


def test_pings_are_answered() -> None:
    client = Client()
    client.h2.ping(b"12345678")
    client.exchange()
    client.server.ping()
    client.exchange()
    assert (client.notes.pings, client.notes.pongs) == (1, 1)


@given(data=st.binary(max_size=3000), step_bytes=st.integers(1, 500))
def test_any_bytes_after_the_preface_end_well(data: bytes, step_bytes: int) -> None:
    notes = Notes()
    server = Connection(notes, well_formed, 0.0)
    whole = f.PREFACE + f.settings({}) + data
    for at in range(0, len(whole), step_bytes):
        server.receive(whole[at : at + step_bytes], 0.0)
    assert sum(map(len, server.out)) < 100_000
    if server.is_over:
        assert all(noted.aborted or noted.ended for noted in notes.streams.values())
        assert not server.streams


FRAMES = st.builds(
    lambda kind, flags, stream, payload: f.head(len(payload), kind, flags, stream) + payload,
    st.one_of(st.integers(0, 10), st.just(f.HEADERS), st.just(f.DATA)),
    st.sampled_from([0, 1, 4, 5, 8, 9, 0x20, 0x25, 0xFF]),
    st.sampled_from([0, 1, 2, 3, 5, 7, 1_000_001]),
    st.one_of(
        st.binary(max_size=40),
        st.just(BLOCK),
        st.just(b"\0\0\0\1"),
        st.just(b"\0\4\x7f\xff\xff\xff"),
        st.just(b"\x7f\xff\xff\xff"),
    ),
)


@given(frames=st.lists(FRAMES, max_size=30), settles=st.booleans())
def test_any_frames_in_any_order_end_well(frames: list[bytes], settles: bool) -> None:
    notes = Notes()
    server = Connection(notes, well_formed, 0.0)
    server.receive(f.PREFACE + (f.settings({}) if settles else b""), 0.0)
    for frame in frames:
        server.receive(frame, 0.0)
        for noted in list(notes.streams.values()):
            if noted.ended and noted.stream.id in server.streams:
                server.sending.respond(noted.stream, HEAD, b"answer", TRAILERS)
    assert set(server.streams) <= set(notes.streams)
    server.lost()
    assert all(noted.aborted <= 1 for noted in notes.streams.values())
