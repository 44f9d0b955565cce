"""ModelInfer, and the steps of it that a stream takes for each of its requests. Knows no transport."""

import asyncio
import re
from collections.abc import Callable
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
from tis_frontend.grpc.large_response import LARGE_BYTES, LargeResponse
from tis_frontend.grpc.messages import pb
from tis_frontend.grpc.parameters import Metadata, fill_parameters, forward
from tis_frontend.grpc.wire import parse
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
        self._server.check_running()
        message = parse(pb.ModelInferRequest, data)
        model = self.find_model(message)
        if model.spec.decoupled:
            raise unsupported("ModelInfer RPC doesn't support models with decoupled transaction policy")
        core = self._server.core
        trace = core.tracer.sample(model.spec, "GRPC", arrival_ns, metadata) if core.tracer is not None else None

        def deliver(answer: Answer) -> None:
            response: bytes | LargeResponse | TisError
            try:
                response = answer.error or _rendered(core, model, request, answer)
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

        request, request_id = self.submit(model, message, metadata, arrival_ns, deliver, trace, large)
        return partial(core.cancel, request_id)

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
        large: LargeRequest | None = None,
    ) -> tuple[InferRequest, int]:
        """Check a request and send it off; gives it, and the number to cancel it by.

        The tensors of a large one lie in its block, which stays the caller's if this raises.

        Raises:
            TisError: the request does not fit its model, or cannot be taken now; nothing of it stays behind.
        """
        spec = model.spec
        core = self._server.core
        places = large.places if large is not None else None
        request, pieces, block_bytes = infer_request.parse(spec, message, core.regions, places)
        if self._forwarded is not None:
            forward(request, metadata, self._forwarded)
        plan = make_plan(spec, request)
        if large is not None:
            return request, core.submit(plan, request.client_id, large.block, arrival_ns, deliver, trace)
        block = core.take(block_bytes)
        try:
            for tensor, piece in zip(request.inputs, pieces, strict=True):
                if not tensor.region:
                    core.writable(block, tensor.start, tensor.size_bytes)[:] = piece
            return request, core.submit(plan, request.client_id, block, arrival_ns, deliver, trace)
        except Exception:
            core.discard(block)
            raise


def _rendered(core: Core, model: ServedModel, request: InferRequest, answer: Answer) -> bytes | LargeResponse:
    response = pb.ModelInferResponse()
    if answer.size_bytes >= LARGE_BYTES:
        describe_response(response, model, request, answer)
        return LargeResponse(core, answer, response.SerializeToString())
    fill_response(response, model, request, answer)
    rendered: bytes = response.SerializeToString()
    return rendered


def fill_response(response: Any, model: ServedModel, request: InferRequest, answer: Answer) -> None:
    """An answer as ModelInferResponse: every output in raw_output_contents, none in `contents`.

    Raises:
        TisError: an output cannot be had in the form that is wanted.
    """
    describe_response(response, model, request, answer)
    for tensor in answer.outputs:
        response.raw_output_contents.append(bytes(tensor.data))


def describe_response(response: Any, model: ServedModel, request: InferRequest, answer: Answer) -> None:
    """All of a response but its data. Raises as `fill_response`."""
    if request.classification:
        classify(model, answer, request.classification)
    response.model_name = request.model
    response.model_version = str(request.version)
    response.id = request.client_id
    if answer.parameters:
        fill_parameters(response.parameters, answer.parameters)
    for tensor in answer.outputs:
        response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
