"""Calls with one message in and one out."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tis.errors import TisError
from tis.log import get_logger
from tis_frontend.grpc.large_request import LARGE_BYTES, LargeRequest
from tis_frontend.grpc.large_response import LargeResponse
from tis_frontend.grpc.native.call import Call, framed
from tis_frontend.grpc.native.head import Head
from tis_frontend.grpc.native.messages import PREFIX_BYTES, MessageReader, large_size, only_message, prefix
from tis_frontend.grpc.native.status import OPENING, SUCCESS, CallError, Status, opening
from tis_frontend.grpc.status import STATUS
from tis_frontend.http2.stream import Stream

if TYPE_CHECKING:
    from tis_frontend.grpc.native.session import Session

_log = get_logger(__name__)


class UnaryCall(Call):
    """One message in, one out."""

    __slots__ = ("_begin", "_cancel", "_large", "_left", "_message", "_reader", "_size", "_take_large")

    def __init__(
        self,
        session: "Session",
        stream: Stream,
        head: Head,
        begin: "Begin",
        take_large: Callable[[int], LargeRequest] | None = None,
    ) -> None:
        """`take_large`: how to take in large messages bit by bit, for methods that can."""
        super().__init__(session, stream, head)
        self._begin = begin
        self._take_large = take_large
        self._large: LargeRequest | None = None
        #: Bytes of a large message that are still to come.
        self._size = self._left = 0
        self._message: bytes | None = None
        self._reader: MessageReader | None = None
        self._cancel: Callable[[], None] | None = None

    def data(self, view: memoryview) -> None:
        """Bytes have come."""
        if self._large is not None:
            self._feed(self._large, view)
            return
        reader = self._reader
        if reader is None:
            if self._message is None:
                message = only_message(view)
                if message is not None:
                    self.hold(len(message))
                    self._message = message
                    return
                size = large_size(view) if self._take_large is not None else 0
                if size >= LARGE_BYTES:
                    self._begin_large(size, view)
                    return
            reader = self._reader = MessageReader(
                self.head.encoding, most_unpacked_bytes=self.session.most_unpacked_bytes
            )
        for message in reader.feed(view):
            if self._message is not None:
                raise CallError(Status.INTERNAL, "Too many messages for a call that takes one")
            self._message = message
        self.hold(reader.held_bytes + len(self._message or b""))

    def room(self) -> memoryview | None:
        """Where the next bytes go as they are, while a tensor of a large message comes."""
        room = self._large.room() if self._large is not None else None
        return room if room is None else room[: self._left]

    def filled(self, size_bytes: int) -> None:
        """They have been written there."""
        self._left -= size_bytes
        if self._large is not None:
            self._large.filled(size_bytes)

    def _begin_large(self, size: int, view: memoryview) -> None:
        if self._take_large is None:
            return
        try:
            self._large = self._take_large(size)
        except TisError as error:
            raise CallError(STATUS[error.code], error.message) from None
        self._size = self._left = size
        self._feed(self._large, view[PREFIX_BYTES:])

    def _feed(self, large: LargeRequest, view: memoryview) -> None:
        self._left -= len(view)
        if self._left < 0:
            raise CallError(Status.INTERNAL, "Too many messages for a call that takes one")
        try:
            large.feed(view)
        except TisError as error:
            raise CallError(STATUS[error.code], error.message) from None

    def ended(self) -> None:
        """The client sends nothing more: the handler begins."""
        message = self._large or self._message
        if message is None or self._left or not (self._reader is None or self._reader.is_between):
            raise CallError(Status.INTERNAL, "the request ends before its message does")
        self._message = None
        self._reader = None
        self._large = None
        self.hold(0)
        try:
            cancel = self._begin(self, message)
        except TisError as error:
            raise CallError(STATUS[error.code], error.message) from None
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in one call is that call's answer
            _log.exception("a call failed")
            raise CallError(Status.INTERNAL, f"{type(error).__name__}: {error}") from None
        if not self.is_over:
            self._cancel = cancel

    def respond(self, response: bytes | LargeResponse | TisError) -> None:
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
        sending = session.connection.sending
        if isinstance(response, LargeResponse):
            if encoding == "identity":
                pieces = [prefix(response.size_bytes), *response.pieces]
                sending.respond_in_pieces(self.stream, OPENING, pieces, SUCCESS)
                session.flush_soon()
                return
            response = response.joined()
        begin = OPENING if encoding == "identity" else opening(encoding)
        sending.respond(self.stream, begin, framed(response, encoding), SUCCESS)
        session.flush_soon()

    def passed_bytes(self) -> int | None:
        """How much of the message has come."""
        if self.is_over or self.stream.remote_ended:
            return super().passed_bytes()
        if self._large is not None:
            return self._size - self._left
        return self._held_bytes

    def cancel(self) -> None:
        """Nobody waits for the response any more."""
        self.close()
        if self._cancel is not None:
            self._cancel()

    def close(self) -> None:
        """The call is over."""
        super().close()
        if self._large is not None:
            self._large.discard()
            self._large = None


#: Begins to handle a unary call with its message: bytes, or a `LargeRequest` where it takes such. `call.respond` is called
#: once, unless what this gives is called before.
Begin = Callable[[UnaryCall, Any], Callable[[], None]]
