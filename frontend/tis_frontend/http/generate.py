"""POST …/generate (one JSON reply) and …/generate_stream (server-sent events): inference without tensors, for text.

Written over a stream of answers, of which each request has one until it comes from a decoupled model.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from math import prod
from typing import Any, Final

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from tis.contracts.datatypes import ELEMENT_BYTES
from tis.contracts.inference import Answer, OutputTensor
from tis.contracts.model_spec import ModelSpec
from tis.contracts.plan import Plan
from tis.errors import TisError, internal, invalid
from tis.log import get_logger
from tis_frontend.backlog import BACKLOG
from tis_frontend.core import Core, now_ns
from tis_frontend.http import generate_request, json_tensor
from tis_frontend.http.body import bounded_body
from tis_frontend.http.infer_request import HttpInfer
from tis_frontend.http.infer_response import parameters_json
from tis_frontend.server import Server
from tis_frontend.trace import Headers

_JSON: Final = "application/json"
_EVENTS: Final = "text/event-stream; charset=utf-8"
_NOT_ONE: Final = (
    "generate expects model to produce exactly 1 response, use generate stream for model that generates various number "
    "of responses"
)

_log = get_logger(__name__)


def generate_routes() -> list[BaseRoute]:
    """The routes, for the application of a frontend."""
    return [
        Route(f"/v2/models/{{model}}{version}/{name}", handler, methods=["POST"])
        for version in ("", "/versions/{version:int}")
        for name, handler in (("generate", _generate), ("generate_stream", _generate_stream))
    ]


class _Answers:
    """The answers to one request as they come; closing gives up those that have not.

    Each is rendered when it comes, so that a client that does not read keeps nothing of the pool.
    """

    def __init__(
        self, core: Core, spec: ModelSpec, call: HttpInfer, plan: Plan, arrival_ns: int, headers: Headers
    ) -> None:
        self._core = core
        self._call = call
        self._spec = spec
        self._decoupled = spec.decoupled
        #: What is to be told, None for nothing, and whether it is the last.
        self._queue: asyncio.Queue[tuple[bytes | TisError | None, bool]] = asyncio.Queue()
        tracer = core.tracer
        self._trace = tracer.sample(spec, "HTTP", arrival_ns, headers) if tracer is not None else None
        self._request_id = self._submit(plan, arrival_ns)
        self._line = BACKLOG.line(self._give_up)
        self._ended = False

    def _submit(self, plan: Plan, arrival_ns: int) -> int:
        core, call = self._core, self._call
        block = core.place(self._spec, call.block_bytes)
        try:
            for tensor, data in call.json_data:
                core.writable(block, tensor.start, len(data))[:] = data
            return core.submit(plan, call.request.client_id, block, arrival_ns, self._arrived, self._trace)
        except BaseException:
            core.discard(block)
            raise

    def _arrived(self, answer: Answer) -> None:
        told: bytes | TisError | None
        try:
            # An empty one only says that it is the last.
            told = answer.error or (None if answer.is_empty else _rendered(self._call, answer))
        except TisError as error:
            told = error
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in one answer is that answer's text
            _log.exception("an answer could not be written")
            told = internal(f"{type(error).__name__}: {error}")
        finally:
            self._core.release(answer)
        self._queue.put_nowait((told, answer.final))
        if isinstance(told, bytes):
            self._line.add(len(told), bounded=True)

    def _give_up(self, error: TisError) -> None:
        """The client does not take its answers: it gets this in their place, if it goes on."""
        self._core.cancel(self._request_id)
        self._trace = None
        self._clear()
        self._queue.put_nowait((error, True))

    async def next(self) -> bytes | TisError | None:
        """The next answer as JSON or its error; None at the end."""
        if self._ended:
            return None
        told, self._ended = await self._queue.get()
        if isinstance(told, bytes):
            self._line.remove(len(told))
        if self._trace is not None:
            self._trace.sending()
        return told

    def close(self) -> None:
        """Cancel what has not come and forget what has not been read."""
        if not self._ended:
            self._core.cancel(self._request_id)
            self._ended = True
        elif self._trace is not None:
            self._trace.sent()
        self._clear()
        self._line.close()

    def _clear(self) -> None:
        while not self._queue.empty():
            self._queue.get_nowait()


# ---- handlers ----------------------------------------------------------------------------------------------------------


async def _generate(request: Request) -> Response:
    answers = await _begun(request)
    if isinstance(answers, Response):
        return answers
    try:
        first = await _unless_gone(request, answers)
        if isinstance(first, _Gone):
            return Response()
        second = await _unless_gone(request, answers)
        # The first answer settles the status, whatever its code was and whatever follows.
        failed = isinstance(first, TisError)
        if first is None or second is not None:
            body = _error(_NOT_ONE)
        else:
            body = _error(first.message) if isinstance(first, TisError) else first
        return StreamingResponse(_once(body), 400 if failed else 200, media_type=_JSON)
    finally:
        answers.close()


async def _generate_stream(request: Request) -> Response:
    answers = await _begun(request)
    if isinstance(answers, Response):
        return answers
    try:
        first = await _unless_gone(request, answers)
    except BaseException:
        answers.close()
        raise
    if isinstance(first, _Gone):
        answers.close()
        return Response()
    return _EventStream(answers, first)


class _EventStream(StreamingResponse):
    """Answers as server-sent events, given up when the client goes."""

    def __init__(self, answers: _Answers, first: bytes | TisError | None) -> None:
        status = 400 if isinstance(first, TisError) else 200
        super().__init__(_events(answers, first), status, headers={"content-type": _EVENTS})
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answers.close()


async def _events(answers: _Answers, first: bytes | TisError | None) -> AsyncIterator[bytes]:
    answer = first
    while answer is not None:
        yield b"data: %s\n\n" % (_error(answer.message) if isinstance(answer, TisError) else answer)
        answer = await answers.next()


async def _begun(request: Request) -> _Answers | Response:
    """The request sent off, or the response that refuses it."""
    arrival_ns = now_ns()
    server: Server = request.app.state.server
    server.check_running()
    model = server.model(request.path_params["model"], request.path_params.get("version"))
    if request.headers.get("content-encoding", "identity") != "identity":
        raise invalid("Unsupported content-encoding, only 'identity' is supported.")
    most_bytes = server.settings.http_max_input_bytes
    try:
        body = await bounded_body(request, most_bytes)
    except ClientDisconnect:
        return Response()
    if not model.is_current:
        model = server.model(request.path_params["model"], request.path_params.get("version"))
    call, plan = generate_request.parse(model.spec, body, most_bytes)
    return _Answers(server.core, model.spec, call, plan, arrival_ns, request.headers.raw)


class _Gone:
    """The client has closed its connection."""


async def _unless_gone(request: Request, answers: _Answers) -> bytes | TisError | _Gone | None:
    """The next answer, unless the client goes first."""
    answer = asyncio.ensure_future(answers.next())
    gone = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
        return answer.result() if answer.done() else _Gone()
    finally:
        for task in (answer, gone):
            if not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


# ---- forms -------------------------------------------------------------------------------------------------------------


def _rendered(call: HttpInfer, answer: Answer) -> bytes:
    """Outputs by name, scalars where there is one element, beside what names the answer; in the order of the names."""
    request = call.request
    members: dict[str, Any] = {"model_name": request.model, "model_version": str(request.version)}
    if request.client_id:
        members["id"] = request.client_id
    members.update(parameters_json(answer.parameters))
    for tensor in answer.outputs:
        members[tensor.name] = msgspec.Raw(_value(tensor))
    return msgspec.json.encode(dict(sorted(members.items())))


def _value(tensor: OutputTensor) -> bytes:
    text = json_tensor.decode(tensor)
    element_bytes = ELEMENT_BYTES[tensor.datatype]
    one = len(tensor.data) == element_bytes if element_bytes else prod(tensor.shape) == 1
    return text[1:-1] if one else text


def _error(text: str) -> bytes:
    return msgspec.json.encode({"error": text})


async def _once(body: bytes) -> AsyncIterator[bytes]:
    """A body without Content-Length, as Triton sends it."""
    yield body
