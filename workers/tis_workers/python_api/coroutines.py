"""Models whose `execute` is `async def`: the event loop that runs what they return, on a thread of its own.

As in Triton 2.51 (python_backend, pb_stub.cc), there is one loop an instance, made when it is first needed. What a model
raises, SystemExit included, ends its coroutine and not the loop, which in Triton does not survive that.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final

_LAST_MOMENT_S: Final = 1.0

#: What a coroutine came to: its result, or what it raised.
Ended = Callable[[Any, BaseException | None], None]


class Coroutines:
    """The loop, and the thread that turns it."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping = False

    def result(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end and give what it returns; raises what it raises."""
        done = threading.Event()
        came_to: list[Any] = []

        def ended(result: Any, error: BaseException | None) -> None:
            came_to.extend((result, error))
            done.set()

        self.begin(coroutine, ended)
        done.wait()
        result, error = came_to
        if error is not None:
            raise error
        return result

    def begin(self, coroutine: Coroutine[Any, Any, Any], ended: Ended) -> None:
        """Run a coroutine beside others; `ended` is called on the loop's thread."""
        asyncio.run_coroutine_threadsafe(_followed(coroutine, ended), self._running())

    def stop(self) -> None:
        """End the loop, whatever still runs on it."""
        self._stopping = True
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_LAST_MOMENT_S)

    def _running(self) -> asyncio.AbstractEventLoop:
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.new_event_loop()
            # As in Triton: so that a model finds it from its own thread, too.
            asyncio.set_event_loop(loop)
            self._thread = threading.Thread(target=self._turn, args=(loop,), name="event loop", daemon=True)
            self._thread.start()
        return loop

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stopping:
            # A model may stop the loop, which others still wait for; or raise in a callback of its own.
            try:
                loop.run_forever()
            except BaseException as error:  # noqa: BLE001 - SystemExit of a callback ends run_forever
                loop.call_exception_handler(
                    {"message": "a callback of the model ended the event loop", "exception": error}
                )


async def _followed(coroutine: Coroutine[Any, Any, Any], ended: Ended) -> None:
    try:
        result = await coroutine
    except BaseException as error:  # noqa: BLE001 - what a model raises is an answer
        ended(None, error)
    else:
        ended(result, None)
