"""The standard gRPC health service, asked as a load balancer asks it: with bytes, since the server brings no package."""

import grpc
import pytest

from tests.harness.server import Server

SERVING = b"\x08\x01"


def check(server: Server, request: bytes, method: str = "Check") -> bytes:
    with grpc.insecure_channel(server.grpc_address) as channel:
        answer: bytes = channel.unary_unary(f"/grpc.health.v1.Health/{method}")(request, timeout=20)
        return answer


@pytest.mark.parametrize("request_bytes", [b"", b"\n\x03any"], ids=["the server", "a service"])
def test_a_server_that_is_ready_is_serving(server: Server, request_bytes: bytes) -> None:
    assert check(server, request_bytes) == SERVING


@pytest.mark.parametrize(
    ("request_bytes", "method", "code"),
    [(b"\xff", "Check", grpc.StatusCode.INTERNAL), (b"", "Watch", grpc.StatusCode.UNIMPLEMENTED)],
)
def test_what_is_no_check_is_refused(server: Server, request_bytes: bytes, method: str, code: grpc.StatusCode) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        check(server, request_bytes, method)
    assert raised.value.code() is code
