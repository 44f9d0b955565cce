"""The server's side of one HTTP/2 connection: bytes in, calls of a receiver and bytes out (RFC 9113). No sockets, no clock.

Receiving is strict where the protocol says that an error ends the connection, and lenient towards frames of streams that
have ended here: the peer may not know yet. Priorities are ignored (5.3.2), nothing is pushed, and no header is compressed
on the way out.
"""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from tis_frontend.http2 import control_frames as control
from tis_frontend.http2 import frames as f
from tis_frontend.http2 import limits, patience
from tis_frontend.http2.block_frames import Block, BlockFrames
from tis_frontend.http2.data_frame import DataFrame
from tis_frontend.http2.data_run import take_run
from tis_frontend.http2.frames import Error, ProtocolError
from tis_frontend.http2.headers import Fields, HeaderBlocks
from tis_frontend.http2.patience import Patience
from tis_frontend.http2.receive_windows import ReceiveWindows
from tis_frontend.http2.receiver import Receiver
from tis_frontend.http2.sending import Sending
from tis_frontend.http2.stream import Stream

_H = TypeVar("_H")


class Connection(Generic[_H]):
    """The state of one connection."""

    def __init__(self, receiver: Receiver[_H], read_head: Callable[[Fields], _H | None], now_s: float) -> None:
        """`read_head` makes what is wanted of a request's header fields; None where the request is malformed (8.1.1)."""
        self._receiver = receiver
        self._blocks = HeaderBlocks(read_head, limits.MOST_HEADER_BYTES)
        self._patience = Patience(now_s)
        self._now_s = now_s
        #: Open streams, and the newest that the peer has begun.
        self.streams: Final[dict[int, Stream]] = {}
        self._last_stream = 0
        self.sending: Final = Sending(self._sent, receiver.drained)
        #: Bytes to be written, in order. Whoever writes them empties the list.
        self.out: Final = self.sending.out
        self.out.extend((limits.OUR_SETTINGS, limits.OUR_WINDOW))
        #: Nothing more can be received or sent but what is in `out`.
        self.is_over = False
        self._draining = False
        #: Streams beyond this are not taken any more.
        self._most_stream = f.MOST_WINDOW_BYTES
        # What the peer's bytes are in the middle of.
        self._rest = f.PREFACE[:0]
        self._greeted = False
        #: The peer has begun as HTTP/2 wants it, with the preface and its settings (3.4).
        self.has_greeted = False
        self._data_frame = DataFrame()
        self._block_frames = BlockFrames(limits.MOST_BLOCK_BYTES)
        self._windows = ReceiveWindows(self.out)
        self._data_frames = self._open_header_bytes = 0
        self._takers: Final[dict[int, Callable[[int, int, memoryview], None]]] = {
            f.HEADERS: self._on_headers,
            f.PRIORITY: self._on_priority,
            f.RST_STREAM: self._on_reset,
            f.SETTINGS: self._on_settings,
            f.PUSH_PROMISE: control.refuse_push,
            f.PING: self._on_ping,
            f.GOAWAY: self._on_goaway,
            f.WINDOW_UPDATE: self._on_window_update,
            f.CONTINUATION: self._on_continuation,
        }

    def receive(self, data: bytes | memoryview, now_s: float) -> None:
        """Bytes have come; a mistake of the peer ends the connection: `is_over`, with the reason in `out`."""
        if self.is_over:
            return
        self._now_s = now_s
        try:
            self._receive(self._rest + data if self._rest else data)
        except ProtocolError as error:
            self.close(error.code, error.text)

    def _receive(self, data: bytes | memoryview) -> None:
        end = len(data)
        at = 0
        if not self._greeted:
            at = control.read_preface(data)
            if not at:
                self._rest = bytes(data)
                return
            self._greeted = True
        view = memoryview(data)
        unpack = f.HEAD.unpack_from
        frame = self._data_frame
        while not self.is_over:
            if frame.left or frame.padding:
                at = self._take_data(view, at, end)
                if frame.left or frame.padding:
                    break
            if end - at < f.HEADER_BYTES:
                break
            high, low, kind, flags, stream_id = unpack(data, at)
            size = high << 8 | low
            stream_id &= f.MOST_WINDOW_BYTES
            if size > limits.FRAME_BYTES:
                raise ProtocolError(Error.FRAME_SIZE_ERROR, f"a frame of {size} bytes; {limits.FRAME_BYTES} may be")
            if kind == f.DATA and self.has_greeted and not self._block_frames.is_under_way:
                behind = self._take_whole(view, at, end, size, flags, stream_id) if flags <= f.END_STREAM else at
                if behind > at:
                    at = behind
                    continue
                if flags & f.PADDED and end - at == f.HEADER_BYTES:
                    break
                at = self._begin_data(data, at + f.HEADER_BYTES, size, flags, stream_id)
                continue
            if end - at - f.HEADER_BYTES < size:
                break
            at += f.HEADER_BYTES
            self._take_frame(kind, flags, stream_id, view[at : at + size])
            at += size
        self._rest = bytes(data[at:]) if at < end else b""

    def _take_frame(self, kind: int, flags: int, stream_id: int, payload: memoryview) -> None:
        if self._block_frames.is_under_way and kind != f.CONTINUATION:
            raise ProtocolError(Error.PROTOCOL_ERROR, "a header block is interrupted (6.10)")
        if not self.has_greeted and (kind != f.SETTINGS or flags & f.ACK):
            raise ProtocolError(Error.PROTOCOL_ERROR, "the first frame is not SETTINGS (3.4)")
        taker = self._takers.get(kind)
        if taker is not None:
            taker(flags, stream_id, payload)
        else:
            self._spend(1.0)  # Unknown kinds are ignored (5.5).

    def _spend(self, cost: float) -> None:
        sent = self.sending.data_frames
        if sent != self._data_frames:
            self._patience.earn((sent - self._data_frames) * patience.EARNED)
            self._data_frames = sent
        if not self._patience.spend(cost, self._now_s):
            raise ProtocolError(Error.ENHANCE_YOUR_CALM, "too many frames that bring no work")

    def _take_whole(self, view: memoryview, at: int, end: int, size: int, flags: int, stream_id: int) -> int:
        """Take a frame that is there as a whole, or a run of such; gives where the next one begins, or `at` for none."""
        stream = self.streams.get(stream_id)
        if stream is None or stream.remote_ended or not size:
            return at
        if not flags and (behind := take_run(view, at, end, stream, self._receiver, self._windows)) > at:
            return behind
        behind = at + f.HEADER_BYTES + size
        if behind > end or size > stream.receive_window:
            return at
        self._windows.take(size)
        stream.receive_window -= size
        stream.uncredited += size
        self._receiver.data(stream, view[behind - size : behind])
        self._end_data(stream, ends=bool(flags))
        return behind

    def _begin_data(self, data: bytes | memoryview, at: int, size: int, flags: int, stream_id: int) -> int:
        self._windows.take(size)
        stream = self.streams.get(stream_id)
        if stream is None:
            if not stream_id & 1 or stream_id > self._last_stream:
                raise ProtocolError(Error.PROTOCOL_ERROR, f"data on stream {stream_id}, which is idle (5.1)")
            self._spend(1.0 if size < patience.SMALL_DATA_BYTES else patience.LATE_DATA_COST)
        elif stream.remote_ended:
            self._fail(stream, Error.STREAM_CLOSED)
            stream = None
        else:
            stream.receive_window -= size
            if stream.receive_window < 0:
                self._fail(stream, Error.FLOW_CONTROL_ERROR)
                stream = None
        if not size:
            self._spend(0.0 if flags & f.END_STREAM else 1.0)
        frame = self._data_frame
        at = frame.begin(data, at, size, flags)
        if flags & f.PADDED:
            self._spend(1.0)
        frame.stream = stream
        if stream is not None:
            stream.uncredited += size
        if not frame.is_open:
            self._end_data(frame.stream, ends=frame.ends)
        return at

    def _take_data(self, view: memoryview, at: int, end: int) -> int:
        frame = self._data_frame
        if frame.left and end > at:
            stop = min(at + frame.left, end)
            frame.left -= stop - at
            if (stream := frame.stream) is not None and stream.id in self.streams:
                self._receiver.data(stream, view[at:stop])
            at = stop
        if frame.padding and not frame.left:
            at = frame.skip_padding(at, end)
        if not frame.is_open:
            self._end_data(frame.stream, ends=frame.ends)
        return at

    def _end_data(self, stream: Stream | None, *, ends: bool) -> None:
        if stream is None or stream.id not in self.streams:
            return
        if ends:
            stream.remote_ended = True
            self._receiver.ended(stream)
        else:
            self._windows.ended(stream)

    def hold(self, stream: Stream) -> None:
        """Give the peer no more room on a stream for now: what has come of it is not used yet."""
        stream.is_held = True

    def release(self, stream: Stream) -> None:
        """Give the peer room on a stream again."""
        stream.is_held = False
        if stream.uncredited and not stream.remote_ended and stream.id in self.streams:
            self._windows.credit(stream)

    def _on_headers(self, flags: int, stream_id: int, payload: memoryview) -> None:
        block = self._block_frames.begin(flags, stream_id, payload)
        if block is not None:
            self._take_block(block)

    def _on_continuation(self, flags: int, stream_id: int, payload: memoryview) -> None:
        self._spend(patience.CONTINUATION_COST)
        block = self._block_frames.go_on(flags, stream_id, payload)
        if block is not None:
            self._take_block(block)

    def _take_block(self, block: Block) -> None:
        stream_id, data, ends = block
        head, head_bytes = self._blocks.decode(data)
        stream = self.streams.get(stream_id)
        if stream is not None:
            self._take_trailers(stream, ends=ends)
            return
        if stream_id <= self._last_stream:
            self._spend(patience.RESET_COST)  # It has ended here, which the peer may not know yet.
            return
        self._last_stream = stream_id
        if stream_id > self._most_stream:
            return
        header_bytes = self._open_header_bytes + head_bytes
        is_full = len(self.streams) >= limits.MOST_STREAMS or header_bytes > limits.MOST_OPEN_HEADER_BYTES
        if is_full or head is None:
            self._spend(patience.RESET_COST)
            self.out.append(f.reset(stream_id, Error.REFUSED_STREAM if is_full else Error.PROTOCOL_ERROR))
            return
        self._open_header_bytes = header_bytes
        window = self.sending.stream_window
        stream = self.streams[stream_id] = Stream(
            stream_id, limits.STREAM_WINDOW_BYTES, window, self._now_s, head_bytes
        )
        self._receiver.began(stream, head)
        if ends and stream_id in self.streams:
            stream.remote_ended = True
            self._receiver.ended(stream)

    def _take_trailers(self, stream: Stream, *, ends: bool) -> None:
        if stream.remote_ended:
            self._fail(stream, Error.STREAM_CLOSED)
        elif not ends:
            self._fail(stream, Error.PROTOCOL_ERROR)  # Headers in the middle of a request (8.1).
        else:
            stream.remote_ended = True
            self._receiver.ended(stream)

    def _on_priority(self, _flags: int, stream_id: int, payload: memoryview) -> None:
        control.check_priority(stream_id)
        self._spend(1.0)
        stream = self.streams.get(stream_id)
        if len(payload) != limits.PRIORITY_BYTES and stream is not None:
            self._fail(stream, Error.FRAME_SIZE_ERROR)

    def _on_reset(self, _flags: int, stream_id: int, payload: memoryview) -> None:
        control.check_reset(stream_id, self._last_stream, payload)
        stream = self.streams.get(stream_id)
        is_young = stream is not None and self._now_s - stream.began_s < patience.YOUNG_S
        self._spend(patience.RESET_COST if is_young else 1.0)
        if stream is not None:
            self._drop(stream)
            self._receiver.aborted(stream)
            stream.call = None
            self._end_if_drained()

    def _on_settings(self, flags: int, stream_id: int, payload: memoryview) -> None:
        values = control.read_settings(flags, stream_id, payload)
        self._spend(1.0 + len(payload) / f.SETTING.size)
        if values is None:
            return
        self.has_greeted = True
        # First this: the room that they give may be used only behind it (6.5.3).
        self.out.append(f.SETTINGS_ACK)
        # A repeated setting's last value holds; the earlier ones are not worth a walk over all streams.
        for name, value in dict(values).items():
            if name == f.INITIAL_WINDOW_SIZE:
                self._spend(len(self.streams) / patience.STREAMS_A_FRAME)
                self.sending.change_stream_windows(value, self.streams.values())
            elif name == f.MAX_FRAME_SIZE:
                self.sending.change_frame_size(value)

    def _on_ping(self, flags: int, stream_id: int, payload: memoryview) -> None:
        data = control.read_ping(stream_id, payload)
        self._spend(1.0)
        if not flags & f.ACK:
            self.out.append(f.ping(data, ack=True))
            self._receiver.pinged(self._now_s)
        elif data == limits.DRAIN_PING and self._draining:
            # What the peer has begun before it read of the drain has come.
            self.refuse_streams()
        else:
            self._receiver.ponged()

    def _on_goaway(self, _flags: int, stream_id: int, payload: memoryview) -> None:
        control.check_goaway(stream_id, payload)
        self._spend(1.0)  # The peer closes when it has its answers.

    def _on_window_update(self, _flags: int, stream_id: int, payload: memoryview) -> None:
        increment = control.read_window_update(stream_id, self._last_stream, payload)
        self._spend(1.0)
        if not stream_id:
            self.sending.open_connection(increment)
            return
        stream = self.streams.get(stream_id)
        if stream is None:
            return
        if not increment:
            self._fail(stream, Error.PROTOCOL_ERROR)
        elif not self.sending.open_stream(stream, increment):
            self._fail(stream, Error.FLOW_CONTROL_ERROR)

    def _sent(self, stream: Stream) -> None:
        """The response of a stream has gone out. A request that has not come to its end is of no use any more (8.1)."""
        if self.streams.pop(stream.id, None) is not None:
            self._open_header_bytes -= stream.head_bytes
        # The two point at each other, which only a search for cycles would free.
        stream.call = None
        if not stream.remote_ended:
            self._patience.earn(1.0)  # The peer may answer this with a reset of its own.
            self.out.append(f.reset(stream.id, Error.NO_ERROR))
        self._end_if_drained()

    def abort(self, stream: Stream, code: Error) -> None:
        """End a stream without a response."""
        if self._drop(stream):
            self.out.append(f.reset(stream.id, code))

    def _fail(self, stream: Stream, code: Error) -> None:
        """The peer has broken the protocol on a stream (5.4.2)."""
        self._spend(patience.RESET_COST)
        self.abort(stream, code)
        self._receiver.aborted(stream)
        stream.call = None
        self._end_if_drained()

    def _drop(self, stream: Stream) -> bool:
        self.sending.forget(stream)
        was_open = self.streams.pop(stream.id, None) is not None
        self._open_header_bytes -= stream.head_bytes if was_open else 0
        return was_open

    def drain(self) -> None:
        """Take no new streams, once the peer has heard of it: those that it begins until then are served (6.8)."""
        if not self._draining and not self.is_over:
            self._draining = True
            self.out.extend((f.goaway(f.MOST_WINDOW_BYTES, Error.NO_ERROR), f.ping(limits.DRAIN_PING, ack=False)))

    def refuse_streams(self) -> None:
        """Take no new streams from now on; when those that there are have ended, so has the connection."""
        if self._most_stream == f.MOST_WINDOW_BYTES and not self.is_over:
            self._draining = True
            self._most_stream = self._last_stream
            self.out.append(f.goaway(self._last_stream, Error.NO_ERROR))
            self._end_if_drained()

    def _end_if_drained(self) -> None:
        if not self.streams and self._most_stream != f.MOST_WINDOW_BYTES:
            self.is_over = True

    @property
    def is_inside(self) -> bool:
        """Whether the peer is in the midst of what is looked at only when it has come whole."""
        return bool(self._rest) or self._block_frames.is_under_way

    def ping(self) -> None:
        """Ask the peer for a sign of life."""
        self.out.append(f.ping(bytes(8), ack=False))

    def close(self, code: Error, text: str = "") -> None:
        """End the connection and all that runs on it."""
        if self.is_over:
            return
        self.out.append(f.goaway(self._last_stream, code, text))
        self.lost()

    def lost(self) -> None:
        """The connection is gone."""
        self.is_over = True
        for stream in list(self.streams.values()):
            self._drop(stream)
            self._receiver.aborted(stream)
            stream.call = None
