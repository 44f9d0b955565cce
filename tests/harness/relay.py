"""A relay between a client and a server that counts the bytes that the server sends."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

from tests.harness.server import HOST

_PIECE_BYTES = 1 << 16


class Relay:
    """Takes one connection after another, on a port of its own."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listening = socket.create_server((HOST, 0))
        self.address = f"{HOST}:{self._listening.getsockname()[1]}"
        #: Bytes from the server to clients.
        self.received_bytes = 0
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def close(self) -> None:
        self._shut(self._listening)
        for each in self._sockets:
            self._shut(each)
        for thread in self._threads:
            thread.join(10)

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection((HOST, self._server_port))
                self._sockets += [client, server]
                self._start(lambda client=client, server=server: self._copy(client, server, counted=False))  # type: ignore[misc]
                self._start(lambda client=client, server=server: self._copy(server, client, counted=True))  # type: ignore[misc]

    def _copy(self, source: socket.socket, target: socket.socket, *, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_PIECE_BYTES):
                if counted:
                    self.received_bytes += len(data)
                target.sendall(data)
        self._shut(target)

    @staticmethod
    def _shut(end: socket.socket) -> None:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


@contextlib.contextmanager
def relay_to(server_port: int) -> Iterator[Relay]:
    """A relay that ends with the block."""
    made = Relay(server_port)
    try:
        yield made
    finally:
        made.close()
