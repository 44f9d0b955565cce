"""The supervisor's event loop: descriptors, timers, signals, what threads hand over. Knows nothing of what they mean.

Signal handlers only write a byte (Python's wake-up descriptor does it); the work is done in the loop's turn.
"""

import contextlib
import heapq
import select
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Final

Callback = Callable[[], None]

#: What a thread writes to wake the loop: no signal's number.
_HANDED_OVER: Final = b"\0"


class Loop:
    """Calls back when a descriptor is readable, a moment has come, or a signal has arrived."""

    def __init__(self) -> None:
        self._poll: Final = select.epoll()
        self._readers: dict[int, Callback] = {}
        self._timers: list[tuple[float, int, Callback]] = []
        self._order = count()
        self._running = False
        self._on_signal: dict[int, Callback] = {}
        self._handed_over: deque[Callback] = deque()
        self._wake, self._wake_write = socket.socketpair()
        self._wake.setblocking(False)
        self._wake_write.setblocking(False)
        signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        self.add_reader(self._wake.fileno(), self._woken)

    def add_reader(self, fd: int, callback: Callback) -> None:
        """Call back when the descriptor polls readable."""
        self._readers[fd] = callback
        self._poll.register(fd, select.EPOLLIN)

    def remove_reader(self, fd: int) -> None:
        """Stop watching a descriptor; call it before the descriptor is closed."""
        del self._readers[fd]
        self._poll.unregister(fd)

    def later(self, delay_s: float, callback: Callback) -> None:
        """Call back once, after a delay."""
        heapq.heappush(self._timers, (time.monotonic() + delay_s, next(self._order), callback))

    def hand_over(self, callback: Callback) -> None:
        """Call back once, in one of the next turns. The only method that other threads may call."""
        self._handed_over.append(callback)
        # A full buffer wakes the loop as well; a closed one means that there is no loop any more.
        with contextlib.suppress(OSError):
            self._wake_write.send(_HANDED_OVER)

    def on_signal(self, number: signal.Signals, callback: Callback) -> None:
        """Call back, from the loop, after a signal has arrived."""
        self._on_signal[number] = callback
        signal.signal(number, _noted)

    def run(self, every_turn: Callback) -> None:
        """Turn until `stop`. `every_turn` is called after each turn's events."""
        self._running = True
        while self._running:
            timeout_s = max(self._timers[0][0] - time.monotonic(), 0.0) if self._timers else 1.0
            with contextlib.suppress(InterruptedError):
                for fd, _ in self._poll.poll(min(timeout_s, 1.0)):
                    reader = self._readers.get(fd)
                    if reader is not None:
                        reader()
            now_s = time.monotonic()
            while self._timers and self._timers[0][0] <= now_s:
                heapq.heappop(self._timers)[2]()
            every_turn()

    def stop(self) -> None:
        """Return from `run` after this turn."""
        self._running = False

    def close(self) -> None:
        """Give descriptors back. Signals are ignored from here on: cleaning up must not be cut short by one more."""
        for number in self._on_signal:
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        self._wake.close()
        self._wake_write.close()
        self._poll.close()

    def _woken(self) -> None:
        self._signals()
        # Those that come meanwhile have written to wake the loop again.
        for _ in range(len(self._handed_over)):
            self._handed_over.popleft()()

    def _signals(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for number in self._wake.recv(64):
                callback = self._on_signal.get(number)
                if callback is not None:
                    callback()


def _noted(_number: int, _frame: object) -> None:
    """The wake-up descriptor has carried the signal; nothing is done inside a handler."""
