"""uvicorn's HTTP protocol with the infer route taken out before an ASGI request is built.

Everything but POST on an infer route goes to uvicorn and Starlette unchanged. For infer calls this saves the task, the
scope and the events of an ASGI cycle (about half of the time that a small request takes in the frontend), puts the body
into shared memory as it arrives, and writes a response straight from there.

What the parser leaves open is bounded here: it keeps heads, trailers and chunks' extensions of any length, and takes requests
of a client that reads none of its answers.
"""

import asyncio
import re
from re import Pattern
from typing import Any, Final, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from tis.contracts.inference import Answer
from tis.log import get_logger
from tis.settings import DEFAULT_HTTP_MAX_INPUT_BYTES
from tis_frontend.core import Core
from tis_frontend.doors import DOORS
from tis_frontend.http.infer_call import InferCall
from tis_frontend.model_table import ModelTable
from tis_frontend.restriction import Expected

#: Digits of a version that are read; so many are out of range in any case.
_MOST_DIGITS: Final = 40
#: Beyond every body: how far an exchange is when its response has been taken.
_FAR_BYTES: Final = 1 << 50
#: What is neither a body nor ends a head may be so long: a head, trailers, extensions of chunks. More than is read at once.
_MOST_QUIET_BYTES: Final = 512 << 10
#: Requests that wait behind another one on their connection; what comes behind these is not parsed.
_MOST_PIPELINED: Final = 16
#: Bytes that are parsed at once: of heads, and of a body whose length is not known.
_STEP_BYTES: Final = 2048
_BODY_STEP_BYTES: Final = 16 << 10
#: A target may name the server, too (RFC 9112, 3.2.2).
_INFER_ROUTE: Final = re.compile(
    rb"(?:[Hh][Tt][Tt][Pp]://[^/?]*)?/v2/models/([^/?]+)(?:/versions/([0-9]{1,99}))?/infer(?:\?.*)?"
)
_OFFERING: Final = (b"upgrade", b"http2-settings")
_BROKEN: Final = "Invalid HTTP request received."
_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

_log = get_logger(__name__)


class InferProtocol(HttpToolsProtocol):
    """A connection."""

    core: Core
    table: ModelTable
    #: The largest JSON text, raw body or decompressed body, see `--http-max-input-size`.
    most_bytes = DEFAULT_HTTP_MAX_INPUT_BYTES
    #: Headers of the request that are passed on to the model, see `ForwardingProtocol`.
    forwarded: list[tuple[str, str]] | None = None
    #: True once the server is on its way out: infer calls are left to the routes that refuse them.
    stopping = False
    #: What an infer call is made of.
    call_class: type[InferCall] = InferCall
    #: The header that opens the infer route, where it is restricted: calls without it are left to the routes, too.
    expected: Expected | None = None

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        #: The call whose turn it is to answer; `cycle` is the newest one, which may wait behind it.
        self._current: InferCall | RequestResponseCycle | None = None
        #: Answers whose bytes the socket has not taken yet.
        self._unsent: list[Answer] = []
        #: Bytes that have come since the last body or end of a head.
        self._quiet_bytes = 0
        self._is_in_head = False
        #: Of the body that uvicorn collects at the moment.
        self._body_bytes = 0
        #: The next request waits until the client has taken the answer before it.
        self._waits_for_client = False
        #: What came behind the requests that wait for their answers is no HTTP.
        self._is_broken = False
        self._is_offer = False
        #: What has come behind as many requests as may wait.
        self._unparsed = b""
        self._has_entered = False

    # ---- the connection --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        stream = cast("asyncio.Transport", transport)
        # With no room for what the socket does not take, the transport says when the last byte has left: only then
        # may a block that it writes from be released.
        stream.set_write_buffer_limits(high=0)
        super().connection_made(stream)
        self._has_entered = DOORS.enter("HTTP")
        if not self._has_entered:
            stream.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone; calls that wait for an answer are cancelled."""
        if self._has_entered:
            self._has_entered = False
            DOORS.leave("HTTP")
        for cycle, _ in self.pipeline:
            cycle.disconnected = True
        self.pipeline.clear()
        if self._current is not None:
            # Uvicorn tells the newest request only.
            self._current.disconnected = True
            self._current.message_event.set()
        super().connection_lost(exc)
        self._release_unsent()

    def resume_writing(self) -> None:
        """Everything written so far has left."""
        self._release_unsent()
        super().resume_writing()
        if self._waits_for_client:
            self._waits_for_client = False
            if not self.transport.is_closing():
                self._go_on()

    def _hold_until_written(self, answer: Answer) -> None:
        if self.transport.get_write_buffer_size():
            self._unsent.append(answer)
        else:
            self.core.release(answer)

    def _release_unsent(self) -> None:
        for answer in self._unsent:
            self.core.release(answer)
        self._unsent.clear()

    def passed_bytes(self) -> int | None:
        """How far a request has come, or an answer that is complete has gone, see `tis_frontend.stalls`."""
        unsent_bytes = self.transport.get_write_buffer_size()
        if unsent_bytes and (self._unsent or self._waits_for_client or self.transport.is_closing()):
            return _FAR_BYTES - unsent_bytes
        if self._is_in_head:
            return self._quiet_bytes
        call = self._current
        if call is None or not call.more_body or call.response_complete:
            return None
        if isinstance(call, InferCall):
            return call.received_bytes
        return None if self.flow.read_paused else self._body_bytes

    @property
    def held_bytes(self) -> int:
        """Bytes of bodies that are collected outside of the pool."""
        held = len(self._unparsed)
        for cycle in (self._current, *(cycle for cycle, _ in self.pipeline)):
            if isinstance(cycle, InferCall):
                held += cycle.collected_bytes
            elif cycle is not None and cycle is self.cycle and cycle.more_body:
                held += self._body_bytes
        return held

    def give_up(self) -> None:
        """The client has stopped in the middle."""
        self.transport.abort()

    # ---- the parser ------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if self._is_broken:
            return
        if self._unparsed:
            self._unparsed += data
            self.flow.pause_reading()
            return
        self._quiet_bytes += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError as error:
            self._break_off(error)
        if self._quiet_bytes > _MOST_QUIET_BYTES and not self.transport.is_closing():
            _log.debug("a client sends a head without end")
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def _parse(self, data: bytes) -> None:
        """Each request that is parsed takes far more memory than its bytes: so only a few at a time, and bodies whole."""
        at = 0
        while at < len(data):
            if len(self.pipeline) >= _MOST_PIPELINED:
                self._unparsed = data[at:]
                self.flow.pause_reading()
                return
            step = _STEP_BYTES
            cycle: RequestResponseCycle | InferCall | None = self.cycle
            if cycle is not None and cycle.more_body:
                step = _BODY_STEP_BYTES
                if isinstance(cycle, InferCall):
                    step = max(cycle.content_bytes - cycle.received_bytes, step)
            try:
                self.parser.feed_data(memoryview(data)[at : at + step] if len(data) > step or at else data)
                at += step
            except httptools.HttpParserUpgrade as offer:
                # The parser takes the body for another protocol's.
                data = self._without_offer() + data[at + offer.args[0] :]
                at = 0

    def _parse_on(self) -> None:
        """There is room for requests that have come before."""
        if len(self.pipeline) >= _MOST_PIPELINED or self._is_broken or self.transport.is_closing():
            return
        data, self._unparsed = self._unparsed, b""
        try:
            self._parse(data)
        except httptools.HttpParserError as error:
            self._break_off(error)
        if not self._must_not_read():
            self.flow.resume_reading()

    def _must_not_read(self) -> bool:
        return bool(self._unparsed or self.pipeline) or self._is_broken or self._waits_for_client

    def _without_offer(self) -> bytes:
        """The head of a request that offers another protocol, which nobody here takes, as if it did not (RFC 9110, 7.8)."""
        self._is_offer = False
        head = [b"%s %s HTTP/1.1" % (self.parser.get_method(), self.url)]
        for name, value in self.headers:
            if name == b"connection":
                tokens = [token.strip() for token in value.lower().split(b",")]
                head.append(b"connection: " + b", ".join(each for each in tokens if each not in _OFFERING))
            elif name not in _OFFERING:
                head.append(name + b": " + value)
        return b"\r\n".join((*head, b"", b""))

    def _break_off(self, error: Exception) -> None:
        """The newest request is none; those before it still get their answers."""
        _log.debug("a client sends what is no HTTP: %s", error)
        if self.transport.is_closing():
            return
        current = self._current
        if current is None or current.more_body or (current.response_complete and not self._waits_for_client):
            self.send_400_response(_BROKEN)
            return
        self._is_broken = True
        self.flow.pause_reading()
        if self.pipeline and self.pipeline[0][0].more_body:
            self.pipeline.popleft()[0].disconnected = True

    def on_message_begin(self) -> None:
        """A request begins."""
        self._quiet_bytes = 0
        self._is_in_head = True
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def _leave_to_uvicorn(self) -> None:
        """A request that is no infer call. Uvicorn would have begun it with its first byte, and so each infer call, too."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        self.scope["headers"] = headers
        super().on_headers_complete()

    def on_headers_complete(self) -> None:
        """Make an infer call of an infer request; leave the others to uvicorn."""
        self._quiet_bytes = self._body_bytes = 0
        self._is_in_head = False
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._is_offer = True
            return
        route = _INFER_ROUTE.fullmatch(self.url) if self.parser.get_method() == b"POST" and not self.stopping else None
        if route is None or (self.expected is not None and not self._is_opened()):
            self._leave_to_uvicorn()
            return
        before: RequestResponseCycle | InferCall | None = self.cycle
        call = self.call_class(
            self.core,
            self.table,
            self.transport,
            self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive(),
            self._hold_until_written,
            self.on_response_complete,
            self.loop,
            self.most_bytes,
            self.forwarded,
        )
        self.cycle = cast("Any", call)
        call.begin(route[1].decode("latin-1"), int(route[2][:_MOST_DIGITS]) if route[2] else None, self.headers)
        if self.expect_100_continue:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if before is None or before.response_complete:
            self._start_asgi_task(call, self.app)
        else:
            # Answers leave in the order of the requests: the call waits until the one before it is done.
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _is_opened(self) -> bool:
        """True where the request brings the header that a restricted infer route asks for."""
        return self.expected is None or self.expected.met_by_one_of(self.headers)

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._quiet_bytes = 0
        cycle: RequestResponseCycle | InferCall = self.cycle
        if isinstance(cycle, InferCall):
            if not cycle.response_complete:
                cycle.feed(body)
        else:
            self._body_bytes += len(body)
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A body has ended."""
        if self._is_offer:
            return
        cycle: RequestResponseCycle | InferCall = self.cycle
        if isinstance(cycle, InferCall):
            if not cycle.response_complete:
                cycle.finish()
        else:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """A response is written: go on with the next request. An idle connection is kept as long as its client likes."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.flow.write_paused:
            self._waits_for_client = True
            self.flow.pause_reading()
        else:
            self._go_on()

    def _go_on(self) -> None:
        """The last answer is out: it is the next request's turn."""
        if self._unparsed:
            # Not now: the parser may be at work.
            self.loop.call_soon(self._parse_on)
        elif not self._is_broken:
            self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._is_broken:
            self.send_400_response(_BROKEN)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """Begin a request whose turn has come; uvicorn calls this for its own and for pipelined ones."""
        if self._waits_for_client:
            self.pipeline.appendleft((cycle, app))
            return
        self._current = cycle
        if isinstance(cycle, InferCall):
            cycle.start()
        else:
            super()._start_asgi_task(cycle, app)


class ForwardingProtocol(InferProtocol):
    """A connection whose requests may have headers that are passed on to the model."""

    forward_pattern: Pattern[str]

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.forwarded = None

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, its name as the client wrote it; uvicorn keeps it in lower case only."""
        super().on_header(name, value)
        text = name.decode("latin-1")
        if self.forward_pattern.search(text):
            self.forwarded = [*(self.forwarded or ()), (text, value.decode("utf-8", "replace"))]


def protocol_class(
    core: Core,
    table: ModelTable,
    most_bytes: int = DEFAULT_HTTP_MAX_INPUT_BYTES,
    forward_pattern: str = "",
    expected: Expected | None = None,
    call_class: type[InferCall] = InferCall,
) -> type[InferProtocol]:
    """The protocol class of one frontend, for uvicorn's `http` option; `expected` opens a restricted infer route."""
    bound: dict[str, Any] = {"core": core, "table": table, "most_bytes": most_bytes, "expected": expected}
    bound["call_class"] = call_class
    if not forward_pattern:
        return type("BoundInferProtocol", (InferProtocol,), bound)
    bound["forward_pattern"] = re.compile(forward_pattern, re.IGNORECASE)
    return type("BoundForwardingProtocol", (ForwardingProtocol,), bound)
