"""Responses for asyncio: while something is awaited in a loop, that loop reads the worker's mailbox."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from tis_workers.bls.call import Call, Outcome
from tis_workers.bls.caller import Caller


class LoopReader:
    """One asyncio loop that awaits responses. Used in its own thread, but for `wake`."""

    def __init__(self, caller: Caller, loop: asyncio.AbstractEventLoop) -> None:
        self._caller = caller
        self._loop: Final = loop
        self._thread = threading.get_ident()
        self._awaited = 0
        self._line_fd = -1
        self._connection = 0

    def outcome(self, call: Call, convert: Callable[[Outcome], Any]) -> "asyncio.Future[Any]":
        """The next response to a call, as `convert` makes it."""
        future: asyncio.Future[Any] = self._loop.create_future()
        with self._caller.lock:
            if call.outcomes:
                future.set_result(convert(call.outcomes.popleft()))
                return future
            call.wake = partial(self._wake, call, future, convert)
        self._begin()
        future.add_done_callback(partial(self._end, call))
        return future

    def _wake(self, call: Call, future: "asyncio.Future[Any]", convert: Callable[[Outcome], Any]) -> None:
        """There is a response; in any thread, with the lock held."""
        deliver = partial(self._deliver, call, future, convert)
        # A loop that was closed has left its futures behind.
        with contextlib.suppress(RuntimeError):
            if threading.get_ident() == self._thread:
                self._loop.call_soon(deliver)
            else:
                self._loop.call_soon_threadsafe(deliver)

    def _deliver(self, call: Call, future: "asyncio.Future[Any]", convert: Callable[[Outcome], Any]) -> None:
        with self._caller.lock:
            outcome = call.outcomes.popleft() if call.outcomes else None
        if outcome is not None and not future.done():
            future.set_result(convert(outcome))

    def _begin(self) -> None:
        caller = self._caller
        self._awaited += 1
        if self._awaited == 1:
            self._loop.add_reader(caller.mailbox_fd, self._on_mail)
        if self._connection != caller.line.number:
            self._leave_line()
            self._connection = caller.line.number
            self._line_fd = caller.line.fileno()
            if self._line_fd >= 0:
                self._loop.add_reader(self._line_fd, self._on_line)

    def _end(self, call: Call, future: "asyncio.Future[Any]") -> None:
        """A response was delivered, or is not wanted any more."""
        if future.cancelled():
            with self._caller.lock:
                self._caller.abandon(call)
        self._awaited -= 1
        if not self._awaited:
            self._loop.remove_reader(self._caller.mailbox_fd)
            self._leave_line()

    def _leave_line(self) -> None:
        if self._line_fd >= 0:
            with contextlib.suppress(OSError, ValueError):
                self._loop.remove_reader(self._line_fd)
        self._line_fd = -1
        self._connection = 0

    def _on_mail(self) -> None:
        with self._caller.lock:
            self._caller.look()

    def _on_line(self) -> None:
        with self._caller.lock:
            self._caller.line.hear()
            gone = self._caller.line.fileno() < 0
        if gone:
            self._leave_line()


_readers = threading.local()


def reader_of(caller: Caller) -> LoopReader:
    """The reader of the loop that runs in this thread.

    Raises:
        RuntimeError: no loop runs here.
    """
    loop = asyncio.get_running_loop()
    known: tuple[asyncio.AbstractEventLoop, LoopReader] | None = getattr(_readers, "known", None)
    if known is None or known[0] is not loop:
        known = _readers.known = (loop, LoopReader(caller, loop))
    return known[1]
