"""uvicorn's HTTP protocol with the infer route taken out before an ASGI request is built.

Everything but POST on an infer route goes to uvicorn and Starlette unchanged. For infer calls this saves the task, the
scope and the events of an ASGI cycle (about half of the time that a small request takes in the frontend), puts the body
into shared memory as it arrives, and writes a response straight from there.
"""

import asyncio
import re
from collections.abc import Callable
from re import Pattern
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from tis.contracts.inference import Answer
from tis.settings import DEFAULT_HTTP_MAX_INPUT_BYTES
from tis_frontend.core import Core
from tis_frontend.http.infer_call import InferCall
from tis_frontend.model_table import ModelTable
from tis_frontend.restriction import Expected

#: Digits of a version that are read; so many are out of range in any case.
_MOST_DIGITS: Final = 40
#: Beyond every body: how far an exchange is when its response has been taken.
_FAR_BYTES: Final = 1 << 50
_INFER_ROUTE: Final = re.compile(rb"/v2/models/([^/?]+)(?:/versions/([0-9]{1,99}))?/infer(?:\?.*)?")


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

    # ---- the connection --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        stream = cast("asyncio.Transport", transport)
        # With no room for what the socket does not take, the transport says when the last byte has left: only then
        # may a block that it writes from be released.
        stream.set_write_buffer_limits(high=0)
        super().connection_made(stream)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone; calls that wait for an answer are cancelled."""
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
        """How far an infer call's body has come, or its response has gone, see `tis_frontend.stalls`."""
        if self._unsent:
            return _FAR_BYTES - self.transport.get_write_buffer_size()
        call = self._current
        return call.received_bytes if isinstance(call, InferCall) and call.more_body else None

    def give_up(self) -> None:
        """The client has stopped in the middle of either."""
        self.transport.abort()

    # ---- the parser ------------------------------------------------------------------------------------------------

    def on_headers_complete(self) -> None:
        """Make an infer call of an infer request; leave the others to uvicorn."""
        route = _INFER_ROUTE.fullmatch(self.url) if self.parser.get_method() == b"POST" and not self.stopping else None
        if route is None or self.parser.should_upgrade() or (self.expected is not None and not self._is_opened()):
            super().on_headers_complete()
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
            self._current = call
            call.start()
        else:
            # Answers leave in the order of the requests: the call waits until the one before it is done.
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _is_opened(self) -> bool:
        """True where the request brings the header that a restricted infer route asks for."""
        return self.expected is None or self.expected.met_by_one_of(self.headers)

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        cycle: RequestResponseCycle | InferCall = self.cycle
        if isinstance(cycle, InferCall):
            if not cycle.response_complete:
                cycle.feed(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A body has ended."""
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
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """Begin a request whose turn has come; uvicorn calls this for its own and for pipelined ones."""
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
) -> Callable[..., asyncio.Protocol]:
    """The protocol class of one frontend, for uvicorn's `http` option; `expected` opens a restricted infer route."""
    bound: dict[str, Any] = {"core": core, "table": table, "most_bytes": most_bytes, "expected": expected}
    bound["call_class"] = call_class
    if not forward_pattern:
        return type("BoundInferProtocol", (InferProtocol,), bound)
    bound["forward_pattern"] = re.compile(forward_pattern, re.IGNORECASE)
    return type("BoundForwardingProtocol", (ForwardingProtocol,), bound)
