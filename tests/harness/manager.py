"""A service manager as a server sees systemd: a socket that it is notified on, and listening sockets that it is passed."""

import itertools
import socket
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.harness.server import HOST, Server
from tests.harness.waiting import eventually

_FIRST_FD: Final = 3


class Manager:
    """Hears what one server says, and holds its ports."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tt-")
        self._path = Path(self._folder.name) / "notify"
        self._notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notified.bind(str(self._path))
        self._listening: list[tuple[str, socket.socket]] = []
        #: Everything that has been said, one list of assignments a message.
        self.said: list[list[str]] = []
        self._marks = itertools.count()
        # The kernel keeps ten messages for who does not read.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(self._path))
        self._reader.join(10)
        self._notified.close()
        for _, each in self._listening:
            each.close()
        self._folder.cleanup()

    def listen(self, name: str = "tis.socket", port: int = 0, *, share: bool = False) -> int:
        """Listen on a port for the service; gives the port."""
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(share))
        made.bind((HOST, port))
        made.listen(128)
        self._listening.append((name, made))
        chosen: int = made.getsockname()[1]
        return chosen

    def prepare(self, server: Server, watchdog_s: float = 0.0) -> Server:
        """Let a server that is not started yet be started as systemd starts it."""
        server.environment["NOTIFY_SOCKET"] = str(self._path)
        if watchdog_s:
            server.environment["WATCHDOG_USEC"] = str(int(watchdog_s * 1e6))
        if self._listening:
            server.environment["LISTEN_FDS"] = str(len(self._listening))
            server.environment["LISTEN_FDNAMES"] = ":".join(name for name, _ in self._listening)
            fds = [each.fileno() for _, each in self._listening]
            server.pass_fds = tuple(fds)
            # Moved up first: one of them may already have a number that another is to get.
            high = [f"exec {20 + index}<&{fd}" for index, fd in enumerate(fds)]
            low = [f"exec {_FIRST_FD + index}<&{20 + index} {20 + index}<&-" for index in range(len(fds))]
            server.prefix = ["bash", "-c", "; ".join([*high, *low, 'LISTEN_PID=$$ exec "$@"']), "sh"]
        return server

    def _read(self) -> None:
        while message := self._notified.recv(1 << 16):
            self.said.append(message.decode().split("\n"))

    def count(self, assignment: str) -> int:
        """How often something was said until now, such as WATCHDOG=1."""
        mark = f"MARK={next(self._marks)}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            own.sendto(mark.encode(), str(self._path))
        # Messages keep their order: what was said before has been read when this has.
        eventually(lambda: [mark] in self.said, "what was said is read")
        return sum(assignment in message for message in list(self.said))

    def wait_for(self, assignment: str, times: int = 1, deadline_s: float = 30.0) -> None:
        """Wait until something has been said so often."""
        eventually(lambda: self.count(assignment) >= times, f"{assignment} is said {times} times", deadline_s)
