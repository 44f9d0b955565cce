"""A connection, fed bytes by hand: one at a time, several requests at once, broken off anywhere."""

import asyncio
import json
import logging
from collections.abc import Iterator

import numpy as np
import pytest

from tests.unit.frontend.connection import DATA, GET, REQUESTS, Connection, FakeCore, binary, plain, post
from tis.errors import TisError, internal, unavailable

LENGTH = "Inference-Header-Content-Length"


@pytest.fixture
def core() -> FakeCore:
    return FakeCore()


@pytest.fixture
def connection(core: FakeCore) -> Iterator[Connection]:
    loop = asyncio.new_event_loop()
    yield Connection(core, loop)
    loop.close()


# ---- one request ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece_bytes", [0, 1, 2, 7])
@pytest.mark.parametrize("name", REQUESTS)
def test_however_the_bytes_are_cut_the_tensor_arrives_and_the_answer_leaves(
    connection: Connection, core: FakeCore, name: str, piece_bytes: int
) -> None:
    connection.send(REQUESTS[name], piece_bytes)
    assert len(core.submitted) == 1
    assert core.tensor(0) == DATA
    assert connection.responses() == []
    answer = core.answer(0)
    status, headers, body = connection.response()
    assert status == 200
    json_bytes = int(headers.get("inference-header-content-length", len(body)))
    reply = json.loads(body[:json_bytes])
    assert reply.get("id", "") == core.submitted[0].client_id == ("" if "raw" in name else "x")
    if name == "plain":
        assert reply["outputs"][0]["data"] == [0.0, 1.0, 2.0, 3.0]
    else:
        assert body[json_bytes:] == DATA
    assert core.blocks == {}
    assert core.released == [answer]
    assert not connection.transport.closed


def test_binary_and_json_inputs_share_one_block(connection: Connection, core: FakeCore) -> None:
    entries = [
        {"name": "B", "datatype": "INT32", "shape": [1], "data": [7]},
        {"name": "A", "datatype": "FP32", "shape": [4], "parameters": {"binary_data_size": 16}},
    ]
    head = json.dumps({"inputs": entries}).encode()
    connection.send(post(head + DATA, f"Inference-Header-Content-Length: {len(head)}", model="two"), 5)
    assert core.tensor(0, index=0) == DATA
    assert core.tensor(0, index=1) == b"\7\0\0\0"
    assert len(core.blocks) == 1


def test_an_empty_body_is_a_raw_request_of_no_bytes(connection: Connection, core: FakeCore) -> None:
    connection.send(post(b""))
    status, _, body = connection.response()
    assert status == 400
    assert b"input byte size mismatch for input 'raw_input'" in body
    assert core.blocks == {}


def test_a_version_can_be_asked_for_in_the_path_and_a_query_is_ignored(connection: Connection, core: FakeCore) -> None:
    for path in ("two/versions/2", "two"):
        connection.send(post(b"{}", model=path).replace(b"/infer ", b"/infer?x=1 "))
        assert connection.response()[0] == 500
    connection.send(post(b"{}", model="two/versions/9"))
    assert b"version 9 is not found" in connection.response()[2]


def test_a_client_that_waits_for_100_continue_gets_it_before_its_body(connection: Connection, core: FakeCore) -> None:
    request = binary("", DATA, "Expect: 100-continue")
    at = request.index(b"\r\n\r\n") + 4
    connection.send(request[:at])
    assert connection.transport.written == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.transport.written.clear()
    connection.send(request[at:])
    core.answer(0)
    assert connection.response()[0] == 200


# ---- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece_bytes", [0, 1])
@pytest.mark.parametrize(
    ("request_bytes", "status", "text"),
    [
        (binary(model="zzz"), 404, "Request for unknown model: 'zzz' is not found"),
        (binary(model="failed"), 404, "Request for unknown model: 'failed' has no available versions"),
        (binary(model="failed/versions/1"), 503, "Request for unknown model: 'failed' version 1 is not at ready state"),
        (binary(data=DATA[:10]), 400, "unexpected size for input 'A', expecting 6 additional bytes for model 'm'"),
        (binary(data=DATA + b"x"), 400, "unexpected additional input data for model 'm'"),
        (post(b"{"), 500, "failed to parse the request JSON buffer: Missing a name for object member. at 1"),
        (post(b"{}" * 3, f"{LENGTH}: 7"), 400, "inference header size should be in range (0, 6), got: 7"),
        (post(b"{}" * 3, f"{LENGTH}: 7", chunked=4), 400, "inference header size should be in range (0, 6), got: 7"),
        (post(b"{}", f"{LENGTH}: abc"), 400, f"Unable to parse {LENGTH}, got: abc"),
        (post(b"{}", "Content-Encoding: br"), 501, "Unsupported compression type"),
        (binary(data=bytes(2 << 20)), 503, "no room"),
        (binary("x", model="two"), 400, "[request id: x] expected 2 inputs but got 1 inputs for model 'two'."),
    ],
)
def test_what_cannot_run_is_refused_with_its_text_and_the_connection_goes_on(
    connection: Connection, core: FakeCore, request_bytes: bytes, status: int, text: str, piece_bytes: int
) -> None:
    connection.send(request_bytes, piece_bytes if len(request_bytes) < 10_000 else 0)
    got, headers, body = connection.response()
    assert got == status
    [(key, message)] = json.loads(body).items()
    assert key == "error"
    assert message.startswith(text)
    if got == 501:
        assert headers["accept-encoding"] == "gzip, deflate"
    assert core.submitted == []
    assert core.blocks == {}
    connection.send(binary())
    core.answer(0)
    assert connection.response()[0] == 200


@pytest.mark.parametrize(
    "refusal", [unavailable("full"), UnicodeEncodeError("utf-8", "\ud800", 0, 1, "no"), OverflowError()]
)
@pytest.mark.parametrize("request_bytes", [binary(), plain()], ids=["binary", "plain"])
def test_whatever_goes_wrong_in_submitting_is_an_answer_and_the_block_comes_back(
    connection: Connection, core: FakeCore, refusal: Exception, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    core.refusal = refusal
    connection.send(request_bytes)
    assert connection.response()[0] == (503 if isinstance(refusal, TisError) else 500)
    assert core.blocks == {}


def test_an_error_of_the_execution_is_the_answer(connection: Connection, core: FakeCore) -> None:
    connection.send(binary("x"))
    core.answer(0, internal("[request id: x] it broke"))
    assert connection.response()[0::2] == (500, b'{"error":"[request id: x] it broke"}')


@pytest.mark.parametrize(("datatype", "status"), [("FP16", 400), ("BYTES", 500)])
def test_an_answer_that_cannot_be_written_is_an_error_and_its_block_is_released(
    connection: Connection, core: FakeCore, datatype: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    connection.send(plain())
    answer = core.answer(0, b"\xff\xff\xff\xff", datatype)
    assert connection.response()[0] == status
    assert core.released == [answer]


def test_what_is_no_http_is_refused_and_closed(connection: Connection, core: FakeCore) -> None:
    connection.send(b"NONSENSE\r\n\r\n")
    assert connection.response()[0] == 400
    assert connection.transport.closed
    assert core.submitted == []


@pytest.mark.parametrize(
    ("headers", "version", "closes"),
    [((), "HTTP/1.1", False), (("Connection: close",), "HTTP/1.1", True), ((), "HTTP/1.0", True)],
)
def test_the_connection_stays_open_as_the_client_wishes(
    connection: Connection, core: FakeCore, headers: tuple[str, ...], version: str, closes: bool
) -> None:
    connection.send(binary("", DATA, *headers, version=version))
    core.answer(0)
    assert connection.response()[1].get("connection", "") == ("close" if closes else "")
    assert connection.transport.closed is closes


# ---- several requests at once --------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece_bytes", [0, 1, 11])
def test_pipelined_requests_are_answered_in_order_each_with_its_own_data(
    connection: Connection, core: FakeCore, piece_bytes: int
) -> None:
    datas = [np.full(4, number, "<f4").tobytes() for number in range(5)]
    connection.send(b"".join(binary(f"id{number}", data) for number, data in enumerate(datas)), piece_bytes)
    for number, data in enumerate(datas):
        assert core.submitted[-1].client_id == f"id{number}"
        assert core.tensor(number) == data
        core.answer(number, data)
        _, headers, body = connection.response()
        at = int(headers["inference-header-content-length"])
        assert json.loads(body[:at])["id"] == f"id{number}"
        assert body[at:] == data
    assert core.blocks == {}


def test_reading_pauses_while_a_pipelined_request_waits_and_goes_on_afterwards(
    connection: Connection, core: FakeCore
) -> None:
    paused = []
    for step in (lambda: connection.send(binary()), lambda: connection.send(binary()), lambda: core.answer(0)):
        step()
        paused.append(connection.transport.reading_paused)
    assert paused == [False, True, False]


def test_a_refused_request_waits_its_turn_too(connection: Connection, core: FakeCore) -> None:
    connection.send(binary("first") + post(b"{") + binary("third"))
    assert connection.responses() == []
    core.answer(0)
    assert [status for status, _, _ in connection.responses()] == [200, 500]
    core.answer(1)
    assert connection.response()[0] == 200
    assert [request.client_id for request in core.submitted] == ["first", "third"]


def test_nothing_is_written_for_any_request_of_a_client_that_has_gone(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    connection.send(GET + GET + GET)
    connection.lose()
    connection.turn()
    assert connection.responses() == []
    assert not caplog.records


def test_infer_and_other_routes_share_a_connection_in_order(connection: Connection, core: FakeCore) -> None:
    connection.send(GET + binary("a") + GET + binary("b") + GET)
    connection.turn()
    assert [body for _, _, body in connection.responses()] == [b"plain"]
    core.answer(0)
    connection.turn()
    infer, other = connection.responses()
    assert b'"id":"a"' in infer[2]
    assert other[2] == b"plain"
    core.answer(1)
    connection.turn()
    assert len(connection.responses()) == 2
    assert core.blocks == {}


def test_other_verbs_on_the_infer_route_and_other_routes_are_left_to_the_application(
    connection: Connection, core: FakeCore
) -> None:
    for line in (b"GET /v2/models/m/infer", b"POST /v2/models/m/inferx", b"POST /v2/models/m/versions/x/infer"):
        connection.send(line + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        connection.turn()
        assert connection.response()[2] == b"plain"
    assert core.submitted == []


# ---- clients that go away ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REQUESTS)
def test_a_client_that_goes_anywhere_in_its_request_leaves_no_block_behind(name: str) -> None:
    request = REQUESTS[name]
    loop = asyncio.new_event_loop()
    for end in range(0, len(request), 5):
        core = FakeCore()
        connection = Connection(core, loop)
        if end:
            connection.send(request[:end])
        connection.lose()
        assert core.submitted == []
        assert core.blocks == {}
    loop.close()


def test_a_client_that_goes_while_it_waits_cancels_its_request_and_the_late_answer_goes_nowhere(
    connection: Connection, core: FakeCore
) -> None:
    connection.send(binary())
    connection.lose()
    assert core.submitted[0].cancelled
    core.answer(0)
    assert connection.responses() == []
    assert core.blocks == {}


def test_a_client_that_goes_with_several_requests_pipelined_leaves_nothing_behind(
    connection: Connection, core: FakeCore
) -> None:
    connection.send(binary("a") + binary("b") + binary("c")[:-3])
    connection.lose()
    assert [request.cancelled for request in core.submitted] == [True]
    core.answer(0)
    assert core.blocks == {}
    assert len(core.submitted) == 1


def test_a_connection_that_ends_after_its_answer_cancels_nothing(connection: Connection, core: FakeCore) -> None:
    connection.send(binary())
    core.answer(0)
    connection.lose()
    assert not core.submitted[0].cancelled


# ---- clients that read slowly --------------------------------------------------------------------------------------

LARGE = np.zeros(100_000, "<f4").tobytes()


def test_the_block_of_a_large_answer_is_held_until_its_last_byte_has_left(
    connection: Connection, core: FakeCore
) -> None:
    connection.send(binary())
    connection.transport.unsent_bytes = 1
    answer = core.answer(0, LARGE)
    assert core.released == []
    connection.transport.unsent_bytes = 0
    connection.protocol.pause_writing()
    connection.protocol.resume_writing()
    assert core.released == [answer]


def test_a_large_answer_that_leaves_at_once_is_released_at_once(connection: Connection, core: FakeCore) -> None:
    connection.send(binary())
    answer = core.answer(0, LARGE)
    assert core.released == [answer]
    assert len(connection.response()[2]) > len(LARGE)


def test_a_small_answer_is_copied_and_its_block_released_though_the_client_does_not_read(
    connection: Connection, core: FakeCore
) -> None:
    connection.send(binary())
    connection.transport.unsent_bytes = 1000
    answer = core.answer(0)
    assert core.released == [answer]


def test_a_client_that_goes_with_an_answer_half_sent_gives_the_block_back(
    connection: Connection, core: FakeCore
) -> None:
    connection.send(binary())
    connection.transport.unsent_bytes = 1
    answer = core.answer(0, LARGE)
    connection.lose()
    assert core.released == [answer]
