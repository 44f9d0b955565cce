"""One direct client's connection: bytes between a socket, the wire protocol and the conversation.

A client that takes nothing is not read from. Its end, of whatever kind, is the end of the conversation.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tis.log import get_logger
from tis_frontend.direct import messages as dm
from tis_frontend.direct.conversation import Conversation, Send
from tis_frontend.direct.zmtp import Connection
from tis_frontend.direct.zmtp_error import ZmtpError

_WRITE_HIGH_BYTES: Final = 1 << 20
#: Answers that a client may let pile up; one that does is disconnected.
_MOST_PILED_BYTES: Final = 256 << 20
#: Answers of so many bytes are not waited with.
_HELD_BYTES: Final = 64 << 10
#: How long a client may take to begin to speak ZeroMQ.
_HANDSHAKE_S: Final = 20.0

_log = get_logger(__name__)


class Session(asyncio.BufferedProtocol):
    """An asyncio protocol."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        converse: Callable[[Send, Callable[[], None]], Conversation],
        sessions: "set[Session]",
        most: int,
    ) -> None:
        self._sessions: Final = sessions
        self._most_sessions: Final = most
        self._transport: Any = None
        self._connection: Final = connect()
        self.conversation: Final = converse(self._send, self.close)
        self._handshake: asyncio.TimerHandle | None = None
        #: Answers that leave at the end of this turn of the loop.
        self._held: list[bytes] = []
        self._held_bytes = 0

    # ---- from the socket -------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """A client has connected."""
        self._transport = transport
        if len(self._sessions) >= self._most_sessions:
            _log.warning("a direct client is turned away: there are %d already", self._most_sessions)
            transport.abort()
            return
        self._sessions.add(self)
        self.conversation.meet(*_peer(transport.get_extra_info("socket")))
        transport.set_write_buffer_limits(high=_WRITE_HIGH_BYTES)
        self._handshake = asyncio.get_running_loop().call_later(_HANDSHAKE_S, self._check_handshake)
        self._flush()

    def get_buffer(self, _size_hint: int) -> memoryview:
        """Where the next bytes are to go."""
        return self._connection.room()

    def buffer_updated(self, size: int) -> None:
        """So many have come."""
        try:
            incoming = self._connection.received(size)
        except ZmtpError as error:
            _log.debug("a direct client is disconnected (%s): %s", self.conversation.peer, error)
            if self._connection.out:
                # Some are told why.
                self._flush()
                self._transport.close()
            else:
                self._transport.abort()
            return
        if self._connection.out:
            self._flush()
        for each in incoming:
            self.conversation.take(each)

    def eof_received(self) -> bool:
        """The client says no more; ZeroMQ knows no half of a connection."""
        return False

    def pause_writing(self) -> None:
        """The client takes nothing at the moment."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It does again."""
        self._transport.resume_reading()

    def connection_lost(self, _error: Exception | None) -> None:
        """The client has gone."""
        self._sessions.discard(self)
        if self._handshake is not None:
            self._handshake.cancel()
        self._connection.abandon()
        self.conversation.end()

    # ---- to the socket ---------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End the connection when what has been said is on its way."""
        self._write_held()
        self._transport.close()

    def _send(self, head: Any, parts: list[bytes | memoryview]) -> int:
        if self._transport.is_closing():
            return 0
        # The parts lie in the pool, where they are only until this returns.
        data = self._connection.wire(dm.encode(head), parts)
        if not self.conversation.is_busy:
            if self._held:
                self._write_held()
            self._write(data)
            return len(data)
        # More answers may come in this turn of the loop: they leave together.
        if not self._held:
            asyncio.get_running_loop().call_soon(self._write_held)
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes >= _HELD_BYTES:
            self._write_held()
        return len(data)

    def _write_held(self) -> None:
        held, self._held, self._held_bytes = self._held, [], 0
        if held and not self._transport.is_closing():
            self._write(b"".join(held) if len(held) > 1 else held[0])

    def _write(self, data: bytes) -> None:
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > _MOST_PILED_BYTES:
            _log.warning("a direct client does not read its answers and is disconnected")
            self._transport.abort()

    def _flush(self) -> None:
        self._write_held()
        out = bytes(self._connection.out)
        self._connection.out.clear()
        self._transport.write(out)

    def _check_handshake(self) -> None:
        if not self._connection.is_ready:
            self._transport.abort()


def _peer(connected: Any) -> tuple[str, int]:
    """Address and port; of a socket's file the process at the other end, and that for sure or 0."""
    try:
        if connected.family != socket.AF_UNIX:
            host, port = connected.getpeername()[:2]
            return f"{host}:{port}", 0
        pid, uid, _ = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    except OSError:
        return "-", 0  # it has gone already
    try:
        # The process that has connected may have gone, and another have its number, while a child of it has the socket.
        is_same = Path(f"/proc/{pid}").stat().st_uid == uid
    except OSError:
        is_same = False
    return f"pid:{pid}", pid if is_same else 0
