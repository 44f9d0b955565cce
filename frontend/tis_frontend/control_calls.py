"""Control calls of clients (regions, log and trace settings, …): asked of the supervisor, awaited here.

A call's effect has been published, and has reached this frontend, before its reply: both come over one ordered socket.
"""

import asyncio
from collections.abc import Callable
from itertools import count

from tis.contracts import messages as m
from tis.contracts.control import ControlLink
from tis.errors import Code, TisError, unavailable

_DEADLINE_S = 60.0


class ControlCalls:
    """The calls of one frontend that wait for the supervisor's reply."""

    def __init__(self, control: ControlLink) -> None:
        self._control = control
        self._ids = count(1)
        self._waiting: dict[int, asyncio.Future[m.CallReply]] = {}

    async def ask(self, make: Callable[[int, int], m.Message]) -> None:
        """Send the call that `make(call_id, peer)` builds and wait until it has been done.

        Raises:
            TisError: the supervisor refused it, or did not answer in time.
        """
        call_id = next(self._ids)
        future: asyncio.Future[m.CallReply] = asyncio.get_running_loop().create_future()
        self._waiting[call_id] = future
        try:
            self._control.send(make(call_id, self._control.peer))
            reply = await asyncio.wait_for(future, _DEADLINE_S)
        except TimeoutError:
            raise unavailable(f"the server did not finish the call within {_DEADLINE_S:.0f} s") from None
        finally:
            del self._waiting[call_id]
        if reply.code:
            raise TisError(Code(reply.code), reply.text)

    def replied(self, reply: m.CallReply) -> None:
        """A reply has come."""
        future = self._waiting.get(reply.call_id)
        if future is not None and not future.done():
            future.set_result(reply)
