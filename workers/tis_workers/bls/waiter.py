"""A place for one thread to wait at."""

import contextlib
import os
import threading
from typing import Final

from tis.carrier.poller import Poller
from tis_workers.bls.scheduler_line import SchedulerLine

_LOOK_S: Final = 1.0


class Waiter:
    """Waits for messages of others and for being woken."""

    def __init__(self, lock: "threading.Lock", *fds: int) -> None:
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poller = Poller(None, lock)
        for fd in (*fds, self._wake_fd):
            self._poller.watch(fd)
        self._connection = 0

    def wake(self) -> None:
        """End the wait."""
        os.eventfd_write(self._wake_fd, 1)

    def wait(self, line: SchedulerLine) -> list[int]:
        """What polls readable, the own descriptor left out."""
        if line.number != self._connection and line.fileno() >= 0:
            # The one before was closed, which ended its polling.
            self._connection = line.number
            self._poller.watch(line.fileno())
        readable = self._poller.wait(_LOOK_S)
        if self._wake_fd in readable:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wake_fd)
            readable.remove(self._wake_fd)
        return readable
