"""One client's connection: bytes between a socket and the HTTP/2 state machine, and calls begun as requests come.

Everything that is sent in one turn of the event loop goes out in one write. While the client takes nothing, data wait in
their streams, and the client is not read from either once answers to its control frames pile up.
"""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

from tis.log import get_logger
from tis_frontend.doors import DOORS
from tis_frontend.grpc.native.call import FAR_BYTES, Call
from tis_frontend.grpc.native.compression import chosen
from tis_frontend.grpc.native.connections import Connections
from tis_frontend.grpc.native.head import Head, read_head
from tis_frontend.grpc.native.methods import Methods
from tis_frontend.grpc.native.pings import Pings
from tis_frontend.grpc.native.status import NOT_GRPC, SUCCESS, CallError, Status, trailers, trailers_only
from tis_frontend.grpc.native.times import Times
from tis_frontend.grpc.stream import STOPPING
from tis_frontend.http2.connection import Connection
from tis_frontend.http2.frames import Error
from tis_frontend.http2.stream import Stream
from tis_frontend.stalls import Exchange

#: Of all connections: what is read into it is used before the event loop turns.
_BUFFER: Final = memoryview(bytearray(256 << 10))
_JOINED_BYTES: Final = 64 << 10
_WRITE_HIGH_BYTES: Final = 1 << 20
#: A client that takes nothing is not read from any more when so much more than that waits: answers to control frames.
_MOST_PILED_BYTES: Final = 128 << 10
#: A connection that is over is cut off if the client does not take the last bytes.
_LINGER_S: Final = 5.0

_log = get_logger(__name__)


class Session(asyncio.BufferedProtocol):
    """An asyncio protocol, and what its connection tells."""

    def __init__(self, methods: Methods, times: Times, connections: Connections) -> None:
        self._methods = methods
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._flushing = False
        self._is_reading = True
        self._cut: asyncio.TimerHandle | None = None
        self.began_s: Final = self._loop.time()
        self._received_bytes = 0
        self._pings: Pings = times.pings()
        self._times = times.of(self)
        self.client = ""
        self.connection: Final[Connection[Head]] = Connection(self, read_head, self.began_s)

    # ---- from the socket -------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """A client has connected."""
        if not DOORS.enter("gRPC"):
            transport.abort()
            return
        self._transport = transport
        transport.set_write_buffer_limits(high=_WRITE_HIGH_BYTES)
        self.client = _named(transport.get_extra_info("peername"))
        self._connections.add(self)
        self._times.begin()
        self.flush()

    def get_buffer(self, _size_hint: int) -> memoryview:
        """Where the next bytes are to go."""
        return _BUFFER

    def buffer_updated(self, size: int) -> None:
        """So many have come."""
        connection = self.connection
        now_s = self._loop.time()
        self._received_bytes += size
        self._times.heard(now_s)
        connection.receive(_BUFFER[:size], now_s)
        if connection.out or connection.is_over:
            self.flush()

    def pause_writing(self) -> None:
        """The client takes nothing at the moment."""
        self.connection.sending.is_paused = True

    def resume_writing(self) -> None:
        """It does again."""
        self.connection.sending.resume()
        if not self._is_reading:
            self._is_reading = True
            self._transport.resume_reading()
        self.flush()

    def connection_lost(self, _error: Exception | None) -> None:
        """The client has gone."""
        if self._transport is not None:
            DOORS.leave("gRPC")
        self._connections.discard(self)
        self._times.end()
        if self._cut is not None:
            self._cut.cancel()
        self.connection.lost()
        self.connection.out.clear()
        self._transport = None

    # ---- to the socket ---------------------------------------------------------------------------------------------

    def flush_soon(self) -> None:
        """Write at the end of this turn of the loop what is to be sent."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what is to be sent."""
        self._flushing = False
        out = self.connection.out
        transport = self._transport
        if transport is None:
            return
        if len(out) == 1:
            transport.write(out[0])
        elif out:
            if sum(map(len, out)) <= _JOINED_BYTES:
                transport.write(b"".join(out))
            else:
                transport.writelines(out)
        out.clear()
        if self.connection.is_over:
            if self._cut is None:
                transport.close()
                self._linger(transport.get_write_buffer_size())
        elif (
            self.connection.sending.is_paused
            and self._is_reading
            and transport.get_write_buffer_size() > _WRITE_HIGH_BYTES + _MOST_PILED_BYTES
        ):
            self._is_reading = False
            transport.pause_reading()

    def _linger(self, waiting_bytes: int) -> None:
        """Leave the client some time to take the last bytes, for as long as it goes on taking them."""
        self._cut = self._loop.call_later(_LINGER_S, self._cut_off, waiting_bytes)

    def _cut_off(self, waited_bytes: int) -> None:
        if self._transport is None:
            return
        waiting_bytes = self._transport.get_write_buffer_size()
        if waiting_bytes < waited_bytes:
            self._linger(waiting_bytes)
        else:
            self._transport.abort()

    def drain(self) -> None:
        """Take no more calls; those that have begun go on."""
        self.connection.drain()
        self.flush()

    def refuse_calls(self) -> None:
        """Take no more calls from now on."""
        self.connection.refuse_streams()
        self.flush()

    def dismiss(self) -> None:
        """End all calls that still run: the server stops."""
        for stream in list(self.connection.streams.values()):
            call: Call | None = stream.call
            if call is not None and not call.is_over:
                call.cancel()
                self.fail(call, Status.UNAVAILABLE, STOPPING)

    def close(self) -> None:
        """End the connection and what runs on it."""
        self.connection.close(Error.NO_ERROR)
        self.flush()

    # ---- from the connection ---------------------------------------------------------------------------------------

    def began(self, stream: Stream, head: Head) -> None:
        """A call begins."""
        if not head.is_grpc:
            stream.call = Call(self, stream, head)
            self.connection.sending.end(stream, NOT_GRPC)
            return
        try:
            call: Call = self._methods.open(self, stream, head)
        except CallError as error:
            call = stream.call = Call(self, stream, head)
            self.fail(call, error.status, error.text)
            return
        stream.call = call
        if head.timeout_s is not None:
            call.timer = self._loop.call_later(head.timeout_s, self._expire, call)

    def data(self, stream: Stream, data: memoryview) -> None:
        """Bytes of a call have come."""
        call: Call = stream.call
        if call.is_over:
            return
        try:
            call.data(data)
        except CallError as error:
            self._refuse(call, error)

    def room(self, stream: Stream) -> memoryview | None:
        """Where the next bytes of a call go as they are."""
        call: Call = stream.call
        return None if call.is_over else call.room()

    def filled(self, stream: Stream, size_bytes: int) -> None:
        """They have been written there."""
        call: Call = stream.call
        call.filled(size_bytes)

    def ended(self, stream: Stream) -> None:
        """All of a call has come."""
        call: Call = stream.call
        if call.is_over:
            return
        try:
            call.ended()
        except CallError as error:
            self._refuse(call, error)

    def aborted(self, stream: Stream) -> None:
        """The client does not want it any more."""
        call: Call | None = stream.call
        if call is not None and not call.is_over:
            call.context.status = Status.CANCELLED
            call.cancel()

    def drained(self, stream: Stream) -> None:
        """All that was to be sent on a stream so far has been."""
        call: Call = stream.call
        call.drained()

    def pinged(self, now_s: float) -> None:
        """The client has sent a ping."""
        if self._pings.is_too_many(
            now_s, sent=self.connection.sending.data_frames, has_calls=bool(self.connection.streams)
        ):
            _log.debug("%s pings too often and is sent away", self.client)
            self.connection.close(Error.ENHANCE_YOUR_CALM, "too_many_pings")

    def ponged(self) -> None:
        """The client has answered a ping."""
        self._times.ponged()

    # ---- the end of calls --------------------------------------------------------------------------------------------

    @property
    def most_unpacked_bytes(self) -> int:
        """How large a compressed message may become."""
        return self._methods.most_unpacked_bytes

    def encoding_for(self, head: Head) -> str:
        """How responses to a call are compressed."""
        level = self._methods.compression
        return "identity" if level == "none" else chosen(level, head.accepts)

    def fail(self, call: Call, status: int, text: str) -> None:
        """End a call with an error."""
        call.context.status = status
        self.end(call, status, text)

    def end(self, call: Call, status: int, text: str) -> None:
        """End a call with a status after what it has sent."""
        if call.stream.id not in self.connection.streams:
            return
        ending = SUCCESS if not status else trailers(status, text)
        block = ending if call.has_begun else trailers_only(status, text)
        call.close()
        self.connection.sending.end(call.stream, block)
        self.flush_soon()

    def passed_bytes(self) -> int | None:
        """How much the client has taken, while it takes less than there is; or sent, while it is inside of a frame.

        See `tis_frontend.stalls`.
        """
        if self._transport is None:
            return None
        if not self.connection.sending.is_paused:
            return self._received_bytes if self.connection.is_inside and self.connection.has_greeted else None
        return FAR_BYTES - int(self._transport.get_write_buffer_size())

    def exchanges(self) -> Iterator[Exchange]:
        """What may stall: the calls of this connection, and itself where its client reads nothing."""
        yield self
        for stream in self.connection.streams.values():
            if stream.call is not None:
                yield stream.call

    @property
    def unsent_bytes(self) -> int:
        """What waits for the client to take it."""
        waiting = self.connection.sending.queued_bytes
        return waiting if self._transport is None else waiting + self._transport.get_write_buffer_size()

    def give_up(self) -> None:
        """The client has stopped reading, or in the middle of a frame."""
        if self._transport is not None:
            self._transport.abort()

    def give_up_call(self, call: Call) -> None:
        """The client has stopped in the middle of a call."""
        if call.is_over:
            # Of its response: the rest of it is not sent any more.
            self.connection.abort(call.stream, Error.CANCEL)
            self.flush()
        else:
            call.cancel()
            self.fail(call, Status.CANCELLED, "The rest of the message has not come in time")

    def send_away(self, text: str) -> None:
        """The client asks for more than it may."""
        self.connection.close(Error.ENHANCE_YOUR_CALM, text)
        self.flush()

    def _refuse(self, call: Call, error: CallError) -> None:
        """What came of a call is wrong."""
        call.cancel()
        self.fail(call, error.status, error.text)

    def _expire(self, call: Call) -> None:
        if not call.is_over:
            call.cancel()
            self.fail(call, Status.DEADLINE_EXCEEDED, "Deadline Exceeded")


def _named(address: Any) -> str:
    """A client's address in gRPC's form."""
    if not isinstance(address, tuple):
        return "unix:"
    host, port = address[:2]
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"
