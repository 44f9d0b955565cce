"""All gRPC connections of a frontend: who is sent away for the sake of the others. How many there may be: `doors`."""

from typing import TYPE_CHECKING, Final

from tis.log import get_logger

if TYPE_CHECKING:
    from tis_frontend.grpc.native.session import Session

#: A client that has not said by then that it speaks HTTP/2 never will; the same as grpcio's.
_GREETING_S: Final = 120.0
#: What may wait for clients to take it, in this process: responses that are not in the pool any more.
_MOST_UNSENT_BYTES: Final = 1 << 30

_log = get_logger(__name__)


class Connections:
    """The living ones."""

    def __init__(self) -> None:
        self._sessions: set[Session] = set()

    def add(self, session: "Session") -> None:
        """A client has connected."""
        self._sessions.add(session)

    def discard(self, session: "Session") -> None:
        """It has gone."""
        self._sessions.discard(session)

    def all(self) -> "list[Session]":
        """Those that there are at the moment."""
        return list(self._sessions)

    def look(self, now_s: float) -> None:
        """Send away who does not greet, and who asks for more than it takes while others need the memory."""
        unsent, most_bytes = 0, 0
        worst: Session | None = None
        for session in self.all():
            if not session.connection.has_greeted and now_s - session.began_s > _GREETING_S:
                session.close()
                continue
            waiting = session.unsent_bytes
            unsent += waiting
            if waiting > most_bytes:
                most_bytes, worst = waiting, session
        if worst is not None and unsent > _MOST_UNSENT_BYTES:
            _log.warning("%s does not take its responses and is sent away", worst.client)
            worst.send_away("responses are not taken")
