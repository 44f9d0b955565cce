"""Backends that answer slow requests from threads of their own, so that an instance may send to several requests at once.

As Triton's `repeat` and `square` do; the worker's loop goes on meanwhile and hands out the next batch. A request that has
nothing to wait for is answered on the spot, which is quicker than a thread is started, and in order.
"""

import threading
import time
import traceback
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Final

import numpy.typing as npt

from tis.errors import TisError, internal
from tis.log import get_logger
from tis_workers.backchannel import Backchannel
from tis_workers.backends.base import Backend, Timings
from tis_workers.request import WorkRequest

#: How often a request that waits looks whether its client is still there.
_LOOK_S: Final = 0.1

_log = get_logger(__name__)


class ThreadedBackend(Backend):
    """Calls `answer` for each request, perhaps in a thread; that sends with `respond`, `fail` and at last `end`."""

    def __init__(self) -> None:
        self._channel = Backchannel()
        self._threads: set[threading.Thread] = set()
        self._stopping = threading.Event()

    @property
    def backchannel(self) -> Backchannel:
        """What the threads send by."""
        return self._channel

    @abstractmethod
    def answer(self, request: WorkRequest) -> None:
        """Send all responses to a request. Without the lock of the backchannel.

        Raises:
            TisError: the request ends with this, in these words.
        """

    @abstractmethod
    def is_slow(self, request: WorkRequest) -> bool:
        """Whether its responses wait for something."""

    def kept_s(self, request: WorkRequest) -> float:
        """How long a request keeps the instance from the next batch."""
        del request
        return 0.0

    def execute(self, requests: list[WorkRequest]) -> Timings:
        """Begin to answer every request."""
        start_ns = time.monotonic_ns()
        # Those that have ended take a thread's name out when they can.
        self._threads = {thread for thread in self._threads if thread.is_alive()}
        # Read before a thread may have answered, after which the inputs are no more.
        kept_s = max(self.kept_s(request) for request in requests)
        at_once = []
        for request in requests:
            request.unfinished = True
            if self.is_slow(request):
                thread = threading.Thread(target=self._run, args=(request,), daemon=True)
                self._threads.add(thread)
                thread.start()
            else:
                at_once.append(request)
        if at_once or kept_s:
            self._channel.lock.release()
            try:
                for request in at_once:
                    self._run(request)
                self.sleep(kept_s)
            finally:
                self._channel.lock.acquire()
        now_ns = time.monotonic_ns()
        return Timings(start_ns, start_ns, now_ns)

    def finalize(self) -> None:
        """End all delays, and wait for the threads."""
        self._stopping.set()
        self.wait()

    def wait(self) -> None:
        """Wait until all requests are answered."""
        for thread in tuple(self._threads):
            thread.join()

    # ---- for `answer` ------------------------------------------------------------------------------------------------

    def sleep(self, delay_s: float) -> None:
        """Wait, unless the instance is about to go."""
        if delay_s > 0:
            self._stopping.wait(delay_s)

    def pause(self, request: WorkRequest, delay_s: float) -> None:
        """Wait, unless the client goes or the instance is about to."""
        end_s = time.monotonic() + delay_s
        while (left_s := end_s - time.monotonic()) > 0 and not self.is_cancelled(request):
            self._stopping.wait(min(left_s, _LOOK_S))

    def is_cancelled(self, request: WorkRequest) -> bool:
        """Whether the client has gone, or the instance is about to."""
        return self._stopping.is_set() or self._channel.is_cancelled(request)

    def respond(self, request: WorkRequest, outputs: Mapping[str, npt.NDArray[Any]]) -> bool:
        """Send a response that is not the last one. False where that was the end all the same: it did not fit."""
        self._channel.send(request, lambda: request.respond(outputs, final=False))
        return not request.answered

    def fail(self, request: WorkRequest, error: TisError, *, final: bool) -> None:
        """Send an error in its own words."""
        self._channel.send(request, lambda: request.fail(error, verbatim=True, final=final))

    def end(self, request: WorkRequest) -> None:
        """Say that no more responses will come."""
        self._channel.send(request, request.end)

    def _run(self, request: WorkRequest) -> None:
        try:
            self.answer(request)
        except TisError as error:
            self.fail(request, error, final=True)
        except Exception as error:  # noqa: BLE001 - a request must not be left without an end, whatever its thread ran into
            _log.error("model '%s': a response failed\n%s", self.spec.name, traceback.format_exc())
            self.fail(
                request, internal(f"model '{self.spec.name}' failed: {type(error).__name__}: {error}"), final=True
            )
