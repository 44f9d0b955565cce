"""ModelInfer, and the steps of it that a stream takes for each of its requests. Knows no transport."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

from tritonclient.grpc import service_pb2 as pb

from tis.contracts.inference import Answer, InferRequest
from tis.contracts.plan import make_plan
from tis.contracts.versions import parse_version
from tis.errors import unsupported
from tis_frontend.classification import classify
from tis_frontend.core import now_ns
from tis_frontend.grpc import infer_request
from tis_frontend.grpc.parameters import Metadata, fill_parameters, forward
from tis_frontend.grpc.wire import parse
from tis_frontend.model_table import ServedModel
from tis_frontend.observer import Observed
from tis_frontend.server import Server


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

    async def infer(self, data: bytes, metadata: Metadata = ()) -> bytes:
        """ModelInfer.

        Raises:
            TisError: the request is refused, or has failed.
        """
        arrival_ns = now_ns()
        self._server.check_running()
        message = parse(pb.ModelInferRequest, data)
        model = self.find_model(message)
        if model.spec.decoupled:
            raise unsupported("ModelInfer RPC doesn't support models with decoupled transaction policy")
        core = self._server.core
        trace = core.tracer.sample(model.spec, "GRPC", arrival_ns, metadata) if core.tracer is not None else None
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def deliver(answer: Answer) -> None:
            if future.done():
                # The call was cancelled a moment ago.
                core.release(answer)
            else:
                future.set_result(answer)

        request, request_id = self.submit(model, message, metadata, arrival_ns, deliver, trace)
        try:
            answer = await future
        except asyncio.CancelledError:
            core.cancel(request_id)
            if future.done() and not future.cancelled():
                core.release(future.result())
            raise
        if answer.error is not None:
            if trace is not None:
                trace.sending()
                asyncio.get_running_loop().call_soon(trace.sent)
            raise answer.error
        try:
            response = pb.ModelInferResponse()
            fill_response(response, model, request, answer)
        finally:
            core.release(answer)
        rendered: bytes = response.SerializeToString()
        if trace is not None:
            # The transport takes the response when this has returned.
            trace.sending()
            asyncio.get_running_loop().call_soon(trace.sent)
        return rendered

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
        spec = model.spec
        request, pieces, block_bytes = infer_request.parse(spec, message, self._server.core.regions)
        if self._forwarded is not None:
            forward(request, metadata, self._forwarded)
        plan = make_plan(spec, request)
        core = self._server.core
        block = core.take(block_bytes)
        try:
            for tensor, piece in zip(request.inputs, pieces, strict=True):
                if not tensor.region:
                    core.writable(block, tensor.start, tensor.size_bytes)[:] = piece
            return request, core.submit(plan, request.client_id, block, arrival_ns, deliver, trace)
        except Exception:
            core.discard(block)
            raise


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
