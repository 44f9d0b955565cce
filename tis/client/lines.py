"""What a synchronous client talks through: a plain socket, or libzmq where there are keys."""

import time
from collections.abc import Sequence
from typing import Any, Final, Protocol

import zmq

from tis.client.errors import ConnectionLostError
from tis.client.keys import EVENTS, check_refusal, use_keys
from tis.client.plain_line import PlainLine


class Line(Protocol):
    """A connection that comes back by itself."""

    def send(self, frames: Sequence[Any]) -> None:
        """Send a message.

        Raises:
            ConnectionLostError: there is no server.
        """

    def receive(self, timeout_s: float | None) -> list[Any] | None:
        """The next message, or None where none comes within so many seconds; None: wait for ever.

        Raises:
            ConnectionLostError: the connection has ended.
        """

    def close(self) -> None:
        """Disconnect."""


class ZmqLine:
    """A DEALER of libzmq, encrypted with keys."""

    def __init__(self, address: str, key_file: str | None, server_key_file: str | None) -> None:
        """Connects in the background.

        Raises:
            OSError, ValueError: a key cannot be read.
        """
        self._context: Final[zmq.Context[zmq.Socket[bytes]]] = zmq.Context()
        self._socket: Final = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._monitor: Final = self._socket.get_monitor_socket(EVENTS)
        self._poller: Final = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        #: The first connection may take several attempts.
        self._has_heard = False
        try:
            use_keys(self._socket, key_file, server_key_file)
            self._socket.connect(address)
        except BaseException:
            self.close()
            raise

    def send(self, frames: Sequence[Any]) -> None:
        """Send a message, now or once there is a connection."""
        self._socket.send_multipart(frames)

    def receive(self, timeout_s: float | None) -> list[Any] | None:
        """The next message; see `Line`."""
        end_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_ms = None if end_s is None else max(0, int((end_s - time.monotonic()) * 1000) + 1)
            events = dict(self._poller.poll(left_ms))
            if self._socket in events:
                self._has_heard = True
                return self._socket.recv_multipart()
            if self._monitor in events:
                check_refusal(self._monitor.recv_multipart())
                if self._has_heard and not self._socket.poll(0):
                    self._has_heard = False
                    raise ConnectionLostError("the connection to the server has ended")
            elif not events and end_s is not None and time.monotonic() >= end_s:
                return None

    def close(self) -> None:
        """Disconnect."""
        if not self._socket.closed:
            self._socket.disable_monitor()
            self._monitor.close(0)
            self._socket.close(0)
            self._context.term()


def is_plain(address: str, key_file: str | None, server_key_file: str | None) -> bool:
    """True where a client speaks ZeroMQ's wire protocol itself."""
    return key_file is None and server_key_file is None and address.startswith(("ipc://", "tcp://"))


def open_line(
    address: str, connect_timeout_s: float, key_file: str | None, server_key_file: str | None, spin_us: int | None
) -> Line:
    """The line to an address.

    Raises:
        OSError, ValueError: a key cannot be read.
    """
    if is_plain(address, key_file, server_key_file):
        return PlainLine(address, connect_timeout_s, spin_us)
    return ZmqLine(address, key_file, server_key_file)
