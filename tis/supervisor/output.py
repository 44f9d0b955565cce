"""What children say: their lines of log, written as they are, and what they print, with their name before each line.

Each child has three pipes: one for its log (see `tis.log_output`), and its standard output and standard error, where models
and libraries print. The supervisor reads them in its loop and alone writes to the console, so that no line is mixed with
another. A pipe holds what a process said before it died, which is read when its end is noticed.
"""

import contextlib
import os
from collections.abc import Callable
from functools import partial
from typing import Final

from tis.log import pass_on, pass_on_output
from tis.log_output import FRAME, STDERR, STDOUT
from tis.supervisor.child import Child
from tis.supervisor.loop import Loop

_READ_BYTES: Final = 64 << 10
_MOST_LAST_READS: Final = 16
#: A line that is longer is written in parts; so is the last one of a process, which may have no end.
_LONGEST_LINE_BYTES: Final = 16 << 10

Take = Callable[[bytes], None]


class LogReader:
    """Frames of lines from a pipe, put together again."""

    def __init__(self) -> None:
        self._held = bytearray()

    def take(self, data: bytes) -> None:
        """More has come."""
        held = self._held
        held += data
        start = 0
        while len(held) - start >= FRAME.size:
            stream, size_bytes = FRAME.unpack_from(held, start)
            end = start + FRAME.size + size_bytes
            if len(held) < end:
                break
            pass_on(stream, bytes(held[start + FRAME.size : end]))
            start = end
        del held[:start]

    def end(self) -> None:
        """Nothing more comes: what there is of a line is written all the same."""
        if len(self._held) > FRAME.size:
            stream, _ = FRAME.unpack_from(self._held)
            pass_on(stream, bytes(self._held[FRAME.size :]) + b"\n")
        self._held.clear()


class PrintReader:
    """Lines that somebody prints."""

    def __init__(self, stream: int, label: str, pid: int) -> None:
        self._stream = stream
        self._label = label
        self._pid = pid
        self._held = b""

    def take(self, data: bytes) -> None:
        """More has come."""
        *lines, rest = (self._held + data).split(b"\n")
        while len(rest) > _LONGEST_LINE_BYTES:
            lines.append(rest[:_LONGEST_LINE_BYTES])
            rest = rest[_LONGEST_LINE_BYTES:]
        self._held = rest
        if lines:
            pass_on_output(self._stream, lines, self._label, self._pid)

    def end(self) -> None:
        """Nothing more comes: a line without an end is one, too."""
        if self._held:
            pass_on_output(self._stream, [self._held], self._label, self._pid)
            self._held = b""


class Outputs:
    """The pipes of all children."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._readers: dict[int, LogReader | PrintReader] = {}

    def add(self, child: Child, label: str) -> None:
        """Read what a child says; `label` stands before what it prints."""
        self._readers[child.log_fd] = LogReader()
        self._readers[child.stdout_fd] = PrintReader(STDOUT, label, child.pid)
        self._readers[child.stderr_fd] = PrintReader(STDERR, label, child.pid)
        for fd in child.output_fds:
            self._loop.add_reader(fd, partial(self._on_readable, fd))

    def finish(self, child: Child) -> None:
        """The child has ended: what it said last is read, no more than its pipes can hold, and they are closed.

        Processes that it has left behind may hold the other ends; they are not waited for.
        """
        for fd in child.output_fds:
            for _ in range(_MOST_LAST_READS):
                if not self._read(fd):
                    break
            self._end(fd)

    def _on_readable(self, fd: int) -> None:
        self._read(fd)

    def _read(self, fd: int) -> bool:
        """Read a piece; False where there is none."""
        reader = self._readers.get(fd)
        if reader is None:
            return False
        data = b""
        with contextlib.suppress(BlockingIOError):
            data = os.read(fd, _READ_BYTES)
            if data:
                reader.take(data)
            else:
                self._end(fd)
        return bool(data)

    def _end(self, fd: int) -> None:
        reader = self._readers.pop(fd, None)
        if reader is not None:
            reader.end()
            self._loop.remove_reader(fd)
            os.close(fd)
