"""Control calls that clients make through a frontend: each kind has one handler, which decides, publishes, and returns.

A new kind of call is a new handler registered here by whoever owns what it changes.
"""

from collections.abc import Callable
from typing import Any

from tis.contracts import messages as m
from tis.errors import TisError, internal
from tis.log import get_logger

Handler = Callable[[Any], bool | None]

_log = get_logger(__name__)


class Calls:
    """Handlers by kind of message."""

    def __init__(self, send: Callable[[int, m.Message], None]) -> None:
        self._send = send
        self._handlers: dict[type[m.Message], Handler] = {}

    def handle(self, kind: type[m.Message], handler: Handler) -> None:
        """Let `handler` do calls of this kind; it raises TisError to refuse one, and returns True to reply itself, later."""
        self._handlers[kind] = handler

    def reply(self, peer: int, call_id: int, error: TisError | None) -> None:
        """Answer a call whose handler said that it would be answered later."""
        reply = m.CallReply(call_id) if error is None else m.CallReply(call_id, error.code, error.message)
        self._send(peer, reply)

    def take(self, call: Any) -> bool:
        """Do a call and reply to its frontend. False where the message is no call."""
        handler = self._handlers.get(type(call))
        if handler is None:
            return False
        later: bool | None = False
        try:
            later = handler(call)
        except TisError as error:
            self._send(call.peer, m.CallReply(call.call_id, error.code, error.message))
        except Exception as error:  # noqa: BLE001 - a client's call must not end the supervisor
            _log.exception("a control call failed")
            failed = internal(f"{type(error).__name__}: {error}")
            self._send(call.peer, m.CallReply(call.call_id, failed.code, failed.message))
        else:
            if not later:
                self._send(call.peer, m.CallReply(call.call_id))
        return True
