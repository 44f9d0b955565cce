"""A connection without sockets: a core that keeps blocks in a dict, a transport that keeps what is written."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import uvicorn
from uvicorn.server import ServerState

from tis.contracts import messages as m
from tis.contracts.inference import Answer, OutputTensor
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.contracts.plan import Plan
from tis.errors import TisError, unavailable
from tis_frontend.core import Core
from tis_frontend.http.protocol import InferProtocol, protocol_class
from tis_frontend.model_table import ModelTable
from tis_frontend.regions import RegionTable
from tis_frontend.request_trace import RequestTrace
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
        self.tracer = None
        self.room_bytes = 1 << 20
        self.regions = RegionTable()
        self.capacity_bytes = 1 << 20
        self._offset = 0

    def place(self, _spec: ModelSpec, size_bytes: int) -> Block:
        return self.take(size_bytes)

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

    def submit(
        self,
        plan: Plan,
        client_id: str,
        block: Block,
        _arrival_ns: int,
        deliver: Callable[[Answer], None],
        _trace: RequestTrace | None = None,
    ) -> int:
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

    def answer(
        self, number: int, outcome: bytes | TisError = DATA, datatype: str = "FP32", **parameters: Any
    ) -> Answer:
        """What a real core does when the reply is in."""
        request = self.submitted[number]
        assert request.deliver is not None, "answered twice"
        self.discard(request.block)
        if isinstance(outcome, TisError):
            answer = Answer([], outcome)
        else:
            answer = Answer([OutputTensor("Y", datatype, (len(outcome) // 4,), memoryview(outcome))], blocks=((0, 1),))
            answer.parameters = parameters
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
        assert low is None

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.reading_paused = True

    def resume_reading(self) -> None:
        self.reading_paused = False


class Connection:
    """A client's end."""

    def __init__(self, core: FakeCore, loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        table = ModelTable()
        table.replace(m.Table(1, tuple(m.TableEntry(spec, spec is not FAILED) for spec in (SPEC, TWO, FAILED))))
        config = uvicorn.Config(plain_app, lifespan="off", ws="none", log_config=None, access_log=False)
        made = protocol_class(cast("Core", core), table, **options)(
            config=config, server_state=ServerState(), app_state={}, _loop=loop
        )
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

REQUESTS = {
    "binary": binary("x"),
    "plain": plain("x"),
    "chunked binary": binary("x", chunked=7),
    "raw": post(DATA, "Inference-Header-Content-Length: 0"),
    "chunked raw": post(DATA, "Inference-Header-Content-Length: 0", chunked=3),
}
