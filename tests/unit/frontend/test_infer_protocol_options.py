"""Infer calls with more than a body: compressed ones, headers that are passed on, bodies of a size that is refused."""

import asyncio
import gzip
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.unit.frontend.connection import DATA, Connection, FakeCore, binary, document, post

LENGTH = "Inference-Header-Content-Length"
MakeConnection = Callable[..., Connection]


@pytest.fixture
def core() -> FakeCore:
    return FakeCore()


@pytest.fixture
def connect(core: FakeCore) -> Iterator[MakeConnection]:
    loop = asyncio.new_event_loop()
    yield lambda **options: Connection(core, loop, **options)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def packed(*, padding: int = 0, chunked: int = 0) -> bytes:
    """A compressed request; what cannot be compressed makes it long enough to be unpacked in a thread."""
    noise = np.random.default_rng(1).integers(0, 256, padding, np.uint8).tobytes().hex()
    head = document("x", padding=noise)
    return post(gzip.compress(head + DATA), "Content-Encoding: gzip", f"{LENGTH}: {len(head)}", chunked=chunked)


def until(connection: Connection, condition: Callable[[], Any]) -> None:
    async def look() -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - what is waited for is no event
                await asyncio.sleep(0)

    connection.loop.run_until_complete(look())


@pytest.mark.parametrize("padding", [0, 100_000])
@pytest.mark.parametrize("piece_bytes", [0, 1000])
def test_a_compressed_body_is_unpacked(connect: MakeConnection, core: FakeCore, padding: int, piece_bytes: int) -> None:
    connection = connect()
    connection.send(packed(padding=padding), piece_bytes)
    until(connection, lambda: core.submitted)
    assert core.tensor(0) == DATA
    core.answer(0)
    assert connection.response()[0] == 200
    assert core.blocks == {}


def test_requests_behind_a_body_that_is_being_unpacked_wait_their_turn(connect: MakeConnection, core: FakeCore) -> None:
    connection = connect()
    connection.send(packed(padding=100_000) + binary("second"))
    assert core.submitted == []
    until(connection, lambda: core.submitted)
    core.answer(0)
    core.answer(1)
    assert [status for status, _, _ in connection.responses()] == [200, 200]


def test_a_client_that_goes_while_its_body_is_unpacked_leaves_nothing(connect: MakeConnection, core: FakeCore) -> None:
    connection = connect()
    connection.send(packed(padding=100_000))
    connection.lose()
    connection.loop.run_until_complete(connection.loop.shutdown_default_executor())
    connection.turn()
    assert core.submitted == []
    assert core.blocks == {}


def test_a_client_that_goes_while_its_answer_is_packed_leaves_nothing(connect: MakeConnection, core: FakeCore) -> None:
    connection = connect()
    connection.send(binary("x", DATA, "Accept-Encoding: gzip"))
    answer = core.answer(0, bytes(1 << 20))
    connection.lose()
    until(connection, lambda: core.released)
    assert core.released == [answer]


def test_headers_whose_names_match_are_parameters_of_their_request_only(
    connect: MakeConnection, core: FakeCore
) -> None:
    connection = connect(forward_pattern="^x-my|FWD")
    connection.send(binary("a", DATA, "X-My-A: one", "is-fwd: two", "x-other: no") + binary("b"))
    core.answer(0)
    core.answer(1)
    assert [each.plan.parameters for each in core.submitted] == [{"X-My-A": "one", "is-fwd": "two"}, {}]


def test_a_header_of_a_reserved_name_is_refused(connect: MakeConnection, core: FakeCore) -> None:
    connection = connect(forward_pattern=".*")
    connection.send(binary("a", DATA, "triton_x: 1"))
    status, _, body = connection.response()
    assert (status, core.submitted, core.blocks) == (400, [], {})
    assert b"Header 'triton_x' is reserved for Triton usage and cannot be forwarded." in body


@pytest.mark.parametrize(
    ("request_bytes", "text"),
    [
        (post(bytes(2000)), b"request JSON size of 2000 bytes exceeds the maximum allowed input size of 1000 bytes."),
        (post(bytes(2000), chunked=900), b"exceeds the maximum allowed input size of 1000 bytes."),
        (post(bytes(2000), f"{LENGTH}: 1500"), b"request JSON size of 1500 bytes exceeds"),
        (post(bytes(2000), f"{LENGTH}: 0"), b"Raw input has a byte_size (2000 bytes) that exceeds"),
        (post(bytes(2000), f"{LENGTH}: 0", chunked=100), b"Raw input has a byte_size (2000 bytes) that exceeds"),
        (
            post(bytes(5000), "Content-Encoding: gzip"),
            b"Decompressed data size exceeds the maximum allowed value of 1000",
        ),
        (post(gzip.compress(bytes(5000), mtime=0), "Content-Encoding: gzip"), b"Decompressed data size exceeds"),
        (post(bytes(10), f"{LENGTH}: {'9' * 5000}"), b"Unable to parse Inference-Header-Content-Length, got: 9"),
    ],
    ids=str,
)
def test_what_is_too_large_is_refused_and_the_connection_goes_on(
    connect: MakeConnection, core: FakeCore, request_bytes: bytes, text: bytes
) -> None:
    connection = connect(most_bytes=1000)
    connection.send(request_bytes, 700)
    status, _, body = connection.response()
    assert status == 400
    assert text in body
    connection.send(binary())
    core.answer(0)
    assert connection.response()[0] == 200
    assert core.blocks == {}


def test_a_collected_body_that_no_pool_could_hold_is_not_kept(connect: MakeConnection, core: FakeCore) -> None:
    core.capacity_bytes = 5000
    connection = connect(most_bytes=1000)
    connection.send(post(bytes(20_000), f"{LENGTH}: 10", chunked=1000), 1000)
    status, _, body = connection.response()
    assert status == 400
    assert b"the request's body is larger than" in body
