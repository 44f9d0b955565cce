"""What a model asks of the supervisor: to load and unload models. Waiting for it holds up nobody but the thread that asks."""

import select
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Final

from tis.contracts import messages as m
from tis.contracts.control import ControlLink
from tis.errors import Code, TisError

#: How long a look at the socket may be off: its descriptor tells of changes only, which another thread may have seen.
_LOOK_MS: Final = 20

#: Builds a call from its number and the peer that asks.
Make = Callable[[int, int], m.Message]


class ControlCalls:
    """Calls that wait for the supervisor's reply."""

    def __init__(self, control: ControlLink, lock: "threading.Lock", catch_up: Callable[[], None]) -> None:
        self._control = control
        self._lock = lock
        self._catch_up = catch_up
        self._ids = count(1)
        self._replies: dict[int, m.CallReply | None] = {}

    @property
    def runtime_dir(self) -> Path:
        """The server's private directory, for what is handed over as files."""
        return self._control.runtime_dir

    def ask(self, make: Make) -> None:
        """Make a call and wait until it has been done. Without the lock.

        Raises:
            TisError: the supervisor has refused it.
        """
        call_id = next(self._ids)
        reply: m.CallReply | None = None
        with self._lock:
            self._replies[call_id] = None
            self._control.send(make(call_id, self._control.peer))
        poll = select.poll()
        poll.register(self._control.socket.fileno(), select.POLLIN)
        try:
            while reply is None:
                poll.poll(_LOOK_MS)
                with self._lock:
                    self._catch_up()
                    reply = self._replies[call_id]
        finally:
            del self._replies[call_id]
        if reply.code:
            raise TisError(Code(reply.code), reply.text)

    def replied(self, reply: m.CallReply) -> None:
        """A reply has come."""
        if reply.call_id in self._replies:
            self._replies[reply.call_id] = reply
