"""A thread that answers the batch before and prepares the batch after, while the worker's loop computes one.

Facts: between two batches of some milliseconds, answers, the next batch's message and its inputs took half a millisecond, in
which the model did not run: 2.4 % at 21 ms a batch, more on a GPU. Frameworks let go of Python's lock while they compute.
Decision: the loop goes on computing in its own thread, since frameworks tie settings and memory to threads; what lies before
and after it is done by this one. One of both holds `lock` at any time, but for the loop while it computes. Cost: two wake-ups
a batch, some 20 us; so only where batches take long and follow each other without a pause.
"""

import contextlib
import os
import select
import threading
from collections.abc import Callable
from typing import Final

#: Shorter executions are not worth waking a thread for.
WORTH_NS: Final = 2_000_000
_NEWEST_WEIGHT: Final = 0.2


class Overlap:
    """The thread, its lock, and when it pays. Made and used by the loop, which holds the lock from here on."""

    def __init__(self, meanwhile: Callable[[], bool], mailbox_fd: int) -> None:
        """`meanwhile`: does what there is to do; gives whether there could be more once the mailbox is readable."""
        self._meanwhile = meanwhile
        self._mailbox_fd = mailbox_fd
        self._lock = threading.Lock()
        self._lock.acquire()
        self._typical_ns = 0.0
        self._thread: threading.Thread | None = None
        self._begun_fd = -1
        self._stopping = False
        self._error: BaseException | None = None

    @property
    def pays(self) -> bool:
        """True where executions take long enough."""
        return self._typical_ns >= WORTH_NS

    def learn(self, computed_ns: int) -> None:
        """An execution took so long."""
        self._typical_ns += _NEWEST_WEIGHT * (computed_ns - self._typical_ns)

    def during(self, compute: Callable[[], None]) -> None:
        """Let the thread work while this is computed.

        Raises:
            BaseException: what went wrong in the thread, which has ended.
        """
        if self._thread is None:
            self._start()
        os.eventfd_write(self._begun_fd, 1)
        self._lock.release()
        try:
            compute()
        finally:
            self._lock.acquire()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End the thread."""
        if self._thread is None:
            return
        self._stopping = True
        os.eventfd_write(self._begun_fd, 1)
        self._lock.release()
        self._thread.join()
        os.close(self._begun_fd)

    def _start(self) -> None:
        self._begun_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._work, name="overlap", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        with select.epoll() as epoll:
            epoll.register(self._begun_fd, select.EPOLLIN)
            # Once armed it reports once: what comes while nothing is computed is the loop's.
            epoll.register(self._mailbox_fd, select.EPOLLONESHOT)
            while True:
                epoll.poll()
                # Given by `during` only: it may be the computation after the one that something came in.
                with self._lock:
                    if self._stopping:
                        return
                    with contextlib.suppress(BlockingIOError):
                        os.eventfd_read(self._begun_fd)
                    try:
                        more = self._meanwhile()
                    except BaseException as error:  # noqa: BLE001 - the loop raises it
                        self._error = error
                        return
                    if more:
                        epoll.modify(self._mailbox_fd, select.EPOLLIN | select.EPOLLONESHOT)
