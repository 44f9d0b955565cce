"""HTTP's part of the access log: infer calls and an application that note what they answer. Only there with a log."""

from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tis.contracts.inference import Answer
from tis.errors import TisError
from tis_frontend.access_log import CURRENT, AccessLog, Record
from tis_frontend.http.infer_call import InferCall
from tis_frontend.http.status import STATUS, error_body

#: What is noted, as elsewhere, for a client that has gone before its answer.
_CLIENT_GONE = 499
_OK = 200


class LoggedInferCall(InferCall):
    """An infer call that has a line in the access log."""

    access: AccessLog
    _record: Record

    def begin(self, name: str, version: int | None, headers: list[tuple[bytes, bytes]]) -> None:
        """The headers are in."""
        path = f"/v2/models/{name}" + (f"/versions/{version}" if version is not None else "") + "/infer"
        peer = self._transport.get_extra_info("peername")
        self._record = Record("HTTP", client_text(peer), f"POST {path}")
        self._record.model, self._record.version = name, version or 0
        super().begin(name, version, headers)

    def feed(self, body: bytes) -> None:
        """A piece of the body."""
        self._record.bytes_in += len(body)
        super().feed(body)

    def _submit_content(self) -> None:
        token = CURRENT.set(self._record)
        try:
            super()._submit_content()
        finally:
            CURRENT.reset(token)

    def _respond(self, answer: Answer, headers: bytes, text: bytes, blobs: list[memoryview]) -> None:
        self._record.bytes_out = len(text) + sum(map(len, blobs))
        self.access.done(self._record, _OK)
        super()._respond(answer, headers, text, blobs)

    def _fail(self, error: TisError, content_type: bytes) -> None:
        self._record.bytes_out = len(error_body(error))
        self.access.done(self._record, STATUS[error.code])
        super()._fail(error, content_type)

    @property
    def disconnected(self) -> bool:
        """True once the client has gone."""
        return self._disconnected

    @disconnected.setter
    def disconnected(self, gone: bool) -> None:
        answered = self.response_complete
        InferCall.disconnected.__set__(self, gone)  # type: ignore[attr-defined]
        if gone and not answered:
            self.access.done(self._record, _CLIENT_GONE)


def logged_call(log: AccessLog) -> type[InferCall]:
    """The class of infer calls that this log tells of."""
    return type("BoundLoggedInferCall", (LoggedInferCall,), {"access": log})


class LoggedApp:
    """Middleware: every request that goes through the application has a line."""

    def __init__(self, app: ASGIApp, log: AccessLog) -> None:
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and note what comes back."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = Record("HTTP", client_text(scope.get("client")), f"{scope['method']} {_path(scope)}")
        record.model = _model(_path(scope))
        status = _CLIENT_GONE

        async def counted_receive() -> Message:
            message = await receive()
            record.bytes_in += len(message.get("body", b""))
            return message

        async def counted_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            record.bytes_out += len(message.get("body", b""))
            await send(message)

        token = CURRENT.set(record)
        try:
            await self._app(scope, counted_receive, counted_send)
        finally:
            CURRENT.reset(token)
            self._log.done(record, status)


def client_text(peer: Any) -> str:
    """A client's address and port; `-` where they are not known."""
    return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "-"


def _path(scope: Scope) -> str:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.decode("latin-1")


def _model(path: str) -> str:
    parts = path.split("/")
    # /v2/models/NAME/...
    return parts[3] if len(parts) > 3 and parts[1:3] == ["v2", "models"] and parts[3] != "stats" else ""
