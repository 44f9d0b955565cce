"""HEADERS and CONTINUATION frames put together to header blocks (RFC 9113, 6.2 and 6.10). Knows no streams' states."""

from typing import NamedTuple

from tis_frontend.http2 import frames as f
from tis_frontend.http2.frames import Error, ProtocolError


class Block(NamedTuple):
    """A header block that is complete, and whether the request ends with it."""

    stream_id: int
    data: bytes
    ends: bool


class BlockFrames:
    """At most one block is under way at a time."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._data: bytearray | None = None
        self._stream_id = 0
        self._ends = False

    @property
    def is_under_way(self) -> bool:
        """Whether a block has begun and not ended: nothing else may come."""
        return self._data is not None

    def begin(self, flags: int, stream_id: int, payload: memoryview) -> Block | None:
        """A HEADERS frame; gives the block if it is complete.

        Raises:
            ProtocolError: it is none.
        """
        if not stream_id & 1:
            raise ProtocolError(Error.PROTOCOL_ERROR, f"headers on stream {stream_id} (5.1.1)")
        start, stop = 0, len(payload)
        if flags & f.PADDED:
            if not stop:
                raise ProtocolError(Error.FRAME_SIZE_ERROR, "a padded frame without the length of its padding (6.2)")
            start = 1
            stop -= payload[0]
        if flags & f.HAS_PRIORITY:
            start += 5
        if start > stop:
            raise ProtocolError(Error.PROTOCOL_ERROR, "more padding or priority than the frame is long (6.2)")
        ends = bool(flags & f.END_STREAM)
        if flags & f.END_HEADERS:
            return Block(stream_id, bytes(payload[start:stop]), ends)
        self._data = bytearray(payload[start:stop])
        self._stream_id = stream_id
        self._ends = ends
        return None

    def go_on(self, flags: int, stream_id: int, payload: memoryview) -> Block | None:
        """A CONTINUATION frame; gives the block if it is complete.

        Raises:
            ProtocolError: nothing is under way on this stream, or too much.
        """
        data = self._data
        if data is None or stream_id != self._stream_id:
            raise ProtocolError(Error.PROTOCOL_ERROR, f"a continuation on stream {stream_id} of nothing (6.10)")
        data += payload
        if len(data) > self._most_bytes:
            raise ProtocolError(Error.ENHANCE_YOUR_CALM, "the header block is too long")
        if not flags & f.END_HEADERS:
            return None
        self._data = None
        return Block(stream_id, bytes(data), self._ends)
