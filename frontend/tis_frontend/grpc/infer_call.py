"""ModelInfer, and the steps of it that a stream takes for each of its requests. Knows no transport."""

import asyncio
import re
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

from tis.contracts.inference import Answer, InferRequest
from tis.contracts.plan import make_plan
from tis.contracts.versions import parse_version
from tis.errors import TisError, internal, unsupported
from tis.log import get_logger
from tis_frontend.classification import classify
from tis_frontend.core import Core, now_ns
from tis_frontend.grpc import infer_request
from tis_frontend.grpc.large_request import LargeRequest
from tis_frontend.grpc.large_response import LARGE_BYTES, RAW_CONTENTS, LargeResponse
from tis_frontend.grpc.messages import pb
from tis_frontend.grpc.parameters import Metadata, fill_parameters, forward
from tis_frontend.grpc.planned import (
    Pieces,
    PlannedInfer,
    remember,
    remembered,
    response_head,
    take_apart,
)
from tis_frontend.grpc.wire import parse, varint
from tis_frontend.model_table import ServedModel
from tis_frontend.observer import Observed
from tis_frontend.server import Server

Respond = Callable[[bytes | LargeResponse | TisError], None]

_log = get_logger(__name__)


class InferCalls:
    """Turns inference requests into work for the core, and answers into responses."""

    def __init__(self, server: Server) -> None:
        self._server = server
        pattern = server.settings.grpc_header_forward_pattern
        self._forwarded = re.compile(pattern, re.IGNORECASE) if pattern else None

    @property
    def reads_metadata(self) -> bool:
        """Whether the metadata of a call matter; if not, a transport need not gather them for `infer`."""
        return self._forwarded is not None or self._server.settings.exports_spans

    @property
    def most_bytes(self) -> int:
        """No request that is larger can be served."""
        return self._server.core.capacity_bytes

    async def infer(self, data: bytes, metadata: Metadata = ()) -> bytes:
        """ModelInfer, for a transport that waits for its response.

        Raises:
            TisError: the request is refused, or has failed.
        """
        future: asyncio.Future[bytes | LargeResponse | TisError] = asyncio.get_running_loop().create_future()

        def respond(response: bytes | LargeResponse | TisError) -> None:
            if not future.done():
                # Else the call was cancelled a moment ago.
                future.set_result(response)

        cancel = self.begin(data, metadata, respond)
        try:
            response = await future
        except asyncio.CancelledError:
            cancel()
            raise
        if isinstance(response, TisError):
            raise response
        return response.joined() if isinstance(response, LargeResponse) else response

    def large(self, size_bytes: int) -> LargeRequest:
        """Take in a message of this size bit by bit; give it to `begin` when it is whole, or discard it.

        Raises:
            TisError: there is no room for it.
        """
        return LargeRequest(self._server.core, size_bytes)

    def begin(self, data: bytes | LargeRequest, metadata: Metadata, respond: Respond) -> Callable[[], None]:
        """ModelInfer: send a request off; `respond` is called once with its response, or the error that it got.

        Gives what to call when the client has gone: then `respond` is not called any more.

        Raises:
            TisError: the request is refused.
        """
        if isinstance(data, LargeRequest):
            try:
                return self._begin(data.head, metadata, respond, data)
            except Exception:
                data.discard()
                raise
        return self._begin(data, metadata, respond)

    def _begin(
        self, data: bytes, metadata: Metadata, respond: Respond, large: LargeRequest | None = None
    ) -> Callable[[], None]:
        arrival_ns = now_ns()
        server = self._server
        server.check_running()
        pieces = take_apart(data) if self._forwarded is None else None
        key: Hashable = None
        planned: PlannedInfer | None = None
        if pieces is not None:
            key = pieces.key if large is None else (pieces.key, tuple([size for _, size in large.places]))
            planned = remembered(server.table, key)
        message = None
        if planned is None:
            message = parse(pb.ModelInferRequest, data)
            model = self.find_model(message)
            if model.spec.decoupled:
                raise unsupported("ModelInfer RPC doesn't support models with decoupled transaction policy")
        else:
            model = planned.model
        core = server.core
        trace = core.tracer.sample(model.spec, "GRPC", arrival_ns, metadata) if core.tracer is not None else None
        if planned is None or pieces is None:
            taken = pieces
            planned, pieces = self._plan(model, message, metadata, taken, large)
            if taken is not None:
                remember(server.table, key, taken, planned, message)
        call = planned
        client_id = pieces.client_id

        def deliver(answer: Answer) -> None:
            response: bytes | LargeResponse | TisError
            try:
                response = answer.error or _rendered(core, call, client_id, answer)
            except TisError as error:
                response = error
            except Exception as error:  # noqa: BLE001 - whatever goes wrong in one answer is that answer's text
                _log.exception("an answer could not be written")
                response = internal(f"{type(error).__name__}: {error}")
            if not isinstance(response, LargeResponse):
                core.release(answer)
            if trace is not None:
                # The transport takes the response when this has returned.
                trace.sending()
                asyncio.get_running_loop().call_soon(trace.sent)
            respond(response)

        return partial(core.cancel, self._send(planned, pieces, arrival_ns, deliver, trace, large))

    def find_model(self, message: Any) -> ServedModel:
        """The model that a request is for.

        Raises:
            TisError: there is none, or it takes no requests.
        """
        return self._server.model(message.model_name, parse_version(message.model_version))

    def submit(
        self,
        model: ServedModel,
        message: Any,
        metadata: Metadata,
        arrival_ns: int,
        deliver: Callable[[Answer], None],
        trace: Observed | None = None,
    ) -> tuple[InferRequest, int]:
        """Check a request and send it off; gives it, and the number to cancel it by.

        Raises:
            TisError: the request does not fit its model, or cannot be taken now; nothing of it stays behind.
        """
        planned, pieces = self._plan(model, message, metadata)
        return planned.request, self._send(planned, pieces, arrival_ns, deliver, trace)

    def _plan(
        self,
        model: ServedModel,
        message: Any,
        metadata: Metadata,
        pieces: Pieces | None = None,
        large: LargeRequest | None = None,
    ) -> tuple[PlannedInfer, Pieces]:
        """The checked form of a parsed request, and its data.

        Raises:
            TisError: the request does not fit its model.
        """
        spec = model.spec
        places = large.places if large is not None else None
        request, data, block_bytes = infer_request.parse(spec, message, self._server.core.regions, places)
        if self._forwarded is not None:
            forward(request, metadata, self._forwarded)
        plan = make_plan(spec, request)
        own = [tensor for tensor in request.inputs if not tensor.region]
        planned = PlannedInfer(model, request, plan, tuple([tensor.start for tensor in own]), block_bytes)
        if pieces is None or len(pieces.data) != len(own):
            views = [memoryview(piece) for tensor, piece in zip(request.inputs, data, strict=True) if not tensor.region]
            pieces = Pieces(b"", request.client_id, views)
        return planned, pieces

    def _send(
        self,
        planned: PlannedInfer,
        pieces: Pieces,
        arrival_ns: int,
        deliver: Callable[[Answer], None],
        trace: Observed | None = None,
        large: LargeRequest | None = None,
    ) -> int:
        """Send a checked request off; gives the number to cancel it by.

        The tensors of a large one lie in its block, which stays the caller's if this raises.

        Raises:
            TisError: it cannot be taken now; nothing of it stays behind.
        """
        core = self._server.core
        if large is not None:
            return core.submit(planned.plan, pieces.client_id, large.block, arrival_ns, deliver, trace)
        block = core.place(planned.model.spec, planned.block_bytes)
        try:
            for start, piece in zip(planned.starts, pieces.data, strict=False):
                core.writable(block, start, len(piece))[:] = piece
            return core.submit(planned.plan, pieces.client_id, block, arrival_ns, deliver, trace)
        except Exception:
            core.discard(block)
            raise


def _rendered(core: Core, planned: PlannedInfer, client_id: str, answer: Answer) -> bytes | LargeResponse:
    if planned.request.classification:
        classify(planned.model, answer, planned.request.classification)
    head = response_head(planned, client_id, answer)
    pieces: list[bytes | memoryview] = [head]
    size_bytes = 0
    for tensor in answer.outputs:
        size = len(tensor.data)
        size_bytes += size
        pieces += (RAW_CONTENTS, varint(size), tensor.data)
    return LargeResponse(core, answer, head) if size_bytes >= LARGE_BYTES else b"".join(pieces)


def fill_response(response: Any, model: ServedModel, request: InferRequest, answer: Answer) -> None:
    """An answer as ModelInferResponse: every output in raw_output_contents, none in `contents`.

    Raises:
        TisError: an output cannot be had in the form that is wanted.
    """
    if request.classification:
        classify(model, answer, request.classification)
    response.model_name = request.model
    response.model_version = str(request.version)
    response.id = request.client_id
    if answer.parameters:
        fill_parameters(response.parameters, answer.parameters)
    for tensor in answer.outputs:
        response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        response.raw_output_contents.append(bytes(tensor.data))
