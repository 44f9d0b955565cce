"""A client's shared memory: regions that the server grants, cut into blocks that are used again and again.

A block is taken for as long as anything refers to it: the tensors of a request until it has ended, an array for as long as
it or a view of it lives. Only then can the bytes become somebody else's.
"""

import mmap
import os
import weakref
from bisect import insort
from typing import Any, Final

import numpy as np

from tis.client.errors import StaleError
from tis.client.tensors import Array

_ALIGNMENT_BYTES: Final = 64


class Region:
    """A region, mapped. Its free ranges are kept sorted, and those that meet are one."""

    def __init__(self, name: str, path: str, size_bytes: int, identity: tuple[int, int]) -> None:
        """Map it.

        Raises:
            OSError: it cannot be opened by this process.
        """
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            about = os.fstat(fd)
            if (about.st_dev, about.st_ino) != identity or about.st_size < size_bytes:
                raise OSError(f"{path} is not the region that was granted")
            self.map: Final = mmap.mmap(fd, size_bytes)
        finally:
            os.close(fd)
        self.name: Final = name
        self.size_bytes: Final = size_bytes
        #: Where its first byte lies in this process.
        self.address: Final[int] = np.frombuffer(self.map, np.uint8).__array_interface__["data"][0]
        #: (start, size in bytes), by start.
        self._free: list[tuple[int, int]] = [(0, size_bytes)]

    def take(self, size_bytes: int) -> int | None:
        """Where a new block of so many bytes begins; None where there is no room."""
        for position, (start, free_bytes) in enumerate(self._free):
            if free_bytes >= size_bytes:
                if free_bytes == size_bytes:
                    del self._free[position]
                else:
                    self._free[position] = (start + size_bytes, free_bytes - size_bytes)
                return start
        return None

    def give_back(self, start: int, size_bytes: int) -> None:
        """A block is free."""
        insort(self._free, (start, size_bytes))
        position = self._free.index((start, size_bytes))
        if position + 1 < len(self._free) and self._free[position + 1][0] == start + size_bytes:
            size_bytes += self._free.pop(position + 1)[1]
            self._free[position] = (start, size_bytes)
        if position and sum(self._free[position - 1]) == start:
            before, before_bytes = self._free[position - 1]
            self._free[position - 1 : position + 1] = [(before, before_bytes + size_bytes)]

    @property
    def is_unused(self) -> bool:
        """True where no block is taken."""
        return self._free == [(0, self.size_bytes)]


class Block:
    """Bytes of a region, taken until the last reference has gone. Arrays over it keep it alive."""

    def __init__(self, region: Region, start: int, size_bytes: int) -> None:
        self.region: Final = region
        self.start: Final = start
        self.size_bytes: Final = size_bytes
        self._finalizer = weakref.finalize(self, region.give_back, start, size_bytes)
        self._finalizer.atexit = False

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """Numpy's way to an array that refers to this object for as long as it, or a view of it, lives."""
        address = self.region.address + self.start
        return {"shape": (self.size_bytes,), "typestr": "|u1", "data": (address, False), "version": 3}

    @property
    def bytes(self) -> Array:
        """Its bytes as an array of uint8."""
        return np.asarray(self)


class Memory:
    """All regions of one client. Where none can be had, or once they are gone, tensors travel in messages."""

    def __init__(self) -> None:
        self.regions: list[Region] = []
        #: False where this process cannot open what the server grants.
        self.works = True
        self._names: dict[str, Region] = {}

    def add(self, region: Region) -> None:
        """The server has granted a region."""
        self.regions.append(region)
        self._names[region.name] = region

    def forget(self) -> None:
        """The server knows none of them any more; arrays over them stay what they are."""
        self.regions.clear()
        self._names.clear()

    def take(self, size_bytes: int) -> Block | None:
        """A block; None where a further region is needed."""
        rounded = max(-(-size_bytes // _ALIGNMENT_BYTES), 1) * _ALIGNMENT_BYTES
        for region in self.regions:
            start = region.take(rounded)
            if start is not None:
                return Block(region, start, rounded)
        return None

    def wished_bytes(self, size_bytes: int, most_bytes: int) -> int:
        """How large the next region should be: twice all before it, so that there are few."""
        rounded = max(-(-size_bytes // mmap.PAGESIZE), 1) * mmap.PAGESIZE
        return min(
            max(2 * sum(region.size_bytes for region in self.regions), 1 << 20, rounded), max(most_bytes, rounded)
        )

    def holding(self, array: Array) -> tuple[Region, int] | None:
        """The region that a contiguous array lies in, and where; None where it lies elsewhere."""
        if not self.regions:
            return None
        address = array.__array_interface__["data"][0]
        for region in self.regions:
            start = address - region.address
            if start >= 0 and start + array.nbytes <= region.size_bytes:
                return region, start
        return None

    def named(self, name: str) -> Region:
        """A region that a reply names.

        Raises:
            StaleError: it is gone.
        """
        region = self._names.get(name)
        if region is None:
            raise StaleError(f"the region '{name}' is gone")
        return region
