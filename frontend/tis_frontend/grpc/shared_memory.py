"""gRPC calls of clients' shared memory: status, register and unregister, for system and CUDA memory."""

from collections.abc import Awaitable, Callable
from typing import Any

from tis_frontend import region_calls
from tis_frontend.grpc.messages import pb
from tis_frontend.grpc.wire import parse, serialized
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
        request = parse(pb.SystemSharedMemoryStatusRequest, data)
        return self._status(pb.SystemSharedMemoryStatusResponse(), request.name, "system")

    async def _cuda_status(self, data: bytes) -> bytes:
        request = parse(pb.CudaSharedMemoryStatusRequest, data)
        return self._status(pb.CudaSharedMemoryStatusResponse(), request.name, "cuda")

    def _status(self, response: Any, name: str, kind: str) -> bytes:
        for region in region_calls.status(self._server, name, kind):
            entry = response.regions[region.name]
            for field, value in row(region).items():
                setattr(entry, field, value)
        return serialized(response)

    async def _system_register(self, data: bytes) -> bytes:
        request = parse(pb.SystemSharedMemoryRegisterRequest, data)
        await region_calls.register_system(self._server, request.name, request.key, request.offset, request.byte_size)
        return serialized(pb.SystemSharedMemoryRegisterResponse())

    async def _cuda_register(self, data: bytes) -> bytes:
        request = parse(pb.CudaSharedMemoryRegisterRequest, data)
        await region_calls.register_cuda(
            self._server, request.name, request.raw_handle, request.device_id, request.byte_size
        )
        return serialized(pb.CudaSharedMemoryRegisterResponse())

    async def _system_unregister(self, data: bytes) -> bytes:
        request = parse(pb.SystemSharedMemoryUnregisterRequest, data)
        await region_calls.unregister(self._server, request.name, "system")
        return serialized(pb.SystemSharedMemoryUnregisterResponse())

    async def _cuda_unregister(self, data: bytes) -> bytes:
        request = parse(pb.CudaSharedMemoryUnregisterRequest, data)
        await region_calls.unregister(self._server, request.name, "cuda")
        return serialized(pb.CudaSharedMemoryUnregisterResponse())
