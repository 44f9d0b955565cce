"""One stream of a connection: how far each side is, its windows, and what waits to be sent on it. No behaviour."""

from collections import deque
from typing import Any


class Stream:
    """From the peer's HEADERS until both sides have ended it, or one has reset it (RFC 9113, 5.1)."""

    __slots__ = (
        "began_s",
        "call",
        "head_bytes",
        "id",
        "is_held",
        "queue",
        "queued_bytes",
        "receive_window",
        "remote_ended",
        "send_window",
        "uncredited",
    )

    def __init__(
        self, stream_id: int, receive_window: int, send_window: int, began_s: float, head_bytes: int = 0
    ) -> None:
        self.id = stream_id
        self.began_s = began_s
        #: Of the fields of its request.
        self.head_bytes = head_bytes
        self.receive_window = receive_window
        self.send_window = send_window
        #: The peer sends nothing more.
        self.remote_ended = False
        #: The peer gets no more room on this stream, until `Connection.release`.
        self.is_held = False
        #: Bytes received for which the peer has not got room anew.
        self.uncredited = 0
        #: Data that wait for room, then the block of the trailers as the last one, see `Connection`.
        self.queue: deque[tuple[bytes | memoryview, bool]] = deque()
        self.queued_bytes = 0
        #: Whatever the receiver keeps here.
        self.call: Any = None
