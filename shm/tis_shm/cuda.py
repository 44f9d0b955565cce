"""CUDA memory that a client made and shares by its IPC handle, through the CUDA runtime's own library.

Not proven on a GPU yet: it is written to NVIDIA's documentation of the runtime, and the machines that test this server
have had none. Data go through host memory in this version: a view is a copy, and what is written there is copied back.

Imported only by a worker that meets such a region, so that nobody else needs the library or a context on the device.
"""

import ctypes
import ctypes.util
import os
from typing import Any, Final

from tis_shm.region import RegionError, holds

#: Bytes of a cudaIpcMemHandle_t.
HANDLE_BYTES: Final = 64

_LAZY_PEER_ACCESS: Final = 1
_HOST_TO_DEVICE: Final = 1
_DEVICE_TO_HOST: Final = 2
_LIBRARIES: Final = ("libcudart.so", "libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0")


class _IpcHandle(ctypes.Structure):
    _fields_ = (("reserved", ctypes.c_char * HANDLE_BYTES),)


class CudaRegion:
    """Device memory of another process. Offers what `SystemRegion` offers, with copies in place of views."""

    def __init__(self, handle: bytes, gpu: str, size_bytes: int) -> None:
        """Open the handle of memory on the GPU that `CUDA_VISIBLE_DEVICES` calls `gpu`.

        Raises:
            RegionError: there is no CUDA here, or it refuses the handle.
        """
        if len(handle) != HANDLE_BYTES:
            raise RegionError(f"a CUDA IPC handle has {HANDLE_BYTES} bytes, this one has {len(handle)}")
        self.size_bytes: Final = size_bytes
        self.offset: Final = 0
        self.identity: Final[tuple[Any, ...]] = ("cuda", gpu, handle)
        self._device = _device(gpu)
        self._runtime = _runtime()
        self._begin = ctypes.c_void_p()
        packed = _IpcHandle.from_buffer_copy(handle)
        self._call("cudaSetDevice", ctypes.c_int(self._device))
        self._call("cudaIpcOpenMemHandle", ctypes.byref(self._begin), packed, ctypes.c_uint(_LAZY_PEER_ACCESS))

    def view(self, start: int, size_bytes: int) -> memoryview:
        """A copy of bytes of the region, in host memory.

        Raises:
            RegionError: they are not inside the region, or CUDA cannot read them.
        """
        data = ctypes.create_string_buffer(max(size_bytes, 1))
        self._copy(ctypes.addressof(data), self._at(start, size_bytes), size_bytes, _DEVICE_TO_HOST)
        return memoryview(data).cast("B")[:size_bytes]

    def write(self, start: int, data: memoryview) -> None:
        """Put bytes into the region.

        Raises:
            RegionError: they do not fit into it, or CUDA cannot write them.
        """
        at = self._at(start, len(data))
        host = ctypes.create_string_buffer(bytes(data), max(len(data), 1))
        self._copy(at, ctypes.addressof(host), len(data), _HOST_TO_DEVICE)

    def close(self) -> bool:
        """Give the memory up; nobody holds a view of it."""
        if self._begin.value is not None:
            begin, self._begin = self._begin, ctypes.c_void_p()
            self._call("cudaIpcCloseMemHandle", begin)
        return True

    def _at(self, start: int, size_bytes: int) -> int:
        if not holds(self.size_bytes, start, size_bytes):
            raise RegionError(
                f"bytes {start} to {start + size_bytes} are not inside the region of {self.size_bytes} bytes"
            )
        return (self._begin.value or 0) + start

    def _copy(self, target: int, source: int, size_bytes: int, direction: int) -> None:
        self._call("cudaSetDevice", ctypes.c_int(self._device))
        self._call(
            "cudaMemcpy",
            ctypes.c_void_p(target),
            ctypes.c_void_p(source),
            ctypes.c_size_t(size_bytes),
            ctypes.c_int(direction),
        )

    def _call(self, name: str, *arguments: Any) -> None:
        error = getattr(self._runtime, name)(*arguments)
        if error:
            self._runtime.cudaGetErrorString.restype = ctypes.c_char_p
            text = self._runtime.cudaGetErrorString(error).decode()
            raise RegionError(f"CUDA: {name} failed: {text}")


def _device(gpu: str) -> int:
    """The number that this process has for a GPU. A process that sees none, for a model on the CPU, is shown this one."""
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", gpu).split(",") if name]
    if not visible:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
        visible = [gpu]
    if gpu not in visible:
        raise RegionError(f"the region lies on GPU {gpu}, which this model instance does not see")
    return visible.index(gpu)


def _runtime() -> Any:
    found = ctypes.util.find_library("cudart")
    for name in ([found] if found else []) + list(_LIBRARIES):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise RegionError("the CUDA runtime library (libcudart) is not installed")
