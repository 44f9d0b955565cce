"""Questions for metrics that wait for their answers, which come from two processes."""

import asyncio
from collections.abc import Callable

from tis.contracts import messages as m
from tis.contracts.control import ControlLink
from tis.errors import TisError

#: The counters of all model versions, and those of the response cache.
ModelsAndCache = tuple[list[m.ModelMetrics], m.CacheMetrics | None]


class MetricsQuery:
    """A question to the scheduler, answered in parts (see `MetricsReply`); `answer` is what its asker awaits."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.answer: asyncio.Future[ModelsAndCache] = loop.create_future()
        self._models: list[m.ModelMetrics] = []

    def add(self, reply: m.MetricsReply) -> bool:
        """A part has come. True where it was the last one."""
        self._models += reply.models
        if reply.last and not self.answer.done():
            self.answer.set_result((self._models, reply.cache))
        return reply.last

    def fail(self, error: TisError) -> None:
        """There will be no answer."""
        if not self.answer.done():
            self.answer.set_exception(error)


class ServerQueries:
    """Questions to the supervisor: whatever waits when an answer comes gets it."""

    def __init__(self, control: ControlLink, look: Callable[[], None] = lambda: None) -> None:
        self._control = control
        #: Reads the control socket, whose descriptor may not signal what comes after something was sent.
        self._look = look
        self._waiting: list[asyncio.Future[m.ServerMetrics]] = []

    async def ask(self) -> m.ServerMetrics:
        """What the supervisor knows."""
        future: asyncio.Future[m.ServerMetrics] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._control.send(m.ServerQuery(self._control.peer))
        asyncio.get_running_loop().call_soon(self._look)
        try:
            return await future
        finally:
            if future in self._waiting:
                self._waiting.remove(future)

    def answered(self, message: m.ServerMetrics) -> None:
        """An answer has come."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(message)
