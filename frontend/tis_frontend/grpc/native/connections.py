"""All connections of a frontend: how many there may be, and who is sent away for the sake of the others."""

import resource
from typing import TYPE_CHECKING, Final

from tis.log import get_logger

if TYPE_CHECKING:
    from tis_frontend.grpc.native.session import Session

#: A client that has not said by then that it speaks HTTP/2 never will; the same as grpcio's.
_GREETING_S: Final = 120.0
#: What may wait for clients to take it, in this process: responses that are not in the pool any more.
_MOST_UNSENT_BYTES: Final = 1 << 30
#: Descriptors that are left to HTTP and to the server itself, of all that the process may have.
_LEFT_SHARE: Final = 0.25
_TOLD_EVERY_S: Final = 60.0

_log = get_logger(__name__)


class Connections:
    """The living ones."""

    def __init__(self, most: int | None = None) -> None:
        """`most`: how many there may be; else what the limit of open files (`RLIMIT_NOFILE`) has room for."""
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most = most if most is not None else int(files * (1 - _LEFT_SHARE)) if files > 0 else 1 << 30
        self._sessions: set[Session] = set()
        self._refused = 0
        self._told_s = float("-inf")

    def add(self, session: "Session") -> None:
        """A client has connected."""
        self._sessions.add(session)

    def discard(self, session: "Session") -> None:
        """It has gone."""
        self._sessions.discard(session)

    def all(self) -> "list[Session]":
        """Those that there are at the moment."""
        return list(self._sessions)

    @property
    def is_full(self) -> bool:
        """Whether the next client is refused; to be asked once for each."""
        if len(self._sessions) < self._most:
            return False
        self._refused += 1
        return True

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
        if self._refused and now_s - self._told_s > _TOLD_EVERY_S:
            self._told_s = now_s
            _log.warning("%d gRPC connections were refused: there are %d already", self._refused, self._most)
            self._refused = 0
