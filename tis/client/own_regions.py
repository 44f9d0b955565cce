"""Memory of the program's own that the server reads and writes in place: POSIX objects that it has, or are made for it."""

import fcntl
import mmap
import os
import weakref
from collections.abc import Awaitable, Callable, Sequence
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np

from tis.client.memory import Span, address_of
from tis.client.tensors import Array

_SHM: Final = Path("/dev/shm")  # noqa: S108 - where Linux keeps POSIX shared memory
_OPEN_FLAGS: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class OwnMemory(Span):
    """A program's memory under a name that this connection knows it by."""

    def __init__(self, name: str, buffer: Any, key: str, offset: int, *, keeper: Any = None, fd: int = -1) -> None:
        """`buffer` is mapped from the byte `offset` of the object `key` on.

        `keeper`: what must live as long. `fd`: a descriptor to be closed when it is let go.
        """
        #: It holds what was mapped: a mapping that is in use here cannot be closed, and nothing else lie there afterwards.
        self._bytes: Array | None = np.frombuffer(buffer, np.uint8)
        super().__init__(name, address_of(self._bytes), self._bytes.nbytes)
        self.key: Final = key
        self.offset: Final = offset
        self._keeper = keeper
        #: False where the server does not know it (any more): then tensors in it are copied, as all others.
        self.is_registered = False
        self._finalizer: Final = weakref.finalize(self, os.close, fd) if fd >= 0 else None

    def array(self, shape: Sequence[int], dtype: Any, offset: int = 0) -> Array:
        """An array over the bytes from `offset` on.

        Raises:
            ValueError: there are not so many bytes, or they have been given back.
        """
        dtype = np.dtype(dtype)
        size_bytes = prod(shape) * dtype.itemsize
        if self._bytes is None:
            raise ValueError("this memory has been given back")
        if offset < 0 or offset + size_bytes > self.size_bytes:
            raise ValueError(f"{size_bytes} bytes from byte {offset} on are not within {self.size_bytes} bytes")
        array: Array = self._bytes[offset : offset + size_bytes].view(dtype).reshape(tuple(shape))
        return array

    def let_go(self) -> None:
        """It is used no more here; what is mapped stays so for as long as there are arrays over it."""
        self.is_registered = False
        self._bytes = self._keeper = None
        if self._finalizer is not None:
            self._finalizer()


def made(name: str, size_bytes: int) -> OwnMemory:
    """A new object without a name, so that nothing of it can stay, whose size is sealed.

    Raises:
        OSError: there is no room for it.
        ValueError: it would have no bytes.
    """
    if size_bytes < 1:
        raise ValueError(f"a region has at least one byte, not {size_bytes}")
    fd = os.memfd_create("tis-client", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size_bytes)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        # The server finds it by the descriptor, also when it has been restarted.
        return OwnMemory(name, mmap.mmap(fd, size_bytes), f"/proc/self/fd/{fd}", 0, fd=fd)
    except BaseException:
        os.close(fd)
        raise


def found(name: str, memory: Any, key: str, offset: int) -> OwnMemory:
    """Memory that the program has: the name of an object, a `SharedMemory`, or what is mapped of an object `key`.

    Raises:
        FileNotFoundError: there is no such object.
        OSError: it cannot be opened.
        TypeError: this is no memory.
        ValueError: it is closed, or is not that of this name.
    """
    if isinstance(memory, str):
        if key or offset:
            raise ValueError("an object is shared by its name alone: key and offset are for what is mapped")
        fd = _opened(memory)
        try:
            return OwnMemory(name, mmap.mmap(fd, 0), memory, 0)
        finally:
            os.close(fd)
    keeper, buffer = memory, memory
    if not key and hasattr(memory, "buf") and hasattr(memory, "name"):
        # A `multiprocessing.shared_memory.SharedMemory`.
        key, buffer = memory.name, memory.buf
        if buffer is None:
            raise ValueError(f"the shared memory '{key}' has been closed")
    if not key:
        raise ValueError("which object is this memory of? Give its name as key")
    own = OwnMemory(name, buffer, key, offset, keeper=keeper)
    fd = _opened(key)
    try:
        inode, size_bytes = os.fstat(fd).st_ino, os.fstat(fd).st_size
    finally:
        os.close(fd)
    if _mapped(own.address) != (inode, offset):
        raise ValueError(f"this memory is not what is mapped from byte {offset} of the shared memory '{key}' on")
    if offset + own.size_bytes > size_bytes:
        raise ValueError(
            f"the shared memory '{key}' has {size_bytes} bytes, fewer than {own.size_bytes} from {offset} on"
        )
    return own


def _opened(key: str) -> int:
    try:
        return os.open(_SHM / key.lstrip("/"), _OPEN_FLAGS)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no shared memory of the name '{key}'") from None


def _mapped(address: int) -> tuple[int, int] | None:
    """The inode of what is mapped at an address, and which of its bytes lies there."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, _, offset, _, inode, *_ = line.split()
        begin, end = (int(each, 16) for each in span.split("-"))
        if begin <= address < end:
            return int(inode), int(offset, 16) + address - begin
    return None


class _Shared:
    """What both clients' regions have."""

    def __init__(self, memory: OwnMemory) -> None:
        self._memory: Final = memory

    @property
    def size_bytes(self) -> int:
        """How large it is."""
        return self._memory.size_bytes

    @property
    def is_registered(self) -> bool:
        """Whether the server knows it. Where it does not, tensors in it are copied, as all others."""
        return self._memory.is_registered

    def array(self, shape: Sequence[int], dtype: Any, offset: int = 0) -> Array:
        """An array over the bytes from `offset` on.

        Raises:
            ValueError: there are not so many bytes, or they have been given back.
        """
        return self._memory.array(shape, dtype, offset)


class SharedRegion(_Shared):
    """A program's memory, until it is closed: arrays and tensors that lie in it are handed over as they are."""

    def __init__(self, memory: OwnMemory, release: Callable[[OwnMemory], None]) -> None:
        super().__init__(memory)
        self._release: Final = release

    def close(self) -> None:
        """The server is to forget it; any number of times. Arrays over it stay what they are."""
        self._release(self._memory)

    def __enter__(self) -> "SharedRegion":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncSharedRegion(_Shared):
    """The same of an asyncio client."""

    def __init__(self, memory: OwnMemory, release: Callable[[OwnMemory], Awaitable[None]]) -> None:
        super().__init__(memory)
        self._release: Final = release

    async def close(self) -> None:
        """The server is to forget it; any number of times. Arrays over it stay what they are."""
        await self._release(self._memory)

    async def __aenter__(self) -> "AsyncSharedRegion":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
