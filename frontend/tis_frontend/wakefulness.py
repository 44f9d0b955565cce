"""How a frontend's event loop waits for what comes soon without falling asleep.

Facts: as for the scheduler and the workers (`tis.carrier.poller`): a core that halts takes 25 to 50 us to wake on a virtual
machine. A single client's request wakes its frontend twice. Decision: after each request and each answer the loop goes on
turning for a moment, and gives the core away in each turn; for how long is learnt in the same way, at most `--spin-us`.
Measured on 2 cores with small tensors, requests a second: with one client 35 % more over gRPC and 10 % over HTTP, with four
to eight 20 to 35 %, with sixteen 0 to 5 %. Cost: where 64 clients leave it nothing to wait for, none that could be measured.
"""

import asyncio
import os
import time
from typing import Final

from tis.carrier.spin import Spin


class Wakefulness:
    """Of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, most_ns: int) -> None:
        """`most_ns`: the longest that the loop is kept awake for nothing; 0 for never."""
        self._loop = loop
        self._is_on: Final = most_ns > 0
        #: An answer and a client's next request take differently long to come, so each is learnt by itself.
        self._for_answer: Final = Spin(most_ns)
        self._for_request: Final = Spin(most_ns)
        self._waits_for = self._for_request
        self._is_awake = False
        #: Until when it is kept awake, or since when it is not.
        self._until_ns = 0

    def sent(self) -> None:
        """A request has gone: its answer may come soon."""
        if self._is_on:
            self._wait_for(self._for_answer)

    def answered(self) -> None:
        """An answer has come: the client's next request may come soon."""
        if self._is_on:
            self._wait_for(self._for_request)

    def _wait_for(self, following: Spin) -> None:
        now_ns = time.monotonic_ns()
        if not self._is_awake:
            self._waits_for.slept(now_ns - self._until_ns, woken=True)
        self._waits_for = following
        self._until_ns = now_ns + following.now_ns
        if following.now_ns and not self._is_awake:
            self._is_awake = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        os.sched_yield()
        now_ns = time.monotonic_ns()
        if now_ns < self._until_ns:
            self._loop.call_soon(self._turn)
        else:
            self._is_awake = False
            self._until_ns = now_ns
