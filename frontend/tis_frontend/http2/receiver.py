"""What a connection tells whoever serves its requests."""

from typing import Protocol, TypeVar

from tis_frontend.http2.stream import Stream

_H_contra = TypeVar("_H_contra", contravariant=True)


class Receiver(Protocol[_H_contra]):
    """Called from within `Connection.receive`, in the order of the peer's frames."""

    def began(self, stream: Stream, head: _H_contra) -> None:
        """A request has begun."""

    def data(self, stream: Stream, data: memoryview) -> None:
        """Bytes of it have come; they must be copied or used at once."""

    def room(self, stream: Stream) -> memoryview | None:
        """Where the next bytes of it go as they are, and how many of them; None where `data` has to see them."""

    def filled(self, stream: Stream, size_bytes: int) -> None:
        """So many bytes have been written there, instead of a call of `data`."""

    def ended(self, stream: Stream) -> None:
        """All of it has come."""

    def aborted(self, stream: Stream) -> None:
        """The peer does not want it any more, or has broken the protocol on it, or the connection is over."""

    def drained(self, stream: Stream) -> None:
        """All that was to be sent on it so far has been."""

    def pinged(self, now_s: float) -> None:
        """The peer has sent a ping, which has been answered."""

    def ponged(self) -> None:
        """The peer has answered a ping."""
