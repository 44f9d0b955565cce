"""What an asyncio client talks through: a transport of its loop, or libzmq where there are keys."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import zmq
import zmq.asyncio

from tis.client.errors import ConnectionLostError, RefusedError
from tis.client.keys import EVENTS, check_refusal, use_keys
from tis.client.lines import is_plain
from tis.client.zmtp import FIRST_WORDS, JOINED_BYTES, Incoming, wire

_RETRY_S: Final = 0.05
_WRITE_HIGH_BYTES: Final = 1 << 20
_ENDED: Final = "the connection to the server has ended"

#: A message has come.
Heard = Callable[[list[Any]], None]
#: The connection has ended, or is refused.
Lost = Callable[[ConnectionLostError], None]


class AsyncLine(Protocol):
    """A connection that comes back by itself."""

    async def send(self, frames: Sequence[Any]) -> None:
        """Send a message; waits while the server takes nothing.

        Raises:
            ConnectionLostError: there is no server.
        """

    def post(self, frames: Sequence[Any]) -> None:
        """Send a small message if there is a connection, without waiting."""

    async def close(self) -> None:
        """Disconnect."""


class AsyncPlainLine:
    """ZeroMQ's wire protocol on a transport: connected when it is needed, and again for the next message after its end."""

    def __init__(self, address: str, connect_timeout_s: float, heard: Heard, lost: Lost) -> None:
        """For `ipc://PATH` and `tcp://HOST:PORT`."""
        self._address: Final = address
        self._connect_timeout_s: Final = connect_timeout_s
        self._heard: Final = heard
        self._lost: Final = lost
        self._connecting: Final = asyncio.Lock()
        self._connection: _Connection | None = None
        self._is_closed = False

    async def send(self, frames: Sequence[Any]) -> None:
        """Send a message; see `AsyncLine`."""
        connection = await self._connected()
        for piece in wire(frames):
            connection.write(piece)
        if connection.room is not None:
            await asyncio.shield(connection.room)

    async def write(self, message: bytes, *, may_wait: bool) -> None:
        """Send a message that is on the wire as it is; otherwise as `send`.

        `may_wait`: others may have something to say in this turn of the loop: it leaves together with that.
        """
        connection = self._connection
        if connection is None or not connection.is_live:
            connection = await self._connected()
        if may_wait and len(message) <= JOINED_BYTES:
            connection.hold(message)
        else:
            connection.write(message)
        if connection.room is not None:
            await asyncio.shield(connection.room)

    def post(self, frames: Sequence[Any]) -> None:
        """Send a small message if there is a connection."""
        if self._connection is not None and self._connection.is_live:
            self._connection.write(b"".join(wire(frames)))

    async def close(self) -> None:
        """Disconnect."""
        self._is_closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.transport.abort()
            await connection.ended

    async def _connected(self) -> "_Connection":
        async with self._connecting:
            if self._is_closed:
                raise ConnectionLostError("the client has been closed")
            if self._connection is None or not self._connection.is_live:
                self._connection = await self._connect()
            return self._connection

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        end_s = loop.time() + self._connect_timeout_s
        connection: _Connection | None = None
        while connection is None:
            try:
                connection = await self._open(loop)
            except OSError as error:
                if loop.time() >= end_s:
                    raise ConnectionLostError(f"no server is at {self._address}: {error.strerror or error}") from None
                await asyncio.sleep(_RETRY_S)
        try:
            async with asyncio.timeout(max(0.0, end_s - loop.time())):
                await asyncio.shield(connection.ready)
        except TimeoutError:
            connection.transport.abort()
            raise ConnectionLostError(
                f"what is at {self._address} did not answer within {self._connect_timeout_s:g} s"
            ) from None
        except BaseException:
            connection.transport.abort()
            raise
        return connection

    async def _open(self, loop: asyncio.AbstractEventLoop) -> "_Connection":
        def make() -> _Connection:
            return _Connection(loop, self._heard, self._lost)

        scheme, _, rest = self._address.partition("://")
        if scheme == "ipc":
            _, connection = await loop.create_unix_connection(make, rest)
            return connection
        host, _, port = rest.rpartition(":")
        _, connection = await loop.create_connection(make, host.strip("[]"), int(port))
        return connection


class _Connection(asyncio.BufferedProtocol):
    """One connection, from its beginning to its end."""

    def __init__(self, loop: asyncio.AbstractEventLoop, heard: Heard, lost: Lost) -> None:
        self._loop: Final = loop
        self._heard: Final = heard
        self._lost: Final = lost
        self._incoming: Final = Incoming()
        self._error = ConnectionLostError(_ENDED)
        self.transport: Any = None
        self.is_live = True
        #: Done once messages may be sent, or never can be.
        self.ready: Final[asyncio.Future[None]] = loop.create_future()
        self.ended: Final[asyncio.Future[None]] = loop.create_future()
        #: Messages that leave at the end of this turn of the loop.
        self._held: list[bytes] = []
        #: There while the server takes nothing; done when it does again.
        self.room: asyncio.Future[None] | None = None

    def connection_made(self, transport: Any) -> None:
        """The server is there."""
        self.transport = transport
        transport.set_write_buffer_limits(high=_WRITE_HIGH_BYTES)
        transport.write(FIRST_WORDS)

    def write(self, data: Any) -> None:
        """Send, behind all that is held."""
        if self._held:
            self._write_held()
        self.transport.write(data)

    def hold(self, message: bytes) -> None:
        """Send at the end of this turn of the loop."""
        if not self._held:
            self._loop.call_soon(self._write_held)
        self._held.append(message)

    def _write_held(self) -> None:
        held, self._held = self._held, []
        if held and self.is_live:
            self.transport.write(b"".join(held))

    def get_buffer(self, _size_hint: int) -> memoryview:
        """Where the next bytes are to go."""
        return self._incoming.room()

    def buffer_updated(self, size: int) -> None:
        """So many have come."""
        incoming = self._incoming
        try:
            incoming.received(size)
        except RefusedError as error:
            self._error = error
            self.transport.abort()
            return
        if incoming.out:
            self.transport.write(incoming.out)
            incoming.out = b""
        if incoming.is_ready and not self.ready.done():
            self.ready.set_result(None)
        messages = incoming.messages
        while messages:
            self._heard(messages.popleft())

    def eof_received(self) -> bool:
        """ZeroMQ knows no half of a connection."""
        return False

    def pause_writing(self) -> None:
        """The server takes nothing at the moment."""
        self.room = self._loop.create_future()

    def resume_writing(self) -> None:
        """It does again."""
        self._let_write()

    def connection_lost(self, _error: Exception | None) -> None:
        """The server has gone, or is not wanted any more."""
        self.is_live = False
        self._let_write()
        if not self.ready.done():
            self.ready.set_exception(self._error)
            # Who waits for it may have given up.
            self.ready.exception()
        else:
            self._lost(self._error)
        self.ended.set_result(None)

    def _let_write(self) -> None:
        room, self.room = self.room, None
        if room is not None and not room.done():
            room.set_result(None)


class AsyncZmqLine:
    """A DEALER of libzmq, encrypted with keys."""

    def __init__(
        self, address: str, key_file: str | None, server_key_file: str | None, heard: Heard, lost: Lost
    ) -> None:
        """Connects in the background.

        Raises:
            OSError, ValueError: a key cannot be read.
        """
        self._heard: Final = heard
        self._lost: Final = lost
        self._context: Final = zmq.asyncio.Context()
        self._socket: Final = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._monitor: Final = self._socket.get_monitor_socket(EVENTS)
        self._posted: set[asyncio.Future[Any]] = set()
        try:
            use_keys(self._socket, key_file, server_key_file)
            self._socket.connect(address)
        except BaseException:
            self._end()
            raise
        self._tasks: Final = [asyncio.ensure_future(self._listen()), asyncio.ensure_future(self._watch())]

    async def send(self, frames: Sequence[Any]) -> None:
        """Send a message, now or once there is a connection."""
        await self._socket.send_multipart(frames)

    def post(self, frames: Sequence[Any]) -> None:
        """The same without waiting."""
        posted = asyncio.ensure_future(self._socket.send_multipart(frames))
        self._posted.add(posted)
        posted.add_done_callback(self._posted.discard)

    async def close(self) -> None:
        """Disconnect."""
        for task in (*self._tasks, *self._posted):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._posted, return_exceptions=True)
        self._end()

    def _end(self) -> None:
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)
        self._context.term()

    async def _listen(self) -> None:
        while True:
            self._heard(await self._socket.recv_multipart())

    async def _watch(self) -> None:
        while True:
            event = await self._monitor.recv_multipart()
            try:
                check_refusal(event)
            except RefusedError as error:
                self._lost(error)
                continue
            # What had come before the end is read first.
            await asyncio.sleep(0)
            self._lost(ConnectionLostError(_ENDED))


def open_async_line(
    address: str,
    connect_timeout_s: float,
    key_file: str | None,
    server_key_file: str | None,
    heard: Heard,
    lost: Lost,
) -> AsyncLine:
    """The line to an address.

    Raises:
        OSError, ValueError: a key cannot be read.
    """
    if is_plain(address, key_file, server_key_file):
        return AsyncPlainLine(address, connect_timeout_s, heard, lost)
    return AsyncZmqLine(address, key_file, server_key_file, heard, lost)
