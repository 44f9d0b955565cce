"""Listening sockets that systemd passes: which service each is for, and how frontends share them.

They stay open in systemd while the server restarts, so that clients wait in their queues and none is refused. Frontends
that share one socket all look when somebody connects, and whoever is first takes the connection: nothing is lost, but
the shares may be uneven. With one socket for each frontend (`ReusePort=yes` and one `ListenStream=` a frontend) the kernel
deals connections out. With `--grpc-server=grpcio` gRPC is not among them: that library opens its sockets itself.
"""

import socket
from itertools import cycle
from typing import Final

from tis.errors import TisError, invalid
from tis.settings import ServerSettings
from tis.supervisor.systemd import Systemd

_NO_GRPC: Final = (
    "systemd passes a listening socket for gRPC, which --grpc-server=grpcio cannot take over; leave it out of the socket "
    "unit or use --grpc-server=native"
)


class InheritedPort:
    """The listening sockets of one service; the same to the supervisor as a port that it has reserved itself."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        self._sockets: Final = sockets
        self._turns = cycle(sockets)
        address: tuple[str, int] = sockets[0].getsockname()
        self.address: Final = address[0]
        self.port: Final = address[1]

    def listen(self) -> socket.socket:
        """A listening socket for one frontend: the next one in turn."""
        return next(self._turns).dup()

    def close(self) -> None:
        """Let go; systemd listens on."""
        for each in self._sockets:
            each.close()


def inherited_ports(systemd: Systemd, settings: ServerSettings, frontends: int) -> dict[str, InheritedPort]:
    """What systemd has passed, by service: `http`, `grpc` and `metrics`.

    A socket belongs to the service that it is named after (`FileDescriptorName=`), else to the one with its port.

    Raises:
        TisError: a socket fits no service, does not listen, is for gRPC where grpcio serves that, or would wait for a
            frontend that there is not.
    """
    found: dict[str, list[socket.socket]] = {}
    for name, each in systemd.sockets:
        found.setdefault(_service_of(name, each, settings), []).append(each)
    if "grpc" in found and settings.grpc_server == "grpcio":
        raise invalid(_NO_GRPC)
    for service, sockets in found.items():
        if len(sockets) > frontends:
            raise invalid(
                f"systemd passes {len(sockets)} sockets for {service}, but there are {frontends} frontends to serve them; "
                f"start the server with --frontends={len(sockets)} or leave some out of the socket unit"
            )
    return {service: InheritedPort(sockets) for service, sockets in found.items()}


def _service_of(name: str, given: socket.socket, settings: ServerSettings) -> str:
    if given.family not in (socket.AF_INET, socket.AF_INET6) or given.type != socket.SOCK_STREAM:
        raise _unfit(name, given, "it is no TCP socket")
    if not given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise _unfit(name, given, "it does not listen (Accept=no is needed)")
    ports = {
        "http": settings.http_port if settings.allow_http else -1,
        "grpc": settings.grpc_port if settings.allow_grpc else -1,
        "metrics": settings.metrics_port if settings.allow_metrics else -1,
    }
    if name in ports:
        if ports[name] < 0:
            raise _unfit(name, given, f"--allow-{name} is false")
        return name
    port = given.getsockname()[1]
    for service, wanted in ports.items():
        if wanted == port:
            return service
    served = ", ".join(f"--{service}-port={wanted}" for service, wanted in ports.items() if wanted >= 0)
    raise _unfit(name, given, f"its port is none of {served}")


def _unfit(name: str, given: socket.socket, why: str) -> TisError:
    return invalid(f"systemd passes a socket '{name}' on {given.getsockname()} that cannot be served: {why}")
