"""A client's end of ZeroMQ's wire protocol, ZMTP 3.1 with the mechanism NULL, on a plain socket.

libzmq sends and receives in a thread of its own, which is woken for each message and wakes the program again: for a small
request that is half of the time. https://rfc.zeromq.org/spec/37 is the specification.
"""

import contextlib
import select
import socket
import time
from collections.abc import Sequence
from typing import Any, Final

from tis.client.errors import ConnectionLostError, RefusedError

_GREETING: Final = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
_READY: Final = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
_PING: Final = b"\x04PING"
_MORE, _LONG, _COMMAND = 1, 2, 4  # flags of a frame
_SHORT_BYTES: Final = 255
_ROOM_BYTES: Final = 64 << 10
#: Frames up to this size are put together, so that they go in one packet.
_JOINED_BYTES: Final = 16 << 10
_RETRY_S: Final = 0.05
#: As a plain number: that of two members of an enumeration would be made anew each time.
_SEND_FLAGS: Final = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


class PlainLine:
    """A connection that is made when it is needed: at the first message, and at the next one after its end."""

    def __init__(self, address: str, connect_timeout_s: float) -> None:
        """For `ipc://PATH` and `tcp://HOST:PORT`."""
        self._address: Final = address
        self._connect_timeout_s: Final = connect_timeout_s
        self._socket: socket.socket | None = None
        self._room: Final = memoryview(bytearray(_ROOM_BYTES))
        #: What has been read and is not used yet.
        self._rest = bytearray()
        self._is_greeted = False
        self._is_ready = False
        #: The frames of the message that is coming in.
        self._frames: list[Any] = []
        self._messages: list[list[Any]] = []

    def send(self, frames: Sequence[Any]) -> None:
        """Send a message.

        Raises:
            ConnectionLostError: nobody is there, or the connection has ended.
        """
        if self._socket is None:
            self._connect()
        pieces: list[Any] = []
        joined = b""
        last = len(frames) - 1
        for at, frame in enumerate(frames):
            size_bytes = memoryview(frame).nbytes
            head = _head(_MORE if at < last else 0, size_bytes)
            if size_bytes <= _JOINED_BYTES:
                joined = b"".join((joined, head, frame))
            else:
                pieces += (joined + head, frame)
                joined = b""
        for piece in (*pieces, joined):
            self._write(memoryview(piece).cast("B"))

    def receive(self, timeout_s: float | None) -> list[Any] | None:
        """The next message, or None where none comes within so many seconds; None: wait for ever.

        Raises:
            ConnectionLostError: the connection has ended.
        """
        end_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._messages:
            if end_s is not None and not self._is_readable(end_s - time.monotonic()):
                return None
            self._read()
        return self._messages.pop(0)

    def close(self) -> None:
        """Disconnect."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._rest.clear()
        self._frames.clear()
        self._messages.clear()
        self._is_greeted = self._is_ready = False

    # ---- the socket ------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        end_s = time.monotonic() + self._connect_timeout_s
        while True:
            try:
                self._socket = _connected(self._address, self._connect_timeout_s)
            except OSError as error:
                if time.monotonic() >= end_s:
                    raise ConnectionLostError(f"no server is at {self._address}: {error.strerror or error}") from None
                time.sleep(_RETRY_S)
            else:
                break
        self._write(memoryview(_GREETING + _head(_COMMAND, len(_READY)) + _READY))
        # A message before the server's READY is an error to libzmq's servers.
        while not self._is_ready:
            if not self._is_readable(end_s - time.monotonic()):
                self.close()
                raise ConnectionLostError(
                    f"what is at {self._address} did not answer within {self._connect_timeout_s:g} s"
                )
            self._read()

    def _is_readable(self, timeout_s: float) -> bool:
        if self._socket is None:
            return True  # and reading says why nothing comes
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(max(0.0, timeout_s) * 1000))

    def _write(self, data: memoryview) -> None:
        while data:
            connected = self._live()
            try:
                data = data[connected.send(data, _SEND_FLAGS) :]
            except BlockingIOError:
                # The server may wait for its answers to be taken before it reads on.
                poll = select.poll()
                poll.register(connected, select.POLLIN | select.POLLOUT)
                if any(events & ~select.POLLOUT for _, events in poll.poll()):
                    self._read()
            except OSError:
                raise self._lost() from None

    def _read(self) -> None:
        connected = self._live()
        try:
            size_bytes = connected.recv_into(self._room)
            if not size_bytes:
                raise self._lost()
            self._rest += self._room[:size_bytes]
            self._parse(connected)
        except OSError:
            raise self._lost() from None

    def _live(self) -> socket.socket:
        if self._socket is None:
            raise self._lost()
        return self._socket

    def _lost(self) -> ConnectionLostError:
        self.close()
        return ConnectionLostError("the connection to the server has ended")

    # ---- frames ----------------------------------------------------------------------------------------------------

    def _parse(self, connected: socket.socket) -> None:
        rest = self._rest
        at = 0
        if not self._is_greeted:
            if len(rest) < len(_GREETING):
                return
            if rest[0] != 0xFF or rest[12:32] != _GREETING[12:32]:
                self.close()
                raise RefusedError("what is at this address does not speak ZeroMQ without keys")
            self._is_greeted = True
            at = len(_GREETING)
        while len(rest) - at >= 2:
            flags = rest[at]
            begin = at + (9 if flags & _LONG else 2)
            if len(rest) < begin:
                break
            size_bytes = int.from_bytes(rest[at + 1 : begin], "big")
            have_bytes = len(rest) - begin
            if have_bytes >= size_bytes:
                frame = rest[begin : begin + size_bytes]
                at = begin + size_bytes
            elif size_bytes > _ROOM_BYTES:
                # The rest of a long one goes to where it stays.
                frame = bytearray(size_bytes)
                frame[:have_bytes] = memoryview(rest)[begin:]
                self._fill(connected, memoryview(frame)[have_bytes:])
                at = len(rest)
            else:
                break
            self._take(flags, frame)
        del rest[:at]

    def _fill(self, connected: socket.socket, room: memoryview) -> None:
        while room:
            size_bytes = connected.recv_into(room)
            if not size_bytes:
                raise self._lost()
            room = room[size_bytes:]

    def _take(self, flags: int, frame: bytearray) -> None:
        if flags & _COMMAND:
            self._is_ready = self._is_ready or frame.startswith(_READY[:6])
            if frame.startswith(_PING):
                answer = b"\x04PONG" + frame[len(_PING) + 2 :]
                self._write(memoryview(_head(_COMMAND, len(answer)) + answer))
            return
        self._frames.append(frame)
        if not flags & _MORE:
            self._messages.append(self._frames)
            self._frames = []


def _head(flags: int, size_bytes: int) -> bytes:
    if size_bytes <= _SHORT_BYTES:
        return bytes((flags, size_bytes))
    return bytes((flags | _LONG,)) + size_bytes.to_bytes(8, "big")


def _connected(address: str, timeout_s: float) -> socket.socket:
    scheme, _, rest = address.partition("://")
    if scheme == "ipc":
        connected = socket.socket(socket.AF_UNIX)
        with contextlib.ExitStack() as stack:
            stack.callback(connected.close)
            connected.connect(rest)
            stack.pop_all()
        return connected
    host, _, port = rest.rpartition(":")
    connected = socket.create_connection((host.strip("[]"), int(port)), timeout_s)
    connected.settimeout(None)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connected
