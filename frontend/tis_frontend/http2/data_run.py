"""Whole DATA frames of one stream one behind the other, as a large message comes: copied in one go (RFC 9113, 6.1)."""

from typing import Final

from tis_frontend.http2 import frames as f
from tis_frontend.http2 import limits

#: Frames smaller than this are taken one by one: they cost the peer its patience.
RUN_FRAME_BYTES: Final = 4 << 10


def take_run(view: memoryview, at: int, end: int, stream_id: int, room: memoryview) -> tuple[int, int]:
    """Copy payloads into `room`, as many as fit, up to the first frame that is anything else or not there as a whole.

    Gives where that frame begins in `view`, and how many bytes have been copied.
    """
    unpack = f.HEAD.unpack_from
    filled, size_bytes = 0, len(room)
    while end - at >= f.HEADER_BYTES:
        high, low, kind, flags, number = unpack(view, at)
        size = high << 8 | low
        start = at + f.HEADER_BYTES
        stop = start + size
        # Compared as it came: a reserved bit that is set is left to who takes frames one by one.
        if kind or flags or number != stream_id or stop > end or not RUN_FRAME_BYTES <= size <= limits.FRAME_BYTES:
            break
        if filled + size > size_bytes:
            break
        room[filled : filled + size] = view[start:stop]
        filled += size
        at = stop
    return at, filled
