"""grpcio as the transport of the gRPC face. The only file that imports grpc; another transport would stand beside it."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc

from tis.errors import TisError
from tis.log import get_logger
from tis_frontend.grpc.service import Handler, InferenceService
from tis_frontend.grpc.status import STATUS

_SERVICE: Final = "inference.GRPCInferenceService"
_INT32_MAX: Final = (1 << 31) - 1
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}

_log = get_logger(__name__)


async def start_grpc(service: InferenceService, address: str, port: int) -> Any:
    """Start serving on a port that the supervisor has reserved; frontends share it by SO_REUSEPORT.

    Returns the running `grpc.aio.Server`.
    """
    server = grpc.aio.server(
        options=[
            ("grpc.max_send_message_length", _INT32_MAX),
            ("grpc.max_receive_message_length", _INT32_MAX),
            ("grpc.so_reuseport", 1),
        ]
    )
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(_unary(name, handler)) for name, handler in service.unary.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
    server.add_insecure_port(f"{address}:{port}")
    await server.start()
    return server


def _unary(name: str, handler: Handler) -> Callable[[bytes, Any], Awaitable[bytes]]:
    async def call(data: bytes, context: Any) -> bytes:
        try:
            return await handler(data)
        except TisError as error:
            await context.abort(_CODES[STATUS[error.code]], error.message)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in one call is that call's answer
            _log.exception("%s failed", name)
            await context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
        raise AssertionError("abort returned")

    return call
