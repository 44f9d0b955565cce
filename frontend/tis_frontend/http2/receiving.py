"""How much the peer may send: windows of the connection and of streams, and the room that is given anew (RFC 9113, 5.2)."""

from typing import Final

from tis_frontend.http2 import frames as f
from tis_frontend.http2.frames import Error, ProtocolError
from tis_frontend.http2.stream import Stream

#: What a peer may send without being given room anew, on a stream and in all.
STREAM_WINDOW_BYTES: Final = 1 << 20
CONNECTION_WINDOW_BYTES: Final = 16 << 20
#: What is said at the begin of a connection: streams have theirs from the settings.
FIRST_WINDOW: Final = f.window_update(0, CONNECTION_WINDOW_BYTES - f.DEFAULT_WINDOW_BYTES)


class Receiving:
    """The windows of one connection's way in."""

    def __init__(self, out: list[bytes | memoryview]) -> None:
        self._out = out
        self._window = CONNECTION_WINDOW_BYTES
        self._uncredited = 0

    def take(self, size_bytes: int) -> None:
        """Data have come on whatever stream. The connection as a whole gets room at once.

        Raises:
            ProtocolError: there was none.
        """
        self._window -= size_bytes
        if self._window < 0:
            raise ProtocolError(Error.FLOW_CONTROL_ERROR, "more data than the connection has room for (6.9.1)")
        self._uncredited += size_bytes
        if self._uncredited >= CONNECTION_WINDOW_BYTES // 4:
            self._window += self._uncredited
            self._out.append(f.window_update(0, self._uncredited))
            self._uncredited = 0

    def used(self, stream: Stream) -> None:
        """What has come of a stream is used as it comes: give it room when it is worth a frame."""
        if not stream.is_held and stream.uncredited >= STREAM_WINDOW_BYTES // 2:
            self.credit(stream)

    def credit(self, stream: Stream) -> None:
        """Give a stream the room that it has used."""
        stream.receive_window += stream.uncredited
        self._out.append(f.window_update(stream.id, stream.uncredited))
        stream.uncredited = 0
