"""Calls with messages in and out, as they come."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from tis.errors import TisError
from tis.log import get_logger
from tis_frontend.grpc.native.call import Call, framed
from tis_frontend.grpc.native.head import Head
from tis_frontend.grpc.native.messages import MessageReader
from tis_frontend.grpc.native.status import OPENING, CallError, Status, opening
from tis_frontend.grpc.status import STATUS
from tis_frontend.http2.stream import Stream

if TYPE_CHECKING:
    from tis_frontend.grpc.native.session import Session

#: Messages of a stream that may wait to be taken; the client gets no more room while there are more.
_MOST_WAITING: Final = 16
#: The same for bytes.
_MOST_WAITING_BYTES: Final = 4 << 20
#: A stream's handler waits at this many bytes until the client has taken them.
_MOST_QUEUED_BYTES: Final = 256 << 10

_log = get_logger(__name__)


class StreamCall(Call):
    """Messages in and out, as they come."""

    __slots__ = (
        "_drained",
        "_encoding",
        "_messages",
        "_news",
        "_read_all",
        "_reader",
        "_received_bytes",
        "_task",
        "_waiting_bytes",
    )

    def __init__(
        self, session: "Session", stream: Stream, head: Head, run: Callable[[Any, Any], Awaitable[None]]
    ) -> None:
        """`run`: a coroutine function over an asynchronous iterator of messages and something to write to."""
        super().__init__(session, stream, head)
        self._messages: deque[bytes] = deque()
        self._reader = MessageReader(head.encoding, most_unpacked_bytes=session.most_unpacked_bytes)
        self._read_all = False
        self._received_bytes = 0
        #: Of messages that wait to be taken.
        self._waiting_bytes = 0
        self._news = asyncio.Event()
        self._drained = asyncio.Event()
        self._encoding = session.encoding_for(head)
        self.has_begun = True
        session.connection.sending.headers(stream, OPENING if self._encoding == "identity" else opening(self._encoding))
        self._task = asyncio.ensure_future(self._run(run))

    async def _run(self, run: Callable[[Any, Any], Awaitable[None]]) -> None:
        try:
            await run(self, self)
        except TisError as error:
            self.session.end(self, STATUS[error.code], error.message)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in one call is that call's answer
            _log.exception("a stream failed")
            self.session.end(self, Status.INTERNAL, f"{type(error).__name__}: {error}")
        else:
            self.session.end(self, Status.OK, "")

    # ---- from the session --------------------------------------------------------------------------------------------

    def data(self, view: memoryview) -> None:
        """Bytes have come."""
        self._received_bytes += len(view)
        for message in self._reader.feed(view):
            self._messages.append(message)
            self._waiting_bytes += len(message)
        self.hold(self._reader.held_bytes + self._waiting_bytes)
        if self._messages:
            self._news.set()
            if len(self._messages) >= _MOST_WAITING or self._waiting_bytes >= _MOST_WAITING_BYTES:
                self.session.connection.hold(self.stream)

    def ended(self) -> None:
        """The client sends nothing more."""
        if not self._reader.is_between:
            raise CallError(Status.INTERNAL, "the stream ends inside a message")
        self._read_all = True
        self._news.set()

    def cancel(self) -> None:
        """The client has gone."""
        self.close()
        self._task.cancel()

    def passed_bytes(self) -> int | None:
        """How much has come while a message is unfinished and there is room for the rest of it."""
        if self.is_over:
            return super().passed_bytes()
        return None if self._reader.is_between or self.stream.is_held else self._received_bytes

    def drained(self) -> None:
        """All that was to be sent so far has been."""
        self._drained.set()

    # ---- for the handler ---------------------------------------------------------------------------------------------

    def __aiter__(self) -> "StreamCall":
        return self

    async def __anext__(self) -> bytes:
        while not self._messages:
            if self._read_all:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        message = self._messages.popleft()
        self._waiting_bytes -= len(message)
        if not self.is_over:
            self.hold(self._reader.held_bytes + self._waiting_bytes)
        if (
            self.stream.is_held
            and len(self._messages) <= _MOST_WAITING // 2
            and self._waiting_bytes <= _MOST_WAITING_BYTES // 2
        ):
            self.session.connection.release(self.stream)
            self.session.flush_soon()
        return message

    @property
    def status(self) -> int:
        """How the call has ended, for the access log."""
        return self.context.status

    def peer(self) -> str:
        """The client's address."""
        return self.context.peer()

    async def write(self, message: bytes) -> None:
        """Send a message; returns when there is room for more."""
        if self.is_over:
            return
        stream = self.stream
        self.session.connection.sending.data(stream, framed(message, self._encoding))
        self.session.flush_soon()
        while stream.queued_bytes > _MOST_QUEUED_BYTES and not self.is_over:
            self._drained.clear()
            await self._drained.wait()
