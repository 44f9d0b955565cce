"""The calls of GRPCInferenceService: each takes the bytes of its request message and gives those of its response.

A transport (`server.py`) finds a handler here by the method's name, and turns a `TisError` into its status.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

from tis.contracts import messages as m
from tis.contracts.versions import parse_version
from tis_frontend.grpc.category import HEADER_PREFIX
from tis_frontend.grpc.control import ControlService
from tis_frontend.grpc.health import HealthService
from tis_frontend.grpc.infer_call import InferCalls
from tis_frontend.grpc.messages import pb
from tis_frontend.grpc.parameters import Metadata
from tis_frontend.grpc.shared_memory import SharedMemoryService
from tis_frontend.grpc.stream import InferStream
from tis_frontend.grpc.wire import parse, serialized
from tis_frontend.restriction import expected_headers
from tis_frontend.server import Server

Handler = Callable[[bytes], Awaitable[bytes]]


class InferenceService:
    """Unary calls by method name, and the one that is a stream."""

    def __init__(self, server: Server) -> None:
        self._server = server
        #: ModelInfer takes the call's metadata as well.
        self.infer_calls = InferCalls(server)
        self.unary: dict[str, Handler] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelConfig": self._model_config,
            "ModelStatistics": self._model_statistics,
            "ModelInfer": self.infer_calls.infer,
            **ControlService(server).unary,
            **SharedMemoryService(server).unary,
        }

        #: The standard health service, which is beside Triton's.
        self.health: dict[str, Handler] = HealthService(server).unary
        self.restricted = expected_headers(server.settings.grpc_restricted_protocols, HEADER_PREFIX)

    # ---- health and metadata ---------------------------------------------------------------------------------------

    async def _server_live(self, _data: bytes) -> bytes:
        self._server.check_running()
        return serialized(pb.ServerLiveResponse(live=True))

    async def _server_ready(self, _data: bytes) -> bytes:
        self._server.check_running()
        return serialized(pb.ServerReadyResponse(ready=self._server.ready))

    async def _model_ready(self, data: bytes) -> bytes:
        request = parse(pb.ModelReadyRequest, data)
        ready = self._server.table.is_live(request.name, parse_version(request.version))
        return serialized(pb.ModelReadyResponse(ready=ready))

    async def _server_metadata(self, _data: bytes) -> bytes:
        return serialized(pb.ServerMetadataResponse(**self._server.metadata()))

    async def _model_metadata(self, data: bytes) -> bytes:
        request = parse(pb.ModelMetadataRequest, data)
        metadata = self._server.model_metadata(request.name, parse_version(request.version))
        response = pb.ModelMetadataResponse(
            name=metadata["name"], versions=metadata["versions"], platform=metadata["platform"]
        )
        for side in ("inputs", "outputs"):
            for tensor in metadata[side]:
                getattr(response, side).add(**tensor)
        return serialized(response)

    async def _model_config(self, data: bytes) -> bytes:
        request = parse(pb.ModelConfigRequest, data)
        model = self._server.model(request.name, parse_version(request.version))
        return serialized(pb.ModelConfigResponse(config=model.config))

    async def _model_statistics(self, data: bytes) -> bytes:
        request = parse(pb.ModelStatisticsRequest, data)
        found = await self._server.statistics(request.name, parse_version(request.version))
        response = pb.ModelStatisticsResponse()
        for each in found:
            _fill_statistics(response.model_stats.add(), each)
        return serialized(response)

    # ---- inference -------------------------------------------------------------------------------------------------

    def stream(self, requests: AsyncIterator[bytes], metadata: Metadata) -> AsyncGenerator[bytes, None]:
        """ModelStreamInfer: the responses to a stream of requests. Close it to cancel what is in flight."""
        return InferStream(self._server, self.infer_calls, metadata).responses(requests)


def _fill_statistics(target: Any, model: m.ModelStatistics) -> None:
    target.name = model.name
    target.version = str(model.version)
    target.last_inference = model.last_inference_ms
    target.inference_count = model.inference_count
    target.execution_count = model.execution_count
    for field in (
        "success",
        "fail",
        "queue",
        "compute_input",
        "compute_infer",
        "compute_output",
        "cache_hit",
        "cache_miss",
    ):
        _fill_duration(getattr(target.inference_stats, field), getattr(model, field))
    for batch in model.batches:
        entry = target.batch_stats.add(batch_size=batch.batch_size)
        for field in ("compute_input", "compute_infer", "compute_output"):
            _fill_duration(getattr(entry, field), getattr(batch, field))


def _fill_duration(target: Any, duration: m.Duration) -> None:
    target.SetInParent()
    target.count = duration.count
    target.ns = duration.ns
