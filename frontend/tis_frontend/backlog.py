"""Responses of streams that their clients have not taken yet: how many bytes of them this process holds. For both faces.

Facts: an instance of a decoupled model sends without being asked, and it must not be made to wait for one client that does
not read, since it works for others, too. Its blocks of the pool are given back as soon as a response is rendered, so what
waits are this process's own bytes. Danger: a model with much to say and a client that stops would fill the machine's memory,
as they do in Triton 2.51. Decision: a line that gets too long, of a client that takes nothing, fails with its stream, whose
requests are cancelled. One who reads on a busy machine, only slower than the model responds, may have more waiting. Where
all lines together take too much the longest one fails, whoever adds to it then, so that those who read are not harmed
by those who do not.
"""

import time
from collections.abc import Callable
from typing import Final

from tis.errors import TisError, unavailable
from tis.log import get_logger

#: What may wait in one stream of a decoupled model whose client takes nothing, and in all streams of this process.
MOST_LINE_BYTES: Final = 256 << 20
MOST_BYTES: Final = 1 << 30
#: A client that has taken no response for so long, while there were some, takes nothing.
_STANDSTILL_S: Final = 1.0
#: What a response costs besides its own bytes: the objects that hold it. So many small ones are bounded, too.
EACH_BYTES: Final = 256

_log = get_logger(__name__)


class Line:
    """What waits for one client. `Backlog.line` makes it; whoever has it closes it."""

    __slots__ = ("_backlog", "_fail", "_stands_since_s", "waiting_bytes")

    def __init__(self, backlog: "Backlog", fail: Callable[[TisError], None]) -> None:
        self._backlog = backlog
        self._fail = fail
        #: When the client took something for the last time, or the first one of those that wait came.
        self._stands_since_s = 0.0
        self.waiting_bytes = 0

    def add(self, size_bytes: int, *, bounded: bool) -> None:
        """A response waits. May fail this line or another one; `bounded`: nothing else bounds how many there are."""
        size_bytes += EACH_BYTES
        backlog = self._backlog
        if not self.waiting_bytes:
            self._stands_since_s = backlog.clock()
        self.waiting_bytes += size_bytes
        backlog.waiting_bytes += size_bytes
        too_long = bounded and self.waiting_bytes > backlog.most_line_bytes
        if too_long and backlog.clock() - self._stands_since_s >= _STANDSTILL_S:
            self.fail(backlog.most_line_bytes)
        elif backlog.waiting_bytes > backlog.most_bytes:
            backlog.fail_longest()

    def remove(self, size_bytes: int) -> None:
        """The client has taken it."""
        size_bytes += EACH_BYTES
        self.waiting_bytes -= size_bytes
        self._backlog.waiting_bytes -= size_bytes
        self._stands_since_s = self._backlog.clock()

    def clear(self) -> None:
        """Nothing waits any more."""
        self._backlog.waiting_bytes -= self.waiting_bytes
        self.waiting_bytes = 0

    def close(self) -> None:
        """The stream has ended."""
        self.clear()
        self._backlog.lines.discard(self)

    def fail(self, most_bytes: int) -> None:
        """Give up what waits; the stream ends with an error that says why."""
        waiting_bytes = self.waiting_bytes
        self.clear()
        _log.warning("a stream is given up: %d bytes of responses wait for its client", waiting_bytes)
        text = (
            f"responses are not taken: {waiting_bytes} bytes of them wait for this client, and {most_bytes} may; the rest of "
            "the stream is given up"
        )
        self._fail(unavailable(text))


class Backlog:
    """All lines of this process."""

    def __init__(
        self,
        most_line_bytes: int = MOST_LINE_BYTES,
        most_bytes: int = MOST_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` gives seconds."""
        self.clock: Final = clock
        self.most_line_bytes: Final = most_line_bytes
        self.most_bytes: Final = most_bytes
        self.waiting_bytes = 0
        self.lines: Final[set[Line]] = set()

    def line(self, fail: Callable[[TisError], None]) -> Line:
        """A new line; `fail` is called with the error that its stream ends with, after which nothing is added any more."""
        line = Line(self, fail)
        self.lines.add(line)
        return line

    def fail_longest(self) -> None:
        """Make room at the cost of the one who takes most of it."""
        max(self.lines, key=lambda line: line.waiting_bytes).fail(self.most_bytes)


BACKLOG: Final = Backlog()
