"""A call on a stream: what all calls have in common. No sockets."""

import asyncio
from typing import TYPE_CHECKING, Final

from tis_frontend.grpc.native.budget import BUDGET
from tis_frontend.grpc.native.compression import compressed
from tis_frontend.grpc.native.head import Head, Metadata
from tis_frontend.grpc.native.messages import prefixed
from tis_frontend.grpc.native.status import CallError, Status
from tis_frontend.http2.stream import Stream

if TYPE_CHECKING:
    from tis_frontend.grpc.native.session import Session


#: Beyond every request: how far an exchange is when its response has been taken.
FAR_BYTES: Final = 1 << 50


class Context:
    """What is known of a call besides its messages."""

    __slots__ = ("_client", "metadata", "status")

    def __init__(self, client: str, metadata: Metadata) -> None:
        self._client = client
        self.metadata: Final = metadata
        #: How the call has ended.
        self.status: int = Status.OK

    def peer(self) -> str:
        """The client's address."""
        return self._client


class Call:
    """A call that has been refused: what still comes of it is not read. The others go on from here."""

    __slots__ = ("_context", "_held_bytes", "has_begun", "head", "is_over", "session", "stream", "timer")

    def __init__(self, session: "Session", stream: Stream, head: Head) -> None:
        self.session = session
        self.stream = stream
        self.head = head
        self.is_over = False
        self.timer: asyncio.TimerHandle | None = None
        #: The response has begun.
        self.has_begun = False
        self._context: Context | None = None
        self._held_bytes = 0

    @property
    def context(self) -> Context:
        """What is known of the call besides its messages; most calls end without anybody asking."""
        if self._context is None:
            self._context = Context(self.session.client, self.head.metadata)
        return self._context

    def hold(self, size_bytes: int) -> None:
        """The call holds so many bytes of messages from now on, instead of what it has held.

        Raises:
            CallError: there is no room for more.
        """
        if size_bytes != self._held_bytes:
            if not BUDGET.take(size_bytes - self._held_bytes):
                raise CallError(Status.RESOURCE_EXHAUSTED, "too many bytes of unfinished requests; try again")
            self._held_bytes = size_bytes

    def close(self) -> None:
        """The call is over: nothing is sent any more."""
        self.is_over = True
        if self.timer is not None:
            self.timer.cancel()
        if self._held_bytes:
            BUDGET.give(self._held_bytes)
            self._held_bytes = 0

    def data(self, view: memoryview) -> None:
        """Bytes have come.

        Raises:
            CallError: they are no messages.
        """

    def room(self) -> memoryview | None:
        """Where the next bytes go as they are; None where `data` has to see them."""
        return None

    def filled(self, size_bytes: int) -> None:
        """So many bytes have been written to `room`."""

    def ended(self) -> None:
        """The client sends nothing more.

        Raises:
            CallError: something is missing.
        """

    def cancel(self) -> None:
        """Nobody waits for the response any more."""
        self.close()

    def drained(self) -> None:
        """All that was to be sent so far has been."""

    # ---- clients that stop in the middle, see `tis_frontend.stalls` ---------------------------------------------------

    def passed_bytes(self) -> int | None:
        """How far a response that nothing follows has been taken; it is in memory until it is."""
        waiting = self.stream.queued_bytes
        return FAR_BYTES - waiting if self.is_over and waiting else None

    def give_up(self) -> None:
        """The client has stopped in the middle of its message or of the response."""
        self.session.give_up_call(self)


def framed(message: bytes, encoding: str) -> bytes:
    """A message as it travels; where responses are compressed it is not if that would make it longer."""
    if encoding == "identity":
        return prefixed(message)
    data = compressed(message, encoding)
    return prefixed(data, is_compressed=True) if len(data) < len(message) else prefixed(message)
