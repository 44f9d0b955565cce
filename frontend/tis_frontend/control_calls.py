"""Control calls of clients (regions, models, log and trace settings): asked of the supervisor, awaited here.

A call's effect has been published, and has reached this frontend, before its reply: both come over one ordered socket.
"""

import asyncio
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Final

from tis.contracts import messages as m
from tis.contracts.control import ControlLink
from tis.errors import Code, TisError, unavailable

_DEADLINE_S: Final = 60.0

#: Builds a call from its number and the peer that asks.
Make = Callable[[int, int], m.Message]
Answer = m.CallReply | m.InstanceStates
Reply = asyncio.Future[Answer]


class ControlCalls:
    """The calls of one frontend that wait for the supervisor's reply."""

    def __init__(self, control: ControlLink) -> None:
        self._control = control
        self._ids = count(1)
        self._waiting: dict[int, Reply] = {}

    @property
    def runtime_dir(self) -> Path:
        """The server's private directory, for what is handed over as files."""
        return self._control.runtime_dir

    async def ask(self, make: Make) -> None:
        """Send a call and wait until it has been done.

        Raises:
            TisError: the supervisor refused it, or did not answer in time.
        """
        await self.done(self.send(make), _DEADLINE_S)

    def send(self, make: Make) -> Reply:
        """Send a call; when this raises, the supervisor will not hear of it."""
        call_id = next(self._ids)
        reply: Reply = asyncio.get_running_loop().create_future()
        self._waiting[call_id] = reply
        reply.add_done_callback(lambda _reply: self._waiting.pop(call_id, None))
        try:
            self._control.send(make(call_id, self._control.peer))
        except BaseException:
            del self._waiting[call_id]
            raise
        return reply

    async def done(self, reply: Reply, deadline_s: float | None = None) -> Answer:
        """Wait until a call has been done and give the reply; without a deadline for those that take as long as they take.

        Raises:
            TisError: the supervisor refused it, or did not answer in time.
        """
        try:
            answer = await asyncio.wait_for(reply, deadline_s)
        except TimeoutError:
            raise unavailable(f"the server did not finish the call within {deadline_s:.0f} s") from None
        if isinstance(answer, m.CallReply) and answer.code:
            raise TisError(Code(answer.code), answer.text)
        return answer

    def replied(self, reply: Answer) -> None:
        """A reply has come."""
        future = self._waiting.get(reply.call_id)
        if future is not None and not future.done():
            future.set_result(reply)
