"""The connection on which a worker's own requests go to the scheduler. All of it runs under the worker's lock."""

import contextlib
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tis.carrier.zmtp import PushSocket
from tis.contracts import messages as m
from tis.errors import TisError, unavailable

LOST_TEXT: Final = "the scheduler has died and has lost this request; try again"
_PATIENCE_S: Final = 5.0


class SchedulerLine:
    """Connects when something is to be sent, and tells its owner when the scheduler has gone."""

    def __init__(self, path: Path, lost: Callable[[], None]) -> None:
        self._socket = PushSocket(path)
        self._lost = lost
        #: Counts connections: whoever polls `fileno` looks whether it is still the same.
        self.number = 0

    def fileno(self) -> int:
        """Readable when `hear` should be called; -1 while there is no connection."""
        return self._socket.fileno()

    def send(self, message: m.Message) -> None:
        """Send a message.

        Raises:
            TisError: UNAVAILABLE where there is no scheduler, or it does not read.
        """
        if self._socket.fileno() < 0:
            self._socket.connect()
            self.number += 1
        try:
            self._socket.send(m.encode([message]))
            if self._socket.waits:
                self._push()
        except TisError:
            self._drop()
            raise

    def hear(self) -> None:
        """See whether the scheduler is still there."""
        if self._socket.fileno() < 0:
            return
        alive = False
        with contextlib.suppress(TisError):
            alive = self._socket.heard()
        if not alive:
            self._drop()

    def close(self) -> None:
        """Leave."""
        self._socket.disconnect()

    def _push(self) -> None:
        """The scheduler greets, or reads, within microseconds: it waits for nobody."""
        end_s = time.monotonic() + _PATIENCE_S
        while self._socket.waits:
            wanted = select.EPOLLIN | (select.EPOLLOUT if self._socket.blocked else 0)
            poll = select.poll()
            poll.register(self._socket.fileno(), wanted)
            left_s = end_s - time.monotonic()
            events = poll.poll(left_s * 1000) if left_s > 0 else []
            if not events:
                raise unavailable("the scheduler is too far behind; try again")
            if events[0][1] & ~select.EPOLLOUT and not self._socket.heard():
                raise unavailable(LOST_TEXT)
            if self._socket.blocked:
                self._socket.resume()

    def _drop(self) -> None:
        self._socket.disconnect()
        self._lost()
