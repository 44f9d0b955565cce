"""The direct face of one frontend: a listening socket that the supervisor opened, and the connections."""

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import Final

from tis.curve_keys import KnownKeys, read_secret_key
from tis_frontend.access_log import AccessLog
from tis_frontend.direct.access import LoggedConversation
from tis_frontend.direct.conversation import Conversation
from tis_frontend.direct.session import Session
from tis_frontend.direct.zmtp import Budget, Connection, Limits
from tis_frontend.server import Server

_BACKLOG: Final = 2048
_MOST_SESSIONS: Final = 1024
_HEAD_BYTES: Final = 1 << 20
_MESSAGE_BYTES: Final = 64 << 20
_FRAMES: Final = 256


class DirectServer:
    """All direct clients of one frontend."""

    def __init__(self, server: Server, access: AccessLog | None = None) -> None:
        capacity_bytes = server.core.capacity_bytes
        self._sessions: set[Session] = set()
        limits = Limits(_HEAD_BYTES, min(_MESSAGE_BYTES, capacity_bytes), _FRAMES)
        budget = Budget(capacity_bytes)
        settings = server.settings
        connect: Callable[[], Connection] = partial(Connection, limits, budget)
        if settings.zmq_server_secret_key_file:
            # It needs PyNaCl, which servers without keys do not have.
            from tis_frontend.direct.curve import ServerKeys
            from tis_frontend.direct.secured import SecuredConnection

            secret = read_secret_key(settings.zmq_server_secret_key_file)
            keys = ServerKeys(secret, KnownKeys(settings.zmq_client_keys).holds)
            connect = partial(SecuredConnection, limits, budget, keys)
        converse: Callable[..., Conversation] = partial(Conversation, server, limits)
        if access is not None:
            converse = partial(LoggedConversation, access, server, limits)
        self._new_session: Final = partial(Session, connect, converse, self._sessions, _MOST_SESSIONS)
        self._server: asyncio.Server | None = None

    async def start(self, listening: socket.socket) -> None:
        """Accept clients."""
        loop = asyncio.get_running_loop()
        if listening.family == socket.AF_UNIX:
            self._server = await loop.create_unix_server(self._new_session, sock=listening, backlog=_BACKLOG)
        else:
            self._server = await loop.create_server(self._new_session, sock=listening, backlog=_BACKLOG)

    def close_listener(self) -> None:
        """Accept no more."""
        if self._server is not None:
            self._server.close()

    async def stop(self) -> None:
        """End all connections, when what has been said is on its way."""
        self.close_listener()
        for session in list(self._sessions):
            session.close()
        await asyncio.sleep(0)
