"""How much the peer may still send, in all and on each stream, and how it is given room anew (RFC 9113, 5.2 and 6.9)."""

from tis_frontend.http2 import frames as f
from tis_frontend.http2 import limits
from tis_frontend.http2.frames import Error, ProtocolError
from tis_frontend.http2.stream import Stream


class ReceiveWindows:
    """The connection's window, and what is done to those of its streams."""

    __slots__ = ("_out", "_uncredited", "left")

    def __init__(self, out: list[bytes | memoryview]) -> None:
        """`out`: where window updates go."""
        self._out = out
        self._uncredited = 0
        #: What the peer may send in all before it is given room anew.
        self.left = limits.CONNECTION_WINDOW_BYTES

    def take(self, size: int) -> None:
        """So many bytes of data, padding included, come on some stream.

        Raises:
            ProtocolError: the connection has no room for them.
        """
        self.left -= size
        if self.left < 0:
            raise ProtocolError(Error.FLOW_CONTROL_ERROR, "more data than the connection has room for (6.9.1)")
        self._uncredited += size
        if self._uncredited >= limits.CONNECTION_WINDOW_BYTES // 4:
            self.left += self._uncredited
            self._out.append(f.window_update(0, self._uncredited))
            self._uncredited = 0

    def ended(self, stream: Stream) -> None:
        """A frame has ended behind which the stream goes on: it gets room again where half of it is used up."""
        if not stream.is_held and stream.uncredited >= limits.STREAM_WINDOW_BYTES // 2:
            self.credit(stream)

    def credit(self, stream: Stream) -> None:
        """Give the peer room again for all that has come on a stream."""
        stream.receive_window += stream.uncredited
        self._out.append(f.window_update(stream.id, stream.uncredited))
        stream.uncredited = 0
