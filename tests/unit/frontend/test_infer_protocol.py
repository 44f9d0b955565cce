"""A connection, fed bytes by hand: one at a time, several requests at once, broken off anywhere."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import pytest
import uvicorn
from uvicorn.server import ServerState

from tis.contracts import messages as m
from tis.contracts.inference import Answer, OutputTensor
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.errors import TisError, internal, unavailable
from tis_frontend.core import Core
from tis_frontend.http.protocol import InferProtocol, protocol_class
from tis_frontend.model_table import ModelTable
from tis_frontend.plan import Plan
from tis_shm.pool import Block

SPEC = ModelSpec("m", 1, "", "onnxruntime", 0, (TensorSpec("A", "FP32", (4,)),), (TensorSpec("Y", "FP32", (4,)),))
TWO = ModelSpec("two", 2, "", "onnxruntime", 0, (*SPEC.inputs, TensorSpec("B", "INT32", (1,))), SPEC.outputs)
FAILED = ModelSpec("failed", 1, "", "onnxruntime", 0, SPEC.inputs, SPEC.outputs)
DATA = np.arange(4, dtype="<f4").tobytes()


class Submitted:
    """A request that the core was given."""

    def __init__(self, plan: Plan, client_id: str, block: Block, deliver: Callable[[Answer], None]) -> None:
        self.plan = plan
        self.client_id = client_id
        self.block = block
        self.deliver: Callable[[Answer], None] | None = deliver
        self.cancelled = False


class FakeCore:
    """Blocks in a dict, requests in a list."""

    def __init__(self) -> None:
        self.blocks: dict[int, bytearray] = {}
        self.submitted: list[Submitted] = []
        self.released: list[Answer] = []
        self.refusal: Exception | None = None
        self.room_bytes = 1 << 20
        self._offset = 0

    def take(self, size_bytes: int) -> Block:
        if size_bytes > self.room_bytes:
            raise unavailable("no room")
        self._offset += 1024
        self.blocks[self._offset] = bytearray(max(size_bytes, 1))
        return Block(self._offset, 1)

    def writable(self, block: Block, start: int, size_bytes: int) -> memoryview:
        view = memoryview(self.blocks[block.offset])[start : start + size_bytes]
        assert len(view) == size_bytes
        return view

    def discard(self, block: Block) -> None:
        del self.blocks[block.offset]

    def submit(self, plan: Plan, client_id: str, block: Block, _arrival_ns: int, deliver: Callable[[Answer], None]) -> int:
        if self.refusal is not None:
            raise self.refusal
        assert block.offset in self.blocks
        self.submitted.append(Submitted(plan, client_id, block, deliver))
        return len(self.submitted)

    def cancel(self, request_id: int) -> None:
        self.submitted[request_id - 1].cancelled = True

    def release(self, answer: Answer) -> None:
        assert not any(each is answer for each in self.released)
        self.released.append(answer)

    def tensor(self, number: int, index: int = 0) -> bytes:
        """The bytes of an input of a submitted request."""
        request = self.submitted[number]
        ref = next(ref for ref in request.plan.inputs if ref.index == index)
        return bytes(self.blocks[request.block.offset][ref.start : ref.start + ref.size_bytes])

    def answer(self, number: int, outcome: bytes | TisError = DATA, datatype: str = "FP32") -> Answer:
        """What a real core does when the reply is in."""
        request = self.submitted[number]
        assert request.deliver is not None, "answered twice"
        self.discard(request.block)
        if isinstance(outcome, TisError):
            answer = Answer([], outcome)
        else:
            answer = Answer([OutputTensor("Y", datatype, (len(outcome) // 4,), memoryview(outcome))], block=(0, 1))
        deliver, request.deliver = request.deliver, None
        if not request.cancelled:
            deliver(answer)
        return answer


class FakeTransport(asyncio.Transport):
    """Takes what is written; how much of it has left is up to the test."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.unsent_bytes = 0
        self.closed = self.reading_paused = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 8000)}.get(name, default)

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        assert not self.closed, "written after close"
        self.written += data

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == 0

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.reading_paused = True

    def resume_reading(self) -> None:
        self.reading_paused = False


class Connection:
    """A client's end."""

    def __init__(self, core: FakeCore, loop: asyncio.AbstractEventLoop) -> None:
        table = ModelTable()
        table.replace(m.Table(1, tuple(m.TableEntry(spec, spec is not FAILED) for spec in (SPEC, TWO, FAILED))))
        config = uvicorn.Config(plain_app, lifespan="off", ws="none", log_config=None, access_log=False)
        made = protocol_class(cast("Core", core), table)(config=config, server_state=ServerState(), app_state={}, _loop=loop)
        assert isinstance(made, InferProtocol)
        self.protocol = made
        self.transport = FakeTransport()
        self.loop = loop
        made.connection_made(self.transport)

    def send(self, data: bytes, piece_bytes: int = 0) -> None:
        """All at once, or in pieces of some size."""
        for at in range(0, len(data), piece_bytes or len(data)):
            self.protocol.data_received(data[at : at + (piece_bytes or len(data))])

    def lose(self) -> None:
        self.transport.closed = True
        self.protocol.connection_lost(None)

    def turn(self) -> None:
        """Let the ASGI application do its part."""
        for _ in range(5):
            self.loop.run_until_complete(asyncio.sleep(0))

    def responses(self) -> list[tuple[int, dict[str, str], bytes]]:
        """Everything answered since the last call: status, headers, body."""
        found = []
        data = bytes(self.transport.written)
        self.transport.written.clear()
        while data:
            head, _, rest = data.partition(b"\r\n\r\n")
            status, *lines = head.decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            size_bytes = int(headers.get("content-length", 0))
            assert len(rest) >= size_bytes
            found.append((int(status.split()[1]), headers, rest[:size_bytes]))
            data = rest[size_bytes:]
        return found

    def response(self) -> tuple[int, dict[str, str], bytes]:
        [only] = self.responses()
        return only


async def plain_app(_scope: Any, _receive: Any, send: Any) -> None:
    """Stands for the Starlette application."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"plain"})


@pytest.fixture
def core() -> FakeCore:
    return FakeCore()


@pytest.fixture
def connection(core: FakeCore) -> Iterator[Connection]:
    loop = asyncio.new_event_loop()
    yield Connection(core, loop)
    loop.close()


def post(body: bytes, *headers: str, model: str = "m", version: str = "HTTP/1.1", chunked: int = 0) -> bytes:
    """An infer request."""
    lines = [f"POST /v2/models/{model}/infer {version}", "Host: x", *headers]
    if chunked:
        pieces = [body[at : at + chunked] for at in range(0, len(body), chunked)]
        sent = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        return "\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""]).encode() + sent
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def document(client_id: str = "", **more: Any) -> bytes:
    entry = {"name": "A", "datatype": "FP32", "shape": [4], "parameters": {"binary_data_size": 16}}
    text = {"inputs": [entry], "parameters": {"binary_data_output": True}} | more
    return json.dumps(text | {"id": client_id} if client_id else text).encode()


def binary(client_id: str = "", data: bytes = DATA, *headers: str, **options: Any) -> bytes:
    """An infer request with a binary tail."""
    head = document(client_id)
    return post(head + data, f"Inference-Header-Content-Length: {len(head)}", *headers, **options)


def plain(client_id: str = "") -> bytes:
    """An infer request with its data in JSON."""
    entry = {"name": "A", "datatype": "FP32", "shape": [4], "data": [0, 1, 2, 3]}
    return post(json.dumps({"id": client_id, "inputs": [entry]}).encode())


GET = b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n"

# ---- one request ---------------------------------------------------------------------------------------------------

REQUESTS = {
    "binary": binary("x"),
    "plain": plain("x"),
    "chunked binary": binary("x", chunked=7),
    "raw": post(DATA, "Inference-Header-Content-Length: 0"),
    "chunked raw": post(DATA, "Inference-Header-Content-Length: 0", chunked=3),
}


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
    assert b"input byte size mismatch for input 'A'" in body
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
        (post(b"{}" * 3, "Inference-Header-Content-Length: 7"), 400, "inference header size should be in range (0, 6), got: 7"),
        (post(b"{}" * 3, "Inference-Header-Content-Length: 7", chunked=4), 400, "inference header size should be in range (0, 6), got: 7"),
        (post(b"{}", "Inference-Header-Content-Length: abc"), 400, "Unable to parse Inference-Header-Content-Length, got: abc"),
        (post(b"{}", "Content-Encoding: br"), 501, "Unsupported compression type"),
        (binary(data=bytes(2 << 20)), 503, "no room"),
        (binary("x", model="two"), 400, "[request id: x] expected 2 inputs but got 1 inputs for model 'two'."),
    ],
)  # fmt: skip
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


@pytest.mark.parametrize("refusal", [unavailable("full"), UnicodeEncodeError("utf-8", "\ud800", 0, 1, "no"), OverflowError()])
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
    connection.send(binary())
    assert not connection.transport.reading_paused
    connection.send(binary())
    assert connection.transport.reading_paused
    core.answer(0)
    assert not connection.transport.reading_paused


def test_a_refused_request_waits_its_turn_too(connection: Connection, core: FakeCore) -> None:
    connection.send(binary("first") + post(b"{") + binary("third"))
    assert connection.responses() == []
    core.answer(0)
    assert [status for status, _, _ in connection.responses()] == [200, 500]
    core.answer(1)
    assert connection.response()[0] == 200
    assert [request.client_id for request in core.submitted] == ["first", "third"]


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


def test_the_block_of_a_large_answer_is_held_until_its_last_byte_has_left(connection: Connection, core: FakeCore) -> None:
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


def test_a_client_that_goes_with_an_answer_half_sent_gives_the_block_back(connection: Connection, core: FakeCore) -> None:
    connection.send(binary())
    connection.transport.unsent_bytes = 1
    answer = core.answer(0, LARGE)
    connection.lose()
    assert core.released == [answer]
