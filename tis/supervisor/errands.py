"""What may take long without needing a processor: reading disks that are slow or gone. Threads do it, the loop hears of it.

The supervisor's loop must turn whatever a share does: readiness, heartbeats and deaths pass through it. A read that never
comes back costs a thread, and no more; ends of the process do not wait for it.
"""

import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

#: Shares may hang one by one; the others are read by the other threads.
THREADS: Final = 4

T = TypeVar("T")


class Errands:
    """Runs functions in threads of its own and gives what they return to the loop.

    Args:
        hand_over: has the loop call something in one of its next turns; called from any thread.
    """

    def __init__(self, hand_over: Callable[[Callable[[], None]], None]) -> None:
        self._hand_over: Final = hand_over
        self._waiting: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closed = False

    def run(self, work: Callable[[], T], done: Callable[[T], None]) -> None:
        """Have `work` done by a thread, then call `done` from the loop with what it returned.

        What `work` raises is raised from the loop: it is a fault of ours, since what a disk may say is `work`'s to return.
        """

        def errand() -> None:
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - the loop raises it
                self._hand_over(partial(_raise, error))
                return
            self._hand_over(lambda: None if self._closed else done(result))

        self._waiting.put(errand)
        if len(self._threads) < THREADS:
            # A daemon, so that nobody waits at the end for a share that is gone.
            thread = threading.Thread(target=self._work, name=f"errands {len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Nobody wants to hear anything more. What a thread has begun goes on for itself."""
        self._closed = True

    def _work(self) -> None:
        while True:
            self._waiting.get()()


def _raise(error: BaseException) -> None:
    raise error
