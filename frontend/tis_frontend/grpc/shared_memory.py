"""gRPC calls of clients' shared memory: status, register and unregister, for system and CUDA memory."""

from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2 as pb

from tis.errors import internal
from tis_frontend import region_calls
from tis_frontend.regions import row
from tis_frontend.server import Server


class SharedMemoryService:
    """Unary calls by method name."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.unary: dict[str, Callable[[bytes], Awaitable[bytes]]] = {
            "SystemSharedMemoryStatus": self._system_status,
            "SystemSharedMemoryRegister": self._system_register,
            "SystemSharedMemoryUnregister": self._system_unregister,
            "CudaSharedMemoryStatus": self._cuda_status,
            "CudaSharedMemoryRegister": self._cuda_register,
            "CudaSharedMemoryUnregister": self._cuda_unregister,
        }

    async def _system_status(self, data: bytes) -> bytes:
        request = _parse(pb.SystemSharedMemoryStatusRequest, data)
        return self._status(pb.SystemSharedMemoryStatusResponse(), request.name, "system")

    async def _cuda_status(self, data: bytes) -> bytes:
        request = _parse(pb.CudaSharedMemoryStatusRequest, data)
        return self._status(pb.CudaSharedMemoryStatusResponse(), request.name, "cuda")

    def _status(self, response: Any, name: str, kind: str) -> bytes:
        for region in region_calls.status(self._server, name, kind):
            entry = response.regions[region.name]
            for field, value in row(region).items():
                setattr(entry, field, value)
        return _bytes(response)

    async def _system_register(self, data: bytes) -> bytes:
        request = _parse(pb.SystemSharedMemoryRegisterRequest, data)
        await region_calls.register_system(self._server, request.name, request.key, request.offset, request.byte_size)
        return _bytes(pb.SystemSharedMemoryRegisterResponse())

    async def _cuda_register(self, data: bytes) -> bytes:
        request = _parse(pb.CudaSharedMemoryRegisterRequest, data)
        await region_calls.register_cuda(
            self._server, request.name, request.raw_handle, request.device_id, request.byte_size
        )
        return _bytes(pb.CudaSharedMemoryRegisterResponse())

    async def _system_unregister(self, data: bytes) -> bytes:
        request = _parse(pb.SystemSharedMemoryUnregisterRequest, data)
        await region_calls.unregister(self._server, request.name, "system")
        return _bytes(pb.SystemSharedMemoryUnregisterResponse())

    async def _cuda_unregister(self, data: bytes) -> bytes:
        request = _parse(pb.CudaSharedMemoryUnregisterRequest, data)
        await region_calls.unregister(self._server, request.name, "cuda")
        return _bytes(pb.CudaSharedMemoryUnregisterResponse())


def _parse(kind: Any, data: bytes) -> Any:
    try:
        return kind.FromString(data)
    except DecodeError:
        raise internal("Unable to parse request") from None


def _bytes(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data
