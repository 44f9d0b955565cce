"""The way from a frontend to the scheduler: what is said in one turn of the loop, the connection, and its loss.

Knows no request: it carries messages, and tells its owner which could not be sent.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tis.carrier.zmtp import PushSocket
from tis.contracts import messages as m
from tis.errors import TisError, unavailable

#: Messages of one packet. What one turn of the loop has to say leaves in few packets, but not all in one at its end, else
#: the scheduler and the workers would idle while the frontend parses, and the frontend while they work.
_PACKET_MESSAGES: Final = 8


class SchedulerLink:
    """A connection that is made anew whenever there is a new scheduler."""

    def __init__(
        self,
        path: Path,
        loop: asyncio.AbstractEventLoop,
        lost: Callable[[TisError], None],
        refused: Callable[[list[m.Message], TisError], None],
    ) -> None:
        self._loop = loop
        self._lost = lost
        self._refused = refused
        self._socket = PushSocket(path)
        self._fd = -1
        self._outgoing: list[m.Message] = []
        self._flushing = False

    def post(self, message: m.Message) -> None:
        """Queue a message; it leaves at the end of this turn of the loop, or before."""
        self._outgoing.append(message)
        if len(self._outgoing) >= _PACKET_MESSAGES:
            self.flush()
        elif not self._flushing:
            self._flushing = True
            self._loop.call_soon(self.flush)

    def connect(self) -> None:
        """Connect to the scheduler: at start, and whenever there is a new one. What was in flight is lost."""
        self.disconnect()
        try:
            self._socket.connect()
        except TisError:
            # It is not there yet; the supervisor says when it is.
            return
        self._fd = self._socket.fileno()
        self._loop.add_reader(self._fd, self._hear)

    def disconnect(self) -> None:
        """Drop the connection, and tell the owner that everything in flight is lost."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._fd = -1
        self._socket.disconnect()
        self._lost(unavailable("the scheduler has died and has lost this request; try again"))

    def flush(self) -> None:
        """Send what has been posted."""
        self._flushing = False
        outgoing, self._outgoing = self._outgoing, []
        if not outgoing:
            return
        try:
            self._socket.send(m.encode(outgoing))
            if self._socket.blocked:
                self._loop.add_writer(self._fd, self._resume)
        except TisError as error:
            # Later: whoever posts the last message of a packet does not expect its answer before `post` returns.
            self._loop.call_soon(self._refused, outgoing, error)

    def _hear(self) -> None:
        try:
            alive = self._socket.heard()
        except TisError:
            alive = False
        if not alive:
            self.disconnect()
        elif self._socket.blocked:
            # What waited for the handshake is more than the socket took.
            self._loop.add_writer(self._fd, self._resume)

    def _resume(self) -> None:
        try:
            self._socket.resume()
        except TisError:
            self.disconnect()
            return
        if not self._socket.blocked:
            self._loop.remove_writer(self._fd)
