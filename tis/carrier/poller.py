"""Waiting: what has become readable, which slow peers can be written to again, and how to wait without falling asleep.

Facts: a process that sleeps in epoll on an otherwise idle core lets the core halt; waking it costs 25 to 50 us on a virtual
machine, and what it runs next finds its caches cold, which made the same code three times as slow here. A request crosses
three processes, each of which waits some hundred microseconds for the next one. Decision: after work, look again for a
moment before sleeping, and give the core away between two looks, so that nothing that could run is kept from it. How long
is learnt as KVM's halt polling learns it: longer when a sleep turned out short, shorter when it turned out long. Cost: an
idle core stays awake between requests that follow each other within `--spin-us`; nothing on a busy machine, nothing on a
server with little to do.
"""

import os
import select
import threading
import time
from typing import Final

from tis.carrier.datagram import Outbox
from tis.carrier.spin import Spin, most_spin_ns

#: Of this process, see `configure`.
_most_ns = most_spin_ns(-1)


def configure(spin_us: int) -> None:
    """How long this process's pollers look again at most, see `tis.carrier.spin`; for those that are made from now on."""
    global _most_ns
    _most_ns = most_spin_ns(spin_us)


class Poller:
    """The epoll of a process that has one outbox. Not for asyncio's processes, whose loop does the waiting.

    Without an outbox: of a thread beside the one that sees to it.
    """

    def __init__(self, outbox: Outbox | None, lock: "threading.Lock | None" = None) -> None:
        self._outbox = outbox
        #: Held by whoever calls `wait`, and given away while there is nothing to do.
        self._lock = lock
        self._epoll: Final = select.epoll()
        #: Peers by the descriptors that are polled for writing.
        self._for_writing: dict[int, object] = {}
        self._spin: Final = Spin(_most_ns)
        #: Nothing was there when `wait` began, and it waited.
        self.waited = False
        #: The same, and one descriptor ended it: there is most likely just one packet.
        self.woken_by_one = False

    def watch(self, fd: int) -> None:
        """Report the descriptor when it is readable. Closing it ends that."""
        self._epoll.register(fd, select.EPOLLIN)

    def wait(self, timeout_s: float) -> list[int]:
        """Descriptors that are readable, after at most `timeout_s`; peers that can be written to again have been."""
        if self._outbox is not None:
            self._follow_outbox(self._outbox)
        events = self._epoll.poll(0)
        self.waited = not events and timeout_s > 0
        if self.waited:
            if self._lock is None:
                events = self._look_or_sleep(timeout_s)
            else:
                self._lock.release()
                try:
                    events = self._look_or_sleep(timeout_s)
                finally:
                    self._lock.acquire()
        readable: list[int] = []
        for fd, _ in events:
            if self._outbox is not None and fd in self._for_writing:
                self._epoll.unregister(fd)
                del self._for_writing[fd]
                self._outbox.resume(fd)
            else:
                readable.append(fd)
        self.woken_by_one = self.waited and len(readable) == 1
        return readable

    def close(self) -> None:
        """Stop polling."""
        self._epoll.close()

    def _look_or_sleep(self, timeout_s: float) -> list[tuple[int, int]]:
        """Look again and again for the learnt time, then sleep, and learn from how long that was."""
        spin, poll = self._spin, self._epoll.poll
        began_ns = now_ns = time.monotonic_ns()
        end_ns = began_ns + int(timeout_s * 1e9)
        stop_ns = min(began_ns + spin.now_ns, end_ns)
        while now_ns < stop_ns:
            os.sched_yield()
            events = poll(0)
            if events:
                return events
            now_ns = time.monotonic_ns()
        events = poll(max(end_ns - now_ns, 0) / 1e9)
        spin.slept(time.monotonic_ns() - now_ns, woken=bool(events))
        return events

    def _follow_outbox(self, outbox: Outbox) -> None:
        """Poll exactly the sockets that block. One that was closed has left the epoll, and its number may be used anew."""
        blocked = outbox.blocked()
        if not blocked and not self._for_writing:
            return
        for fd, peer in blocked.items():
            if self._for_writing.get(fd) is not peer:
                self._epoll.register(fd, select.EPOLLOUT)
        self._for_writing = dict(blocked)
