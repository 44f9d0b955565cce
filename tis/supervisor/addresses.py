"""The addresses that the server listens on: taken at start, so that a conflict is the first thing that fails."""

import socket
from typing import Final, Protocol

from tis.errors import TisError, unavailable
from tis.log import get_logger

_BACKLOG: Final = 2048

_log = get_logger(__name__)


class Port(Protocol):
    """Where a service is reached."""

    @property
    def address(self) -> str:
        """The address listened on."""

    @property
    def port(self) -> int:
        """The TCP port."""

    def listen(self) -> socket.socket:
        """A listening socket for one frontend."""

    def close(self) -> None:
        """Give the port up."""


class ReservedPort:
    """A TCP port that is this server's from now on, shared by its frontends through SO_REUSEPORT."""

    def __init__(self, service: str, address: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.address: Final = address
        self._family = family
        # A server that shares its port still refuses to share it with a stranger: this first socket is exclusive.
        probe = socket.socket(family, socket.SOCK_STREAM)
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
            self.port: Final[int] = probe.getsockname()[1]
        except OSError as error:
            raise _in_use(service, address, port, error) from error
        finally:
            probe.close()
        # Bound but not listening: it takes no connection and keeps the port. Without SO_REUSEADDR it also refuses the
        # probe of another server while nothing listens yet, but the last connections of a stranger may forbid that.
        try:
            self._holder = self._bind(reuse_address=False)
        except OSError:
            self._holder = self._bind()

    def listen(self) -> socket.socket:
        """A listening socket for one frontend. It outlives the frontend, so connections wait for the next one."""
        listening = self._bind()
        listening.listen(_BACKLOG)
        return listening

    def close(self) -> None:
        """Give the port up."""
        self._holder.close()

    def _bind(self, *, reuse_address: bool = True) -> socket.socket:
        bound = socket.socket(self._family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse_address))
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            bound.bind((self.address, self.port))
        except OSError:
            bound.close()
            raise
        return bound


def _in_use(service: str, address: str, port: int, error: OSError) -> TisError:
    return unavailable(
        f"Socket '{address}:{port}' of the {service} service cannot be used: {error.strerror}. Stop the program that uses "
        "it or choose another port"
    )


def log_services(grpc: Port | None, http: Port | None, metrics: Port | None, direct: Port | None = None) -> None:
    """Say where the server serves, as Triton does."""
    for service, port in (("GRPCInferenceService", grpc), ("HTTPService", http), ("Metrics Service", metrics)):
        if port is not None:
            _log.info("Started %s at %s:%d", service, port.address, port.port)
    if direct is not None:
        # A path has no port.
        host = f"[{direct.address}]" if ":" in direct.address else direct.address
        where = f"tcp://{host}:{direct.port}" if direct.port else f"ipc://{direct.address}"
        _log.info("Started ZeroMQService at %s", where)
