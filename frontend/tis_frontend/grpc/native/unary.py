"""Calls with one message in and one out."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tis.errors import TisError
from tis_frontend.grpc.native.call import Call, framed
from tis_frontend.grpc.native.head import Head
from tis_frontend.grpc.native.messages import MessageReader, only_message
from tis_frontend.grpc.native.status import OPENING, SUCCESS, CallError, Status, opening
from tis_frontend.grpc.status import STATUS
from tis_frontend.http2.stream import Stream

if TYPE_CHECKING:
    from tis_frontend.grpc.native.session import Session


class UnaryCall(Call):
    """One message in, one out."""

    __slots__ = ("_begin", "_cancel", "_message", "_reader")

    def __init__(self, session: "Session", stream: Stream, head: Head, begin: "Begin") -> None:
        super().__init__(session, stream, head)
        self._begin = begin
        self._message: bytes | None = None
        self._reader: MessageReader | None = None
        self._cancel: Callable[[], None] | None = None

    def data(self, view: memoryview) -> None:
        """Bytes have come."""
        reader = self._reader
        if reader is None:
            if self._message is None:
                self._message = only_message(view)
                if self._message is not None:
                    return
            reader = self._reader = MessageReader(self.head.encoding)
        for message in self.read(reader, view):
            if self._message is not None:
                raise CallError(Status.INTERNAL, "Too many messages for a call that takes one")
            self._message = message

    def ended(self) -> None:
        """The client sends nothing more: the handler begins."""
        message = self._message
        if message is None or not (self._reader is None or self._reader.is_between):
            raise CallError(Status.INTERNAL, "the request ends before its message does")
        self._message = None
        self._reader = None
        try:
            cancel = self._begin(self, message)
        except TisError as error:
            raise CallError(STATUS[error.code], error.message) from None
        if not self.is_over:
            self._cancel = cancel

    def respond(self, response: bytes | TisError) -> None:
        """The handler has ended."""
        if self.is_over:
            return
        self._cancel = None
        if isinstance(response, TisError):
            self.session.fail(self, STATUS[response.code], response.message)
            return
        self.close()
        session = self.session
        encoding = session.encoding_for(self.head)
        begin = OPENING if encoding == "identity" else opening(encoding)
        session.connection.sending.respond(self.stream, begin, framed(response, encoding), SUCCESS)
        session.flush_soon()

    def cancel(self) -> None:
        """Nobody waits for the response any more."""
        self.close()
        if self._cancel is not None:
            self._cancel()


#: Begins to handle a unary call; `call.respond` is called once unless what this gives is called before.
Begin = Callable[[UnaryCall, bytes], Callable[[], None]]
