"""What a model's own threads may do beside the worker's loop: send responses, and learn that a client has gone.

The loop and those threads share the slab, the outbox and the control socket, none of which is safe for threads. One lock
guards them all: the loop holds it but while it waits for messages and while a model's code runs. So a thread that sends waits
for microseconds, even during a long `execute`, and its response leaves at once. Handing responses over to the loop would need
copies of them, and would hold them up until `execute` ends. The cost to the loop: taking and giving back a lock that hardly
anybody else wants, 0.1 us a batch.
"""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from tis_workers.request import WorkRequest

if TYPE_CHECKING:
    from tis_workers.bls.caller import Caller


class Loop(Protocol):
    """The worker's loop, as threads meet it. To be called while holding the lock only."""

    def look(self) -> None:
        """Take what has arrived in the mailbox."""

    def sent(self, work: WorkRequest) -> None:
        """Something was posted for a request; it may have been the last."""

    def caller(self) -> "Caller":
        """What asks other models; made at the first use."""


class Backchannel:
    """The lock, and the way into the loop."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._loop: Loop | None = None
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._forgotten: deque[Callable[[], None]] = deque()

    def serve(self, loop: Loop | None) -> None:
        """Connect the loop, or None when it has ended."""
        self._loop = loop

    def caller(self) -> "Caller | None":
        """What asks other models; None while no requests are served. From any thread without the lock."""
        loop = self._loop
        if loop is None:
            return None
        with self.lock:
            return loop.caller()

    def fileno(self) -> int:
        """Readable when the loop should call `settle`."""
        return self._wake_fd

    def wake(self) -> None:
        """Make the loop turn. From anywhere."""
        if self._wake_fd >= 0:
            os.eventfd_write(self._wake_fd, 1)

    def leave(self) -> None:
        """This is a process that the model has forked off: there is no loop here to be woken."""
        os.close(self._wake_fd)
        self._wake_fd = -1

    def settle(self) -> list[Callable[[], None]]:
        """After it polled readable: what to do, with the lock held."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake_fd)
        forgotten = self._forgotten
        return [forgotten.popleft() for _ in range(len(forgotten))]

    def send(self, work: WorkRequest, action: Callable[[], None]) -> None:
        """Do something that posts a response, and see it off. From any thread that does not hold the lock."""
        with self.lock:
            try:
                action()
            finally:
                self.sent(work)

    def sent(self, work: WorkRequest) -> None:
        """Something was posted for a request, with the lock held."""
        if self._loop is not None:
            self._loop.sent(work)

    def is_cancelled(self, work: WorkRequest) -> bool:
        """Whether a request's client has gone, by what has arrived until now. From any thread without the lock."""
        if not work.cancelled and self._loop is not None:
            with self.lock:
                self._loop.look()
        return work.cancelled

    def later(self, action: Callable[[], None]) -> None:
        """Have the loop do something. Safe where the lock may be held already: in a destructor."""
        self._forgotten.append(action)
        self.wake()
