"""A synchronous client's line without keys: ZeroMQ's wire protocol on a plain socket, for `ipc://` and `tcp://`."""

import contextlib
import select
import socket
import time
from collections.abc import Sequence
from typing import Any, Final

from tis.client.errors import ConnectionLostError, RefusedError
from tis.client.patience import Patience
from tis.client.zmtp import FIRST_WORDS, Incoming, wire

_RETRY_S: Final = 0.05
#: As a plain number: that of two members of an enumeration would be made anew each time.
_SEND_FLAGS: Final = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


class PlainLine:
    """A connection that is made when it is needed: at the first message, and at the next one after its end."""

    def __init__(self, address: str, connect_timeout_s: float, spin_us: int | None = None) -> None:
        """For `ipc://PATH` and `tcp://HOST:PORT`. `spin_us`: see `Patience`."""
        self._address: Final = address
        self._connect_timeout_s: Final = connect_timeout_s
        self._patience: Final = Patience(spin_us)
        self._socket: socket.socket | None = None
        self._poll = select.poll()
        self._incoming = Incoming()

    def send(self, frames: Sequence[Any]) -> None:
        """Send a message.

        Raises:
            ConnectionLostError: nobody is there, or the connection has ended.
        """
        if self._socket is None:
            self._connect()
        for piece in wire(frames):
            self._write(piece)
        self._answer()

    def write(self, message: bytes) -> None:
        """Send a message that is on the wire as it is. Raises as `send`."""
        if self._socket is None:
            self._connect()
        self._write(message)
        self._answer()

    def receive(self, timeout_s: float | None) -> list[Any] | None:
        """The next message, or None where none comes within so many seconds; None: wait for ever.

        Raises:
            ConnectionLostError: the connection has ended.
        """
        messages = self._incoming.messages
        if not messages:
            end_s = None if timeout_s is None else time.monotonic() + timeout_s
            while not messages:
                if not self._wait(end_s):
                    return None
                messages = self._incoming.messages
        return messages.popleft()

    def close(self) -> None:
        """Disconnect."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._incoming = Incoming()

    # ---- the socket ------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        end_s = time.monotonic() + self._connect_timeout_s
        while True:
            try:
                self._socket = connected(self._address, self._connect_timeout_s)
            except OSError as error:
                if time.monotonic() >= end_s:
                    raise ConnectionLostError(f"no server is at {self._address}: {error.strerror or error}") from None
                time.sleep(_RETRY_S)
            else:
                break
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._write(FIRST_WORDS)
        while not self._incoming.is_ready:
            if not self._is_readable(end_s - time.monotonic()):
                self.close()
                raise ConnectionLostError(
                    f"what is at {self._address} did not answer within {self._connect_timeout_s:g} s"
                )
            self._read()
        self._answer()

    def _wait(self, end_s: float | None) -> bool:
        """Read what comes next. False where nothing has come at the end."""
        if self._patience.spin(self._look):
            self._read()
            self._answer()
            return True
        began_ns = time.monotonic_ns()
        if end_s is not None and not self._is_readable(end_s - time.monotonic()):
            return False
        self._read()
        self._patience.slept(time.monotonic_ns() - began_ns)
        self._answer()
        return True

    def _look(self) -> object:
        return self._poll.poll(0)

    def _is_readable(self, timeout_s: float) -> bool:
        # Without a socket reading says why nothing comes.
        return self._socket is None or bool(self._poll.poll(max(0.0, timeout_s) * 1000))

    def _write(self, data: Any) -> None:
        size_bytes = memoryview(data).nbytes
        while True:
            live = self._live()
            try:
                sent_bytes = live.send(data, _SEND_FLAGS)
            except BlockingIOError:
                # The server may wait for its answers to be taken before it reads on.
                poll = select.poll()
                poll.register(live, select.POLLIN | select.POLLOUT)
                if any(events & ~select.POLLOUT for _, events in poll.poll()):
                    self._read()
                continue
            except OSError:
                raise self._lost() from None
            if sent_bytes == size_bytes:
                return
            data = memoryview(data).cast("B")[sent_bytes:]
            size_bytes -= sent_bytes

    def _read(self) -> None:
        live, incoming = self._live(), self._incoming
        try:
            size_bytes = live.recv_into(incoming.room())
        except OSError:
            raise self._lost() from None
        if not size_bytes:
            raise self._lost()
        try:
            incoming.received(size_bytes)
        except RefusedError:
            self.close()
            raise

    def _answer(self) -> None:
        """Answer heartbeats; not in the middle of a message."""
        incoming = self._incoming
        if incoming.out:
            out, incoming.out = incoming.out, b""
            self._write(out)

    def _live(self) -> socket.socket:
        if self._socket is None:
            raise self._lost()
        return self._socket

    def _lost(self) -> ConnectionLostError:
        self.close()
        return ConnectionLostError("the connection to the server has ended")


def connected(address: str, timeout_s: float) -> socket.socket:
    """A blocking socket that is connected to an address.

    Raises:
        OSError: nobody is there.
    """
    scheme, _, rest = address.partition("://")
    if scheme == "ipc":
        made = socket.socket(socket.AF_UNIX)
        with contextlib.ExitStack() as stack:
            stack.callback(made.close)
            made.connect(rest)
            stack.pop_all()
        return made
    host, _, port = rest.rpartition(":")
    made = socket.create_connection((host.strip("[]"), int(port)), timeout_s)
    made.settimeout(None)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made
