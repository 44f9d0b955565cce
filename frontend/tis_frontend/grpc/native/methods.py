"""Which call each path begins, and who may: the handlers of the service on this transport."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from tis.errors import TisError, internal
from tis.log import get_logger
from tis.settings import CompressionLevel
from tis_frontend.access_log import AccessLog
from tis_frontend.grpc.access import logged_stream, logged_unary
from tis_frontend.grpc.category import CATEGORIES
from tis_frontend.grpc.health import HEALTH_SERVICE
from tis_frontend.grpc.infer_call import InferCalls
from tis_frontend.grpc.large_request import LargeRequest
from tis_frontend.grpc.native.call import Context
from tis_frontend.grpc.native.head import Head
from tis_frontend.grpc.native.status import CallError, Status
from tis_frontend.grpc.native.streaming import StreamCall
from tis_frontend.grpc.native.unary import Begin, UnaryCall
from tis_frontend.grpc.service import Handler, InferenceService
from tis_frontend.grpc.status import STATUS
from tis_frontend.http2.stream import Stream
from tis_frontend.restriction import Expected

if TYPE_CHECKING:
    from tis_frontend.grpc.native.session import Session

Answer = Callable[[bytes, Context], Awaitable[bytes]]

_SERVICE: Final = "inference.GRPCInferenceService"

_log = get_logger(__name__)


class Methods:
    """Paths, and what is begun for each."""

    def __init__(
        self, service: InferenceService, access: AccessLog | None, compression: CompressionLevel = "none"
    ) -> None:
        self.compression: Final[CompressionLevel] = compression
        self._unary: dict[str, Begin] = {}
        for name, handler in service.unary.items():
            self._unary[f"/{_SERVICE}/{name}"] = _task(name, _without_context(handler), access)
        for name, handler in service.health.items():
            self._unary[f"/{HEALTH_SERVICE}/{name}"] = _task(name, _without_context(handler), access)
        infer = service.infer_calls
        #: Nothing that the pool cannot hold is of use; a small message may claim to become one of 2 GiB.
        self.most_unpacked_bytes: Final = infer.most_bytes
        self._take_large = infer.large
        #: ModelInfer, where it takes large messages bit by bit.
        self._infer: Begin | None = None
        if access is None:
            self._unary[f"/{_SERVICE}/ModelInfer"] = self._infer = _infer(infer)
        else:
            self._unary[f"/{_SERVICE}/ModelInfer"] = _task("ModelInfer", _with_metadata(infer), access)
        stream = _stream(service)
        if access is not None:
            stream = logged_stream(access, "ModelStreamInfer", stream, _status_name)
        self._streams = {f"/{_SERVICE}/ModelStreamInfer": stream}
        self._restricted: dict[str, Expected] = {}
        for path in [*self._unary, *self._streams]:
            expected = service.restricted.get(CATEGORIES.get(path.rpartition("/")[2], ""))
            if expected is not None:
                self._restricted[path] = expected

    def open(self, session: "Session", stream: Stream, head: Head) -> UnaryCall | StreamCall:
        """Begin a call.

        Raises:
            CallError: there is no such method, or it asks for a header that is not there.
        """
        path = head.path
        if self._restricted:
            expected = self._restricted.get(path)
            if expected is not None and not expected.met_by(head.value(expected.header)):
                text = f"This protocol is restricted, expecting header '{expected.shown}'"
                raise CallError(Status.UNAVAILABLE, text)
        begin = self._unary.get(path)
        if begin is not None:
            return UnaryCall(session, stream, head, begin, self._take_large if begin is self._infer else None)
        run = self._streams.get(path)
        if run is None:
            raise CallError(Status.UNIMPLEMENTED, "Method not found!")
        return StreamCall(session, stream, head, run)


def _infer(calls: InferCalls) -> Begin:
    """ModelInfer, the one that must be fast: no task and no future."""

    def begin(call: UnaryCall, message: bytes | LargeRequest) -> Callable[[], None]:
        return calls.begin(message, call.head.metadata, call.respond)

    return begin


def _task(name: str, handler: Answer, access: AccessLog | None) -> Begin:
    """A handler that is a coroutine function over the bytes of its message and the call's context."""

    async def answer(message: bytes, context: Context) -> bytes:
        try:
            return await handler(message, context)
        except TisError as error:
            context.status = STATUS[error.code]
            raise
        except Exception as error:
            _log.exception("%s failed", name)
            context.status = Status.INTERNAL
            raise internal(f"{type(error).__name__}: {error}") from error

    answered = answer if access is None else logged_unary(access, name, answer, _status_name)

    async def run(call: UnaryCall, message: bytes) -> None:
        response: bytes | TisError
        try:
            response = await answered(message, call.context)
        except TisError as error:
            response = error
        call.respond(response)

    def begin(call: UnaryCall, message: bytes) -> Callable[[], None]:
        task = asyncio.ensure_future(run(call, message))

        def cancel() -> None:
            task.cancel()

        return cancel

    return begin


def _with_metadata(calls: InferCalls) -> Answer:
    async def answer(message: bytes, context: Context) -> bytes:
        return await calls.infer(message, context.metadata)

    return answer


def _without_context(handler: Handler) -> Answer:
    async def answer(message: bytes, _context: Context) -> bytes:
        return await handler(message)

    return answer


def _stream(service: InferenceService) -> Callable[[Any, Any], Awaitable[None]]:
    async def run(requests: StreamCall, context: StreamCall) -> None:
        responses = service.stream(requests, context.head.metadata)
        try:
            async for response in responses:
                await context.write(response)
        except TisError as error:
            context.context.status = STATUS[error.code]
            raise
        finally:
            await responses.aclose()

    return run


def _status_name(context: Any) -> str:
    """The status that a call was ended with."""
    return Status(context.status).name
