"""The calls of GRPCInferenceService: each takes the bytes of its request message and gives those of its response.

A transport (`server.py`) finds a handler here by the method's name, and turns a `TisError` into its status.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2 as pb

from tis.contracts import messages as m
from tis.contracts.inference import Answer, InferRequest
from tis.errors import invalid, unsupported
from tis_frontend.core import now_ns
from tis_frontend.grpc import infer_request
from tis_frontend.model_table import parse_version
from tis_frontend.plan import make_plan
from tis_frontend.server import Server

Handler = Callable[[bytes], Awaitable[bytes]]


class InferenceService:
    """Unary calls by method name."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.unary: dict[str, Handler] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelConfig": self._model_config,
            "ModelStatistics": self._model_statistics,
            "ModelInfer": self._model_infer,
        }

    # ---- health and metadata ---------------------------------------------------------------------------------------

    async def _server_live(self, _data: bytes) -> bytes:
        self._server.check_running()
        return _bytes(pb.ServerLiveResponse(live=True))

    async def _server_ready(self, _data: bytes) -> bytes:
        self._server.check_running()
        return _bytes(pb.ServerReadyResponse(ready=self._server.ready))

    async def _model_ready(self, data: bytes) -> bytes:
        request = _parse(pb.ModelReadyRequest, data)
        ready = self._server.table.is_ready(request.name, parse_version(request.version))
        return _bytes(pb.ModelReadyResponse(ready=ready))

    async def _server_metadata(self, _data: bytes) -> bytes:
        return _bytes(pb.ServerMetadataResponse(**self._server.metadata()))

    async def _model_metadata(self, data: bytes) -> bytes:
        request = _parse(pb.ModelMetadataRequest, data)
        metadata = self._server.model_metadata(request.name, parse_version(request.version))
        response = pb.ModelMetadataResponse(
            name=metadata["name"], versions=metadata["versions"], platform=metadata["platform"]
        )
        for side in ("inputs", "outputs"):
            for tensor in metadata[side]:
                getattr(response, side).add(**tensor)
        return _bytes(response)

    async def _model_config(self, data: bytes) -> bytes:
        request = _parse(pb.ModelConfigRequest, data)
        model = self._server.model(request.name, parse_version(request.version))
        return _bytes(pb.ModelConfigResponse(config=model.config))

    async def _model_statistics(self, data: bytes) -> bytes:
        request = _parse(pb.ModelStatisticsRequest, data)
        found = await self._server.statistics(request.name, parse_version(request.version))
        response = pb.ModelStatisticsResponse()
        for each in found:
            _fill_statistics(response.model_stats.add(), each)
        return _bytes(response)

    # ---- inference -------------------------------------------------------------------------------------------------

    async def _model_infer(self, data: bytes) -> bytes:
        arrival_ns = now_ns()
        self._server.check_running()
        message = _parse(pb.ModelInferRequest, data)
        spec = self._server.model(message.model_name, parse_version(message.model_version)).spec
        if spec.decoupled:
            raise unsupported("ModelInfer RPC doesn't support models with decoupled transaction policy")
        request, pieces, block_bytes = infer_request.parse(spec, message)
        plan = make_plan(spec, request)
        core = self._server.core
        block = core.take(block_bytes)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        try:
            for tensor, piece in zip(request.inputs, pieces, strict=True):
                core.writable(block, tensor.start, tensor.size_bytes)[:] = piece
            request_id = core.submit(plan, request.client_id, block, arrival_ns, future.set_result)
        except Exception:
            core.discard(block)
            raise
        try:
            answer = await future
        except asyncio.CancelledError:
            core.cancel(request_id)
            if future.done() and not future.cancelled():
                core.release(future.result())
            raise
        if answer.error is not None:
            raise answer.error
        try:
            return _render(request, answer)
        finally:
            core.release(answer)


def _render(request: InferRequest, answer: Answer) -> bytes:
    """ModelInferResponse: every output in raw_output_contents, none in `contents`."""
    response = pb.ModelInferResponse(model_name=request.model, model_version=str(request.version), id=request.client_id)
    for tensor in answer.outputs:
        response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        response.raw_output_contents.append(bytes(tensor.data))
    return _bytes(response)


def _parse(kind: Any, data: bytes) -> Any:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise invalid(f"unable to parse the request message: {error}") from None


def _bytes(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data


def _fill_statistics(target: Any, model: m.ModelStatistics) -> None:
    target.name = model.name
    target.version = str(model.version)
    target.last_inference = model.last_inference_ms
    target.inference_count = model.inference_count
    target.execution_count = model.execution_count
    for field in ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output"):
        _fill_duration(getattr(target.inference_stats, field), getattr(model, field))
    target.inference_stats.cache_hit.SetInParent()
    target.inference_stats.cache_miss.SetInParent()
    for batch in model.batches:
        entry = target.batch_stats.add(batch_size=batch.batch_size)
        for field in ("compute_input", "compute_infer", "compute_output"):
            _fill_duration(getattr(entry, field), getattr(batch, field))


def _fill_duration(target: Any, duration: m.Duration) -> None:
    target.SetInParent()
    target.count = duration.count
    target.ns = duration.ns
