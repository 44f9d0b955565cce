"""Whole DATA frames of one stream one behind the other, as a large message comes: copied in one go (RFC 9113, 6.1)."""

from typing import Final, TypeVar

from tis_frontend.http2 import frames as f
from tis_frontend.http2 import limits
from tis_frontend.http2.receive_windows import ReceiveWindows
from tis_frontend.http2.receiver import Receiver
from tis_frontend.http2.stream import Stream

_H = TypeVar("_H")

#: Frames smaller than this are taken one by one: they cost the peer its patience.
RUN_FRAME_BYTES: Final = 4 << 10


def take_run(
    view: memoryview, at: int, end: int, stream: Stream, receiver: Receiver[_H], windows: ReceiveWindows
) -> int:
    """Copy payloads to where the receiver wants them, up to the first frame that is anything else or not there as a whole.

    Gives where that frame begins in `view`.
    """
    room = receiver.room(stream)
    if room is None:
        return at
    room = room[: min(stream.receive_window, windows.left)]
    unpack = f.HEAD.unpack_from
    filled, room_bytes, stream_id = 0, len(room), stream.id
    while end - at >= f.HEADER_BYTES:
        high, low, kind, flags, number = unpack(view, at)
        size = high << 8 | low
        start = at + f.HEADER_BYTES
        stop = start + size
        # Compared as it came: a reserved bit that is set is left to who takes frames one by one.
        if kind or flags or number != stream_id or stop > end or not RUN_FRAME_BYTES <= size <= limits.FRAME_BYTES:
            break
        if filled + size > room_bytes:
            break
        room[filled : filled + size] = view[start:stop]
        filled += size
        at = stop
    if filled:
        windows.take(filled)
        stream.receive_window -= filled
        stream.uncredited += filled
        receiver.filled(stream, filled)
        windows.ended(stream)
    return at
