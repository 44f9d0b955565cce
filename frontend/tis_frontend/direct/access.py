"""The direct face's part of the access log: a conversation that notes what it is asked and answers. Only there with a log."""

from collections.abc import Callable
from typing import Any

from tis.errors import TisError
from tis_frontend.access_log import CURRENT, AccessLog, Record
from tis_frontend.direct import messages as dm
from tis_frontend.direct.conversation import Conversation, Send
from tis_frontend.direct.infer_request import Data
from tis_frontend.direct.remembered import Asked
from tis_frontend.direct.zmtp import Incoming, Limits
from tis_frontend.server import Server

_PROTOCOL = "ZeroMQ"


class LoggedConversation(Conversation):
    """A conversation each of whose requests and calls has a line."""

    remembers = False

    def __init__(self, log: AccessLog, server: Server, limits: Limits, send: Send, hang_up: Callable[[], None]) -> None:
        super().__init__(server, limits, self._noted, hang_up)
        self._log = log
        self._pass_on = send
        #: What is not answered yet, by the client's number; 0: a hello.
        self._records: dict[int, Record] = {}
        #: Of the message that is being taken; None where it has no line, or could not be read.
        self._taken: Record | None = None
        self._taken_bytes = 0

    def take(self, incoming: Incoming) -> None:
        """A message has come."""
        self._taken_bytes = sum(map(len, incoming.frames))
        super().take(incoming)
        self._taken = None

    def end(self) -> None:
        """The client has gone, and what it has asked for is given up."""
        super().end()
        for record in self._records.values():
            self._log.done(record, "CANCELLED")
        self._records.clear()

    def _act(self, message: dm.FromClient, frames: list[Data]) -> Asked | None:
        if isinstance(message, dm.Cancel | dm.Ping):
            return super()._act(message, frames)
        record = self._taken = self._record(message.__struct_config__.tag)
        record.model = getattr(message, "model", "")
        number = getattr(message, "id", 0)
        self._records.setdefault(number, record)
        token = CURRENT.set(record)
        try:
            return super()._act(message, frames)
        except Exception:
            if self._records.get(number) is record:
                del self._records[number]
            raise
        finally:
            CURRENT.reset(token)

    def _refuse(self, number: int, error: TisError) -> None:
        super()._refuse(number, error)
        self._log.done(self._taken or self._record("unreadable"), error.code.name)

    def _noted(self, head: Any, parts: list[bytes | memoryview]) -> int:
        size_bytes = self._pass_on(head, parts)
        number, status, is_last = _outcome(head)
        record = self._records.get(number)
        # What is refused has its line already, whatever its number.
        if record is not None and (self._taken is None or self._taken is record):
            record.bytes_out += size_bytes
            record.status = record.status or status
            if is_last:
                del self._records[number]
                self._log.done(record, record.status or "OK")
        return size_bytes

    def _record(self, call: Any) -> Record:
        record = Record(_PROTOCOL, self.peer, str(call))
        record.bytes_in = self._taken_bytes
        return record


def _outcome(head: Any) -> tuple[int, str, bool]:
    """Of a message to a client: whose answer it is (-1: nobody's), the name of an error, and whether it is the last."""
    match head:
        case dm.Reply():
            return head.id, "", head.final
        case dm.Error():
            return head.id, head.code, head.final
        case {"type": "pong"} | dm.Over():
            return -1, "", False
        case _:
            return head.get("id", 0), "", True
