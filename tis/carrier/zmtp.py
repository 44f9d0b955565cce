"""ZeroMQ's wire protocol over a Unix stream socket, for the one pattern that the hot path needs: PUSH to PULL.

Frontends push requests to the scheduler over ZeroMQ. libzmq does that with an I/O thread on each side, and on a small
machine each thread that must be woken costs a request tens of microseconds. Speaking the protocol from the caller's own
thread leaves one wake-up, the receiver's. What goes over the socket is ZMTP 3.1 with the NULL mechanism
(https://rfc.zeromq.org/spec/37, section numbers below are of that text), so either end may also be a libzmq socket; the
tests pair each end here with libzmq's.
"""

import socket
from pathlib import Path
from typing import Final

from tis.errors import TisError, unavailable

_GREETING: Final = (
    b"\xff" + b"\x00" * 8 + b"\x7f"  # signature (2.2)
    b"\x03\x01"  # version 3.1
    + b"NULL".ljust(20, b"\x00")  # mechanism
    + b"\x00"  # as-server: not used by NULL
    + b"\x00" * 31  # filler
)
_MORE, _LONG, _COMMAND = 1, 2, 4  # flags of a frame (2.3)
_SHORT_BYTES: Final = 255
_READ_BYTES: Final = 1 << 18
_READS_A_TURN: Final = 16
#: A frame longer than this is no message of ours.
_LONGEST_FRAME_BYTES: Final = 256 << 20
#: What a sender lets pile up when the receiver does not read.
_HIGH_WATER_BYTES: Final = 64 << 20
_BACKLOG: Final = 64


class ZmtpError(Exception):
    """The peer does not speak ZMTP 3 with the NULL mechanism."""


class PushSocket:
    """The sending end. Never blocks; connects by itself when it must.

    Messages follow the handshake: what is sent before the receiver's READY has come waits here.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self._unsent = bytearray()
        self._heard = bytearray()
        self._ready = False

    def fileno(self) -> int:
        """The connected socket; -1 for none. Poll it for reading always, and for writing while `blocked`."""
        return self._socket.fileno() if self._socket else -1

    @property
    def blocked(self) -> bool:
        """True while something waits for the receiver to read: call `resume` when the socket polls writable."""
        return self._ready and bool(self._unsent)

    @property
    def waits(self) -> bool:
        """True while something waits: for the handshake, or for the receiver to read."""
        return bool(self._unsent)

    def connect(self) -> None:
        """Connect and begin the handshake.

        Raises:
            TisError: UNAVAILABLE where nobody listens.
        """
        self.disconnect()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            self._socket.connect(str(self._path))
            # A fresh socket has room for this.
            self._socket.sendall(_GREETING + _ready(b"PUSH"))
        except OSError as error:
            self.disconnect()
            raise _unreachable() from error

    def send(self, message: bytes) -> None:
        """Send a message.

        Raises:
            TisError: UNAVAILABLE while there is no receiver, or while it is too far behind.
        """
        if self._socket is None:
            raise _unreachable()
        if len(self._unsent) > _HIGH_WATER_BYTES:
            raise unavailable("the scheduler is too far behind; try again")
        frame = _frame_head(len(message), 0) + message
        if self._unsent or not self._ready:
            self._unsent += frame
        else:
            self._write(frame)

    def heard(self) -> bool:
        """The socket polls readable: go on with the handshake. False where the receiver has gone."""
        if self._socket is None:
            return False
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if not data:
            self.disconnect()
            return False
        if not self._ready:
            self._heard += data
            at = len(_GREETING)
            self._ready = len(self._heard) >= at + 2 and len(self._heard) >= at + 2 + self._heard[at + 1]
            if self._ready:
                self.resume()
        return True

    def resume(self) -> None:
        """Go on with what waits.

        Raises:
            TisError: UNAVAILABLE where the receiver has gone; what waited is lost.
        """
        waiting, self._unsent = bytes(self._unsent), bytearray()
        self._write(waiting)

    def disconnect(self) -> None:
        """Drop the connection and what waits."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._ready = False
        self._heard.clear()
        self._unsent.clear()

    def _write(self, data: bytes) -> None:
        if self._socket is None:
            raise _unreachable()
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self.disconnect()
            raise _unreachable() from error
        if sent < len(data):
            self._unsent += memoryview(data)[sent:]


class PullConnection:
    """One sender as the receiving end sees it."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._socket.setblocking(False)
        #: The beginning of a frame whose end has not come yet.
        self._rest = b""
        self._greeted = False
        # Small enough for any socket buffer, so that it cannot block on a fresh connection.
        self._socket.sendall(_GREETING + _ready(b"PULL"))

    def fileno(self) -> int:
        """For polling."""
        return self._socket.fileno()

    def receive(self, room: memoryview) -> tuple[list[bytes], bool]:
        """The messages that have arrived, read through `room`, and whether the sender is still there.

        Raises:
            ZmtpError: the sender does not speak the protocol; close the connection.
        """
        messages: list[bytes] = []
        for _ in range(_READS_A_TURN):
            try:
                size_bytes = self._socket.recv_into(room)
            except BlockingIOError:
                break
            except OSError:
                size_bytes = 0
            if not size_bytes:
                return messages, False
            data = bytes(room[:size_bytes])
            self._take(self._rest + data if self._rest else data, messages)
            if size_bytes < len(room):
                break
        return messages, True

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _take(self, data: bytes, messages: list[bytes]) -> None:
        """Append the whole messages in `data` and keep the rest."""
        at = 0
        size = len(data)
        if not self._greeted:
            if size < len(_GREETING):
                self._rest = data
                return
            _check_greeting(data)
            self._greeted = True
            at = len(_GREETING)
        whole_at = at
        parts: list[bytes] = []
        while size - at >= 2:
            flags = data[at]
            head_bytes = 9 if flags & _LONG else 2
            if size - at < head_bytes:
                break
            body_bytes = int.from_bytes(data[at + 1 : at + 9], "big") if flags & _LONG else data[at + 1]
            if body_bytes > _LONGEST_FRAME_BYTES:
                raise ZmtpError(f"a frame of {body_bytes} bytes")
            end = at + head_bytes + body_bytes
            if end > size:
                break
            at = end
            if flags & _COMMAND:
                whole_at = at
                continue
            parts.append(data[end - body_bytes : end])
            if not flags & _MORE:
                messages.append(parts[0] if len(parts) == 1 else b"".join(parts))
                parts.clear()
                whole_at = at
        self._rest = data[whole_at:]


class PullSocket:
    """The receiving end: listens, and knows its senders by file descriptor."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._listener.bind(str(path))
        self._listener.listen(_BACKLOG)
        self._connections: dict[int, PullConnection] = {}
        self._room = memoryview(bytearray(_READ_BYTES))

    def fileno(self) -> int:
        """The listening socket: when it polls readable, call `accept`."""
        return self._listener.fileno()

    def accept(self) -> int | None:
        """Take a new sender in; returns its descriptor, to be polled, or None where it has gone again."""
        try:
            connected, _ = self._listener.accept()
        except OSError:
            return None
        try:
            connection = PullConnection(connected)
        except OSError:
            connected.close()
            return None
        self._connections[connection.fileno()] = connection
        return connection.fileno()

    def receive(self, fd: int) -> list[bytes]:
        """Messages of a sender whose descriptor polled readable. One that has gone is closed (which ends its polling)."""
        connection = self._connections.get(fd)
        if connection is None:
            return []
        try:
            received, alive = connection.receive(self._room)
        except ZmtpError:
            received, alive = [], False
        if not alive:
            del self._connections[fd]
            connection.close()
        return received

    def close(self) -> None:
        """Close everything."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
        self._listener.close()
        self._path.unlink(missing_ok=True)


def _frame_head(body_bytes: int, flags: int) -> bytes:
    if body_bytes <= _SHORT_BYTES:
        return bytes((flags, body_bytes))
    return bytes((flags | _LONG,)) + body_bytes.to_bytes(8, "big")


def _ready(socket_type: bytes) -> bytes:
    """The READY command of the NULL mechanism with its one required property (3.1)."""
    name, key = b"\x05READY", b"\x0bSocket-Type"
    body = name + key + len(socket_type).to_bytes(4, "big") + socket_type
    return _frame_head(len(body), _COMMAND) + body


def _check_greeting(greeting: bytes) -> None:
    if greeting[0] != 0xFF or not greeting[9] & 1 or greeting[10] < 3 or not greeting[12:32].startswith(b"NULL\x00"):
        raise ZmtpError("not a ZMTP 3 greeting with the NULL mechanism")


def _unreachable() -> TisError:
    return unavailable("the scheduler is not reachable at the moment; try again")
