"""Where lines of the log go: the console, a file, or a pipe to the supervisor, which writes the lines of all processes.

None of them ever blocks or fails a process for the sake of its log: what a full disk, a console that nobody reads or a
supervisor that is busy does not take is lost. Lines are lost whole, and how many is told once there is room again.
"""

import contextlib
import os
import select
import stat
from pathlib import Path
from struct import Struct
from typing import Final, Protocol

STDOUT: Final = 1
STDERR: Final = 2

#: What stands before the bytes of a line in a pipe to the supervisor: the stream that it is for, and how many bytes it has.
FRAME: Final = Struct("<BI")

#: What a pipe that polls writable takes without blocking.
_PIECE_BYTES: Final = select.PIPE_BUF
#: How long a console may take to become writable; one that was not is not waited for again until it is.
_PATIENCE_MS: Final = 100
_CLOSING_MS: Final = 200


class Output(Protocol):
    """Takes lines."""

    #: Lines that were lost since the last one that was not.
    lost: int

    def write(self, stream: int, line: bytes) -> None:
        """Write a line or several, meant for standard output or standard error."""

    def close(self) -> None:
        """Take no more."""


class ConsoleOutput:
    """This process's own standard output and standard error."""

    def __init__(self) -> None:
        self.lost = 0

    def write(self, stream: int, line: bytes) -> None:
        """Write all of it, in pieces that cannot block; none of it where the console takes nothing."""
        try:
            if stat.S_ISREG(os.fstat(stream).st_mode):
                _write_all(stream, line)
                return
            poll = select.poll()
            poll.register(stream, select.POLLOUT)
            begun = False
            for start in range(0, len(line), _PIECE_BYTES):
                if not poll.poll(_PATIENCE_MS if begun or not self.lost else 0):
                    self.lost += 1
                    return
                begun = True
                _write_all(stream, line[start : start + _PIECE_BYTES])
        except OSError:
            # A console that is gone is nobody's failure.
            return

    def close(self) -> None:
        """The console stays open."""


class FileOutput:
    """A file, appended to: each line is one write, so that lines of several processes do not mix.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self.lost = 0
        self._torn = False
        self._fd = os.open(Path(path), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def write(self, stream: int, line: bytes) -> None:  # noqa: ARG002 - a file has one stream
        """Append; on a full disk the line is lost."""
        # A line of which the disk took a part is ended before the next one begins.
        whole = b"\n" + line if self._torn else line
        try:
            written = os.write(self._fd, whole)
        except OSError:
            self.lost += 1
            return
        self._torn = written < len(whole)
        self.lost += self._torn

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class PipeOutput:
    """A pipe to the supervisor."""

    def __init__(self, fd: int) -> None:
        self.lost = 0
        self._fd = fd
        #: The rest of a frame of which the pipe took a part.
        self._rest = b""
        os.set_blocking(fd, False)

    def write(self, stream: int, line: bytes) -> None:
        """Send a line, unless the pipe is full."""
        try:
            if self._rest:
                self._rest = self._rest[os.write(self._fd, self._rest) :]
            if self._rest:
                raise BlockingIOError
            frame = FRAME.pack(stream, len(line)) + line
            self._rest = frame[os.write(self._fd, frame) :]
        except OSError:
            self.lost += 1

    def close(self) -> None:
        """The pipe stays open, for there is but one; what it has not taken yet is given another moment."""
        if not self._rest:
            return
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        with contextlib.suppress(OSError):
            while self._rest and poll.poll(_CLOSING_MS):
                self._rest = self._rest[os.write(self._fd, self._rest) :]


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
