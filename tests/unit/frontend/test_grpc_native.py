"""Heads, messages and statuses of gRPC calls, by the gRPC-over-HTTP/2 document."""

import gzip

import pytest

from tis_frontend.grpc.native.head import read_head
from tis_frontend.grpc.native.messages import MessageReader, prefixed
from tis_frontend.grpc.native.status import CallError, Status, percent_encoded
from tis_frontend.http2.headers import Fields

PSEUDO: Fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/x")]


@pytest.mark.parametrize(
    ("kind", "is_grpc"),
    [
        (b"application/grpc", True),
        (b"application/grpc+proto", True),
        (b"application/grpc; charset=utf-8", True),
        (b"application/grpc-web", False),
        (b"application/json", False),
    ],
)
def test_requests_of_grpc_are_told_by_their_type(kind: bytes, is_grpc: bool) -> None:
    head = read_head([*PSEUDO, (b"content-type", kind)])
    assert head is not None
    assert head.is_grpc is is_grpc


@pytest.mark.parametrize(
    "field",
    [(b"Upper", b"x"), (b"a b", b"x"), (b"", b"x"), (b"a", b"x\r\ny"), (b"a", b"\0"), (b"connection", b"close")],
)
def test_fields_that_http2_forbids_make_a_request_malformed(field: tuple[bytes, bytes]) -> None:
    assert read_head([*PSEUDO, field]) is None


@pytest.mark.parametrize("step", [1, 3, 7, 1000])
def test_messages_are_the_same_however_they_are_cut(step: int) -> None:
    sent = [b"", b"x" * 100, b"", b"y"]
    data = memoryview(b"".join(prefixed(each) for each in sent))
    reader = MessageReader("identity")
    got = [each for at in range(0, len(data), step) for each in reader.feed(data[at : at + step])]
    assert got == sent
    assert reader.is_between


def test_a_message_of_single_bytes_takes_no_more_room_than_it_is_long() -> None:
    reader = MessageReader("identity")
    data = memoryview(prefixed(bytes(1000)))
    for at in range(len(data) - 1):
        assert reader.feed(data[at : at + 1]) == []
    assert reader.held_bytes == 999


def test_a_bomb_is_refused_where_it_has_grown_to_what_is_of_use() -> None:
    reader = MessageReader("gzip", most_unpacked_bytes=1 << 20)
    with pytest.raises(CallError) as caught:
        reader.feed(memoryview(prefixed(gzip.compress(bytes(100 << 20)), is_compressed=True)))
    assert caught.value.status == Status.RESOURCE_EXHAUSTED


def test_a_long_text_is_cut_between_characters() -> None:
    assert percent_encoded("short %") == b"short %25"
    cut = percent_encoded("ä" * 100_000)
    assert len(cut) <= 7003
    assert cut.endswith(b"%C3%A4...")
    assert len(percent_encoded("x" * 100_000)) == 7003
