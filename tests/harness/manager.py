"""A service manager as a server sees systemd: a socket that it is notified on, and listening sockets that it is passed."""

import itertools
import socket
import struct
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.harness.server import HOST, Server
from tests.harness.waiting import DEADLINE_S, eventually

_FIRST_FD: Final = 3
#: Linux's SO_TIMESTAMPNS, which Python does not name, and what it brings.
_SO_TIMESTAMPNS: Final = 35
_TIMESPEC: Final = struct.Struct("@qq")


class Manager:
    """Hears what one server says, and holds its ports."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tt-")
        self._path = Path(self._folder.name) / "notify"
        self._notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notified.bind(str(self._path))
        self._listening: list[tuple[str, socket.socket]] = []
        # The kernel notes when each message was sent: who reads may be late.
        self._notified.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        #: Everything that has been said, one list of assignments a message.
        self.said: list[list[str]] = []
        #: When each of them was said, in seconds since the epoch.
        self.said_at_s: list[float] = []
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
            above = max(*fds, _FIRST_FD + len(fds)) + 1
            high = [f"exec {above + index}<&{fd}" for index, fd in enumerate(fds)]
            low = [f"exec {_FIRST_FD + index}<&{above + index} {above + index}<&-" for index in range(len(fds))]
            server.prefix = ["bash", "-c", "; ".join([*high, *low, 'LISTEN_PID=$$ exec "$@"']), "sh"]
        return server

    def _read(self) -> None:
        while True:
            message, notes, _, _ = self._notified.recvmsg(1 << 16, socket.CMSG_SPACE(_TIMESPEC.size))
            if not message:
                return
            ((_, _, sent),) = notes
            seconds, nanoseconds = _TIMESPEC.unpack(sent)
            self.said_at_s.append(seconds + nanoseconds / 1e9)
            self.said.append(message.decode().split("\n"))

    def count(self, assignment: str) -> int:
        """How often something was said until now, such as WATCHDOG=1."""
        mark = f"MARK={next(self._marks)}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            own.sendto(mark.encode(), str(self._path))
        # Messages keep their order: what was said before has been read when this has.
        eventually(lambda: [mark] in self.said, "what was said is read")
        return sum(assignment in message for message in list(self.said))

    def between(self, assignment: str, since_s: float, until_s: float) -> int:
        """How often something was said between two times, in seconds since the epoch."""
        self.count(assignment)
        told = list(zip(self.said_at_s, self.said, strict=False))
        return sum(assignment in message and since_s < at_s < until_s for at_s, message in told)

    def wait_for(self, assignment: str, times: int = 1, deadline_s: float = DEADLINE_S) -> None:
        """Wait until something has been said so often."""
        eventually(lambda: self.count(assignment) >= times, f"{assignment} is said {times} times", deadline_s)
