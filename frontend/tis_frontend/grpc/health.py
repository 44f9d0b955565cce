"""The standard gRPC health service, as load balancers and Kubernetes ask it: `Check` only, as in Triton.

Its messages are so small that the package that defines them is not needed: the response is two bytes, the request has
one text, as field 1, which a message of KServe's has as well. It names a service and makes no difference: there is one
server, and it serves when it is ready.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from tis_frontend.grpc.messages import pb
from tis_frontend.grpc.wire import parse
from tis_frontend.server import Server

HEALTH_SERVICE: Final = "grpc.health.v1.Health"
#: HealthCheckResponse with the field `status`: SERVING is 1, NOT_SERVING is 2.
_SERVING: Final = b"\x08\x01"
_NOT_SERVING: Final = b"\x08\x02"


class HealthService:
    """Unary calls by method name."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.unary: dict[str, Callable[[bytes], Awaitable[bytes]]] = {"Check": self._check}

    async def _check(self, data: bytes) -> bytes:
        parse(pb.ModelReadyRequest, data)
        self._server.check_running()
        return _SERVING if self._server.ready else _NOT_SERVING
