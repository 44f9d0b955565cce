"""A connection whose client means no good, or little: heads without end, answers that nobody reads, broken requests."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.unit.frontend.connection import GET, Connection, FakeCore, binary, plain
from tis_frontend.doors import Doors
from tis_frontend.http.held import give_up_largest

_PIECE = b"a" * 65_536
#: Far more than a head may have.
_PIECES = 64
CHUNKED = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def core() -> FakeCore:
    return FakeCore()


@pytest.fixture
def connection(core: FakeCore) -> Iterator[Connection]:
    loop = asyncio.new_event_loop()
    made = Connection(core, loop)
    yield made
    # What the application has begun ends.
    made.lose()
    made.turn()
    loop.close()


def taken(connection: Connection, begin: bytes, piece: bytes = _PIECE) -> int:
    """How many pieces are taken behind a beginning before the connection is closed."""
    connection.send(begin)
    for count in range(_PIECES):
        if connection.transport.closed:
            return count
        connection.send(piece)
    return _PIECES


def is_paused(connection: Connection) -> bool:
    return connection.transport.reading_paused


# ---- what has no end ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"GET /", _PIECE),
        (b"GET /v2 HTTP/1.1\r\nX: ", _PIECE),
        (b"GET /v2 HTTP/1.1\r\n" + b"a" * 100, _PIECE),
        (b"POST /v2/models/m/infer HTTP/1.1\r\n", b"X: y\r\n" * 10_000),
        (CHUNKED + b"1;", _PIECE),
        (CHUNKED + b"1;a=", _PIECE),
        (CHUNKED + b"1\r\n{\r\n0\r\n", b"X: y\r\n" * 10_000),
        (CHUNKED + b"1\r\n{\r\n0\r\nX: ", _PIECE),
        (
            b"POST /v2/models/m/generate HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n",
            b"X: y\r\n" * 10_000,
        ),
    ],
)
def test_what_is_neither_a_body_nor_ends_a_head_is_cut_off(
    connection: Connection, core: FakeCore, begin: bytes, piece: bytes
) -> None:
    assert taken(connection, begin, piece) < 12
    assert connection.responses()[-1][0] == 431
    connection.lose()
    assert core.blocks == {}


def test_a_body_may_be_longer_than_a_head(connection: Connection, core: FakeCore) -> None:
    body = binary("x", bytes(4 << 20))
    core.room_bytes = 8 << 20
    connection.send(body, 65_536)
    assert connection.response()[0] == 400  # It is no tensor of this model, and was read to its end.
    assert not connection.transport.closed


def test_any_number_of_requests_may_follow_each_other(connection: Connection) -> None:
    """Together they are far longer than a head may be."""
    request = GET.replace(b"Host: x", b"Host: x\r\nX: " + bytes(8000).replace(b"\0", b"a"))
    for _ in range(100):
        connection.send(request * 4)
        while connection.protocol.pipeline or not connection.protocol.cycle.response_complete:
            connection.turn()
    assert len(connection.responses()) == 400
    assert not connection.transport.closed


@pytest.mark.parametrize("request_bytes", [GET, b"GET / HTTP/1.1\r\n\r\n", plain("x")], ids=["route", "short", "infer"])
def test_of_many_requests_that_come_at_once_only_a_few_are_held_and_all_are_answered(
    connection: Connection, core: FakeCore, request_bytes: bytes
) -> None:
    """A parsed request takes far more memory than its bytes."""
    connection.send(request_bytes * 2000)
    answered = 0
    while answered < 2000:
        assert len(connection.protocol.pipeline) < 150
        while answered < len(core.submitted):
            core.answer(answered)
            answered += 1
            assert len(core.blocks) < 150
        connection.turn()
        if not core.submitted:
            answered = connection.transport.written.count(b"plain")
    assert [status for status, _, _ in connection.responses()] == [200] * 2000
    assert not connection.transport.closed
    assert not connection.transport.reading_paused


# ---- clients that do not read ------------------------------------------------------------------------------------------


def test_the_next_request_waits_until_the_client_has_taken_the_answer_before(
    connection: Connection, core: FakeCore
) -> None:
    connection.send(binary("a"))
    connection.transport.unsent_bytes = 10
    connection.protocol.pause_writing()
    core.answer(0)
    assert is_paused(connection)
    # Those had been read already.
    connection.send(binary("b") + GET + binary("c"))
    connection.turn()
    assert [each.client_id for each in core.submitted] == ["a"]
    assert len(connection.responses()) == 1
    connection.transport.unsent_bytes = 0
    connection.protocol.resume_writing()
    assert not is_paused(connection)
    assert [each.client_id for each in core.submitted] == ["a", "b"]
    core.answer(1)
    connection.turn()
    assert [each.client_id for each in core.submitted] == ["a", "b", "c"]
    core.answer(2)
    assert [status for status, _, _ in connection.responses()] == [200, 200, 200]


def test_a_client_that_goes_while_requests_wait_for_it_leaves_nothing(connection: Connection, core: FakeCore) -> None:
    connection.send(binary("a"))
    connection.transport.unsent_bytes = 10
    connection.protocol.pause_writing()
    core.answer(0)
    connection.send(binary("b") + GET + binary("c"))
    connection.lose()
    assert core.blocks == {}
    assert len(core.submitted) == 1


# ---- broken requests ---------------------------------------------------------------------------------------------------


def test_what_is_broken_behind_good_requests_is_told_behind_their_answers(
    connection: Connection, core: FakeCore
) -> None:
    connection.send(binary("a") + binary("b") + b"\0\0nothing\r\n\r\n")
    assert connection.responses() == []
    core.answer(0)
    core.answer(1)
    assert [status for status, _, _ in connection.responses()] == [200, 200, 400]
    assert connection.transport.closed
    # More of it may have been on its way.
    connection.send(binary("c"))
    assert len(core.submitted) == 2


def test_a_request_that_breaks_in_its_body_is_told_behind_the_answers_before(
    connection: Connection, core: FakeCore
) -> None:
    connection.send(binary("a") + CHUNKED + b"5\r\nab")
    connection.send(b"c" + b"de?!")
    core.answer(0)
    assert [status for status, _, _ in connection.responses()] == [200, 400]
    assert connection.transport.closed
    connection.lose()
    assert core.blocks == {}


def test_a_request_that_breaks_in_its_body_leaves_no_block(connection: Connection, core: FakeCore) -> None:
    connection.send(CHUNKED + b"5\r\nabcde?!")
    assert connection.response()[0] == 400
    connection.lose()
    assert core.blocks == {}


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 5, 5",
        "Content-Length: 99999999999999999999999",
        "Transfer-Encoding: x",
        "Transfer-Encoding: chunked, x",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding: chunked\nX: y",
        "X: a\0b",
    ],
)
def test_lengths_that_two_servers_could_read_differently_are_refused(
    connection: Connection, core: FakeCore, headers: str
) -> None:
    """Whoever stands between client and server may see another end of the request (RFC 9112, 6.1 to 6.3 and 11.2)."""
    connection.send(f"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n5\r\nabcde\r\n0\r\n\r\n".encode())
    connection.turn()
    assert connection.response()[0] == 400
    assert connection.transport.closed
    connection.lose()
    assert core.blocks == {}
    assert core.submitted == []


# ---- targets and offers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", ["http://x", "HTTP://x:8000", "http://"])
def test_a_target_may_name_the_server(connection: Connection, core: FakeCore, server: str) -> None:
    connection.send(plain("x").replace(b"POST /", f"POST {server}/".encode()))
    assert [each.client_id for each in core.submitted] == ["x"]


@pytest.mark.parametrize("offer", ["h2c", "websocket", "x"])
def test_an_offer_of_another_protocol_is_not_taken_and_harms_nothing(
    connection: Connection, core: FakeCore, offer: str
) -> None:
    """As clients of HTTP/2 make with their first request, such as Java's."""
    upgrade = (
        f"HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {offer}\r\nHTTP2-Settings: AAMAAABk\r\n".encode()
    )
    offering = plain("a").replace(b"HTTP/1.1\r\n", upgrade)
    connection.send(offering + offering.replace(b'"a"', b'"b"') + GET.replace(b"HTTP/1.1\r\n", upgrade) + plain("c"))
    for number in range(2):
        core.answer(number)
    connection.turn()
    core.answer(2)
    assert [each.client_id for each in core.submitted] == ["a", "b", "c"]
    assert [status for status, _, _ in connection.responses()] == [200] * 4


# ---- clients that stop -------------------------------------------------------------------------------------------------


def test_how_far_a_client_is_grows_while_it_sends_and_takes(connection: Connection, core: FakeCore) -> None:
    protocol = connection.protocol
    assert protocol.passed_bytes() is None
    request = binary("x")
    connection.send(request[:10])
    connection.send(request[10:20])
    in_head = protocol.passed_bytes()
    assert in_head is not None
    connection.send(request[20:30])
    assert protocol.passed_bytes() == in_head + 10
    connection.send(request[30:-5])
    in_body = protocol.passed_bytes()
    assert in_body is not None
    connection.send(request[-5:-3])
    assert protocol.passed_bytes() == in_body + 2
    connection.send(request[-3:])
    assert protocol.passed_bytes() is None
    connection.transport.unsent_bytes = 10
    protocol.pause_writing()
    core.answer(0)
    waiting = protocol.passed_bytes()
    assert waiting is not None
    connection.transport.unsent_bytes = 4
    assert protocol.passed_bytes() == waiting + 6
    connection.transport.unsent_bytes = 0
    protocol.resume_writing()
    assert protocol.passed_bytes() is None


# ---- doors -------------------------------------------------------------------------------------------------------------


def test_a_face_leaves_room_to_the_other_and_both_to_the_process() -> None:
    doors = Doors(1000)
    http = sum(doors.enter("HTTP") for _ in range(2000))
    grpc = sum(doors.enter("gRPC") for _ in range(2000))
    assert (http, grpc) == (750, 1000 - 64 - 750)
    doors.leave("HTTP")
    assert doors.enter("gRPC")
    assert not doors.enter("HTTP")


@pytest.mark.parametrize("files", [16, 64, 256, 1024, 1 << 20])
def test_there_are_doors_and_own_files_however_few_files_there_are(files: int) -> None:
    doors = Doors(files)
    assert 0 < doors.most_of_face <= doors.most < files


def test_a_client_beyond_the_doors_is_closed_and_not_counted(monkeypatch: pytest.MonkeyPatch, core: FakeCore) -> None:
    doors = Doors(4)
    monkeypatch.setattr("tis_frontend.http.protocol.DOORS", doors)
    loop = asyncio.new_event_loop()
    first, second, third = (Connection(core, loop) for _ in range(3))
    assert [each.transport.closed for each in (first, second, third)] == [False, False, True]
    third.lose()
    second.lose()
    assert not Connection(core, loop).transport.closed
    assert Connection(core, loop).transport.closed
    loop.close()


def test_refused_clients_are_told_of_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    doors = Doors(4)
    for _ in range(10):
        doors.enter("gRPC")
    doors.look(0.0)
    doors.look(1.0)
    assert [record.getMessage() for record in caplog.records] == [
        "8 gRPC connections were refused: there are 2 already"
    ]


# ---- bodies that are collected -----------------------------------------------------------------------------------------


def test_of_bodies_that_are_collected_the_largest_is_given_up_where_all_take_too_much(core: FakeCore) -> None:
    loop = asyncio.new_event_loop()
    chunk = b"3e8\r\n" + b"a" * 1000 + b"\r\n"
    small, large, idle = (Connection(core, loop) for _ in range(3))
    small.send(CHUNKED + chunk)
    large.send(CHUNKED + chunk * 3)
    # In the pool, where there is room or not.
    in_pool = Connection(core, loop)
    in_pool.send(binary("x", bytes(100_000))[:-5])
    protocols = [each.protocol for each in (idle, small, large, in_pool)]
    assert [each.held_bytes for each in protocols[:3]] == [0, 1000, 3000]
    assert protocols[3].held_bytes < 1000
    assert give_up_largest(protocols, 5000) is None
    assert give_up_largest(protocols, 3000) is large.protocol
    assert [each.transport.closed for each in (idle, small, large, in_pool)] == [False, False, True, False]
    loop.close()


def test_a_body_that_the_application_collects_counts_until_it_is_there(connection: Connection) -> None:
    connection.send(b"POST /v2/models/m/generate HTTP/1.1\r\nContent-Length: 5000\r\n\r\n" + b"a" * 3000)
    assert connection.protocol.held_bytes == 3000
    connection.send(b"a" * 2000)
    assert connection.protocol.held_bytes == 0


def test_a_connection_between_two_requests_holds_nothing_of_the_last_one(
    connection: Connection, core: FakeCore
) -> None:
    connection.send(plain("x"))
    assert connection.protocol.held_bytes > 0
    core.answer(0)
    assert connection.protocol.held_bytes == 0
