"""The server on this transport: a listening socket, the connections, and their orderly end."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from functools import partial
from typing import Final

from tis.errors import invalid
from tis.settings import ServerSettings
from tis_frontend.access_log import AccessLog
from tis_frontend.grpc.native.connections import Connections
from tis_frontend.grpc.native.methods import Methods
from tis_frontend.grpc.native.session import Session
from tis_frontend.grpc.native.times import Times
from tis_frontend.grpc.service import InferenceService
from tis_frontend.stalls import Exchange

_BACKLOG: Final = 2048
_HANDSHAKE_S: Final = 20.0
#: A client that takes nothing of its answers for so long holds up no stop.
_LINGER_S: Final = 1.0


class NativeServer:
    """All connections of one frontend."""

    def __init__(self, service: InferenceService, settings: ServerSettings, access: AccessLog | None) -> None:
        self._settings = settings
        self._methods = Methods(service, access, settings.grpc_infer_response_compression_level)
        self._times = Times(settings)
        self._connections = Connections()
        self._server: asyncio.Server | None = None

    async def start(self, listening: socket.socket) -> None:
        """Accept connections from a listening socket."""
        encryption = _context(self._settings) if self._settings.grpc_encrypted else None
        self._server = await asyncio.get_running_loop().create_server(
            partial(Session, self._methods, self._times, self._connections),
            sock=listening,
            backlog=_BACKLOG,
            ssl=encryption,
            ssl_handshake_timeout=_HANDSHAKE_S if encryption is not None else None,
        )

    def close_listener(self) -> None:
        """Accept no more connections; those that there are take no more calls once their clients have heard so."""
        if self._server is not None:
            self._server.close()
        for session in self._connections.all():
            session.drain()

    def exchanges(self) -> Iterator[Exchange]:
        """All that may stall."""
        for session in self._connections.all():
            yield from session.exchanges()

    def look(self) -> None:
        """To be called now and then: send away connections that ask for too much."""
        self._connections.look(asyncio.get_running_loop().time())

    async def written(self) -> None:
        """Wait until clients have taken what has been answered, as long as they do take it."""
        unsent, loop = -1, asyncio.get_running_loop()
        end_s = loop.time()
        while waiting := sum(session.unsent_bytes for session in self._connections.all()):
            if waiting != unsent:
                unsent, end_s = waiting, loop.time() + _LINGER_S
            elif loop.time() > end_s:
                return
            await asyncio.sleep(0.01)

    async def stop(self, grace_s: float) -> None:
        """End everything; calls that still run have this long."""
        self.close_listener()
        end_s = asyncio.get_running_loop().time() + grace_s
        while any(session.connection.streams for session in self._connections.all()):
            if asyncio.get_running_loop().time() > end_s:
                break
            await asyncio.sleep(0.01)
        # With a last word for each: of a connection that only ends, clients drop what they have not read yet.
        for session in self._connections.all():
            session.dismiss()
        await self.written()
        for session in self._connections.all():
            session.close()
        await asyncio.sleep(0)


def _context(settings: ServerSettings) -> ssl.SSLContext:
    """TLS as gRPC clients expect it: HTTP/2 by ALPN; with `--grpc-use-ssl-mutual` clients must show a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    try:
        context.load_cert_chain(settings.grpc_server_cert, settings.grpc_server_key)
        if settings.grpc_use_ssl_mutual:
            context.load_verify_locations(settings.grpc_root_cert)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise invalid(f"the certificates of gRPC cannot be used: {error}") from error
    return context
