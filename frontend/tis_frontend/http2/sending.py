"""What the peer is sent: frames within its windows, the rest waiting in the streams, which take turns (RFC 9113, 5.2)."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from tis_frontend.http2 import frames as f
from tis_frontend.http2.frames import Error, ProtocolError
from tis_frontend.http2.stream import Stream

#: Frames are not made larger than this even for a peer that takes larger ones: streams take turns by frames.
_MOST_FRAME_BYTES: Final = 64 << 10
#: What a peer gets that dribbles out room for less does not count as data that it may answer (CVE-2019-9511).
_DRIBBLE_BYTES: Final = 1024


class Sending:
    """The way out of one connection."""

    def __init__(self, ended: Callable[[Stream], None], drained: Callable[[Stream], None]) -> None:
        """`ended`: the last frame of a stream has gone out. `drained`: one that had to wait has nothing left to send."""
        self._ended = ended
        self._drained = drained
        #: Bytes to be written, in order. Whoever writes them empties the list.
        self.out: Final[list[bytes | memoryview]] = []
        #: Bytes that wait in all streams.
        self.queued_bytes = 0
        #: The peer takes nothing at the moment: data wait in the streams.
        self.is_paused = False
        #: DATA frames made so far; without those that are small since the peer gave no more room.
        self.data_frames = 0
        self._window = f.DEFAULT_WINDOW_BYTES
        self._stream_window = f.DEFAULT_WINDOW_BYTES
        self._frame_bytes = f.DEFAULT_FRAME_BYTES
        #: Streams with something to send, in the order of their turns.
        self._waiting: dict[int, Stream] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether there is something to send that the peer does not take yet."""
        return bool(self._waiting)

    @property
    def stream_window(self) -> int:
        """The window that a new stream has."""
        return self._stream_window

    # ---- what is to be sent ----------------------------------------------------------------------------------------

    def respond(self, stream: Stream, head: bytes, data: bytes, trailers: bytes) -> None:
        """A whole response: two header blocks with data between them. The stream has ended here."""
        size = len(data)
        if size <= self._frame_bytes and size <= stream.send_window and size <= self._window and not self._must_wait():
            self._window -= size
            stream_id = stream.id
            self.data_frames += 1
            self.out.append(
                b"".join(
                    (
                        f.head(len(head), f.HEADERS, f.END_HEADERS, stream_id),
                        head,
                        f.head(size, f.DATA, 0, stream_id),
                        data,
                        f.head(len(trailers), f.HEADERS, f.END_HEADERS | f.END_STREAM, stream_id),
                        trailers,
                    )
                )
            )
            self._ended(stream)
            return
        self.headers(stream, head)
        self.data(stream, data)
        self.end(stream, trailers)

    def respond_in_pieces(
        self, stream: Stream, head: bytes, pieces: Sequence[bytes | memoryview], trailers: bytes
    ) -> None:
        """A whole response that is not put together: none of the pieces is copied, or referred to once it is written."""
        self.headers(stream, head)
        size = sum(map(len, pieces))
        stream.queue.extend([(memoryview(piece), False) for piece in pieces if len(piece)])
        stream.queued_bytes += size
        self.queued_bytes += size
        self.end(stream, trailers)

    def headers(self, stream: Stream, block: bytes) -> None:
        """The response begins."""
        self.out.append(f.head(len(block), f.HEADERS, f.END_HEADERS, stream.id) + block)

    def data(self, stream: Stream, data: bytes) -> None:
        """Some of it; of an empty one nothing is sent."""
        if not data:
            return
        stream.queue.append((memoryview(data), False))
        stream.queued_bytes += len(data)
        self.queued_bytes += len(data)
        self._queued(stream)

    def end(self, stream: Stream, trailers: bytes) -> None:
        """It ends with this block."""
        stream.queue.append((memoryview(trailers), True))
        self._queued(stream)

    def _must_wait(self) -> bool:
        return self.is_paused or bool(self._waiting)

    def _queued(self, stream: Stream) -> None:
        if stream.id not in self._waiting:
            self._waiting[stream.id] = stream
            if not self.is_paused:
                self._pump([stream])

    # ---- windows ---------------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """The peer takes data again."""
        self.is_paused = False
        self._pump(list(self._waiting.values()))

    def open_connection(self, increment_bytes: int) -> None:
        """The peer has more room in all.

        Raises:
            ProtocolError: more than there may be.
        """
        was_shut = self._window <= 0
        self._window += increment_bytes
        if self._window > f.MOST_WINDOW_BYTES:
            raise ProtocolError(Error.FLOW_CONTROL_ERROR, "the connection's window is too large (6.9.1)")
        # Else streams that wait have no room of their own: there may be many, and a peer may say this often.
        if was_shut:
            self._go_on()

    def open_stream(self, stream: Stream, increment_bytes: int) -> bool:
        """The peer has more room on a stream. False where that is more than there may be."""
        stream.send_window += increment_bytes
        if stream.send_window > f.MOST_WINDOW_BYTES:
            return False
        if stream.queue and not self.is_paused:
            self._pump([stream])
        return True

    def change_stream_windows(self, size_bytes: int, streams: Iterable[Stream]) -> None:
        """The peer's setting of what a stream begins with has changed (6.9.2).

        Raises:
            ProtocolError: more than there may be.
        """
        delta = size_bytes - self._stream_window
        self._stream_window = size_bytes
        for stream in streams:
            stream.send_window += delta
            if stream.send_window > f.MOST_WINDOW_BYTES:
                raise ProtocolError(Error.FLOW_CONTROL_ERROR, "a window is too large (6.9.2)")
        self._go_on()

    def change_frame_size(self, size_bytes: int) -> None:
        """The peer takes frames of this size."""
        self._frame_bytes = min(size_bytes, _MOST_FRAME_BYTES)

    def forget(self, stream: Stream) -> None:
        """Nothing more goes out on a stream."""
        self._waiting.pop(stream.id, None)
        stream.queue.clear()
        self.queued_bytes -= stream.queued_bytes
        stream.queued_bytes = 0

    # ---- sending ---------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        if self._waiting and not self.is_paused:
            self._pump(list(self._waiting.values()))

    def _pump(self, turns: list[Stream]) -> None:
        """Send what fits; each stream a frame at a time, but one that is alone all at once."""
        while len(turns) > 1:
            turns = [stream for stream in turns if self._send_frame(stream)]
        for stream in turns:
            self._send_run(stream)
            while self._send_frame(stream):
                self._send_run(stream)

    def _send_run(self, stream: Stream) -> None:
        """Send as many whole frames as the next piece of a stream has and the windows let through, with one head for all."""
        if not stream.queue:
            return
        piece, is_last = stream.queue[0]
        frame_bytes = self._frame_bytes
        # What does not fill a frame is left to go out together with what follows it.
        size = min(len(piece) - 1, stream.send_window, self._window) // frame_bytes * frame_bytes
        if is_last or size <= 0:
            return
        head = f.head(frame_bytes, f.DATA, 0, stream.id)
        out = self.out
        for at in range(0, size, frame_bytes):
            out.append(head)
            out.append(piece[at : at + frame_bytes])
        self._window -= size
        stream.send_window -= size
        stream.queued_bytes -= size
        self.queued_bytes -= size
        self.data_frames += size // frame_bytes
        stream.queue[0] = (piece[size:], False)

    def _send_frame(self, stream: Stream) -> bool:
        """Send the next frame of a stream, as long as there are data for it. False where it has none, or no room."""
        queue = stream.queue
        if not queue:
            return False
        piece, is_last = queue[0]
        if is_last:
            self.out.extend((f.head(len(piece), f.HEADERS, f.END_HEADERS | f.END_STREAM, stream.id), piece))
            self.forget(stream)
            self._ended(stream)
            return False
        size = min(stream.queued_bytes, self._frame_bytes, stream.send_window, self._window)
        if size <= 0:
            return False
        self._window -= size
        stream.send_window -= size
        stream.queued_bytes -= size
        self.queued_bytes -= size
        # Room that the peer dribbles out earns it nothing.
        self.data_frames += size >= _DRIBBLE_BYTES or not stream.queued_bytes
        out = self.out
        out.append(f.head(size, f.DATA, 0, stream.id))
        while len(piece) <= size:
            out.append(piece)
            size -= len(piece)
            queue.popleft()
            if not size:
                break
            piece = queue[0][0]
        if size:
            out.append(piece[:size])
            queue[0] = (piece[size:], False)
        elif not queue:
            del self._waiting[stream.id]
            self._drained(stream)
        return bool(queue)
