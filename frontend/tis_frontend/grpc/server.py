"""grpcio as the transport of the gRPC face. The only file that imports grpc; another transport would stand beside it."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import grpc

from tis.errors import TisError
from tis.log import get_logger
from tis.settings import CompressionLevel, ServerSettings
from tis_frontend.access_log import AccessLog
from tis_frontend.grpc.access import logged_stream, logged_unary
from tis_frontend.grpc.category import CATEGORIES
from tis_frontend.grpc.departed import keep_departed_out_of_log
from tis_frontend.grpc.health import HEALTH_SERVICE
from tis_frontend.grpc.service import Handler, InferenceService
from tis_frontend.grpc.status import STATUS
from tis_frontend.restriction import Expected

_SERVICE: Final = "inference.GRPCInferenceService"
_INT32_MAX: Final = (1 << 31) - 1
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
#: gRPC chooses the algorithm for a level among those that the client takes.
_LEVELS: Final[dict[CompressionLevel, int]] = {"none": 0, "low": 1, "medium": 2, "high": 3}

_log = get_logger(__name__)


async def start_grpc(service: InferenceService, settings: ServerSettings, access: AccessLog | None = None) -> Any:
    """Start serving on a port that the supervisor has reserved; frontends share it by SO_REUSEPORT.

    Returns the running `grpc.aio.Server`.
    """
    keep_departed_out_of_log()
    gate = [_Gate(service.restricted)] if service.restricted else None
    server = grpc.aio.server(interceptors=gate, options=_options(settings))
    calls = {name: _unary(name, handler) for name, handler in service.unary.items()}
    if service.infer_calls.reads_metadata:
        calls["ModelInfer"] = _infer(service)
    health_calls = {name: _unary(name, handler) for name, handler in service.health.items()}
    stream = _stream(service)
    if access is not None:
        calls = {name: logged_unary(access, name, call, _status_name) for name, call in calls.items()}
        health_calls = {name: logged_unary(access, name, call, _status_name) for name, call in health_calls.items()}
        stream = logged_stream(access, "ModelStreamInfer", stream, _status_name)
    handlers = {name: grpc.unary_unary_rpc_method_handler(call) for name, call in calls.items()}
    handlers["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(stream)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
    health = {name: grpc.unary_unary_rpc_method_handler(call) for name, call in health_calls.items()}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(HEALTH_SERVICE, health),))
    address = f"{settings.grpc_address}:{settings.grpc_port}"
    if settings.grpc_encrypted:
        server.add_secure_port(address, _credentials(settings))
    else:
        server.add_insecure_port(address)
    await server.start()
    return server


def _status_name(context: Any) -> str:
    """The status that a call was ended with, as `_abort` has set it."""
    code = context.code()
    return code.name if isinstance(code, grpc.StatusCode) else "UNKNOWN"


async def _abort(context: Any, code: Any, text: str) -> None:
    """End a call with an error. `abort` alone does not let the code be read back."""
    context.set_code(code)
    await context.abort(code, text)


def _options(settings: ServerSettings) -> list[tuple[str, int]]:
    options = {
        "max_send_message_length": _INT32_MAX,
        "max_receive_message_length": _INT32_MAX,
        "so_reuseport": 1,
        "keepalive_time_ms": settings.grpc_keepalive_time_ms,
        "keepalive_timeout_ms": settings.grpc_keepalive_timeout_ms,
        "keepalive_permit_without_calls": int(settings.grpc_keepalive_permit_without_calls),
        "http2.max_pings_without_data": settings.grpc_http2_max_pings_without_data,
        "http2.min_ping_interval_without_data_ms": settings.grpc_http2_min_recv_ping_interval_without_data_ms,
        "http2.max_ping_strikes": settings.grpc_http2_max_ping_strikes,
    }
    level = _LEVELS[settings.grpc_infer_response_compression_level]
    if level:
        options["default_compression_level"] = level
    if settings.grpc_max_connection_age_ms:
        options["max_connection_age_ms"] = settings.grpc_max_connection_age_ms
    if settings.grpc_max_connection_age_grace_ms:
        options["max_connection_age_grace_ms"] = settings.grpc_max_connection_age_grace_ms
    return [(f"grpc.{name}", value) for name, value in options.items()]


def _credentials(settings: ServerSettings) -> Any:
    key, certificate = Path(settings.grpc_server_key).read_bytes(), Path(settings.grpc_server_cert).read_bytes()
    mutual = settings.grpc_use_ssl_mutual
    root = Path(settings.grpc_root_cert).read_bytes() if mutual else None
    return grpc.ssl_server_credentials([(key, certificate)], root, require_client_auth=mutual)


def _infer(service: InferenceService) -> Callable[[bytes, Any], Awaitable[bytes]]:
    """ModelInfer where metadata become parameters."""
    calls = service.infer_calls

    async def call(data: bytes, context: Any) -> bytes:
        metadata = context.invocation_metadata()
        return await _unary("ModelInfer", lambda data: calls.infer(data, metadata))(data, context)

    return call


def _stream(service: InferenceService) -> Callable[[Any, Any], Awaitable[None]]:
    async def call(requests: Any, context: Any) -> None:
        responses = service.stream(requests, context.invocation_metadata())
        try:
            async for response in responses:
                await context.write(response)
        except TisError as error:
            await _abort(context, _CODES[STATUS[error.code]], error.message)
        finally:
            await responses.aclose()

    return call


def _unary(name: str, handler: Handler) -> Callable[[bytes, Any], Awaitable[bytes]]:
    async def call(data: bytes, context: Any) -> bytes:
        try:
            return await handler(data)
        except TisError as error:
            await _abort(context, _CODES[STATUS[error.code]], error.message)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in one call is that call's answer
            _log.exception("%s failed", name)
            await _abort(context, grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
        raise AssertionError("abort returned")

    return call


class _Gate(grpc.aio.ServerInterceptor):  # type: ignore[misc,unused-ignore]
    """Refuses calls of restricted parts that do not bring the metadata that opens them."""

    def __init__(self, restricted: dict[str, Expected]) -> None:
        self._restricted = restricted

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], call: Any) -> Any:
        """The handler of a call, or one that refuses it."""
        expected = self._restricted.get(CATEGORIES.get(call.method.rpartition("/")[2], ""))
        handler = await continuation(call)
        if expected is None or handler is None:
            return handler
        if expected.met_by(next((value for key, value in call.invocation_metadata if key == expected.header), None)):
            return handler
        text = f"This protocol is restricted, expecting header '{expected.shown}'"

        async def refuse(_request: Any, context: Any) -> None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, text)

        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(refuse)
        return grpc.unary_unary_rpc_method_handler(refuse)
