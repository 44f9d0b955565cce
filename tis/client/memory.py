"""A client's shared memory: regions that the server grants, cut into blocks that are used again and again.

A block is taken for as long as anything refers to it: the tensors of a request until it has ended, an array for as long as
it or a view of it lives. Only then can the bytes become somebody else's. `own_regions` has the program's own memory.
"""

import mmap
import os
import weakref
from bisect import insort
from math import prod
from typing import Any, Final

import numpy as np

from tis.client.tensors import Array

_ALIGNMENT_BYTES: Final = 64
_MOST_KNOWN: Final = 256


class Span:
    """Memory that the server knows by a name, and where it lies in this process."""

    def __init__(self, name: str, address: int, size_bytes: int) -> None:
        self.name: Final = name
        self.address: Final = address
        self.size_bytes: Final = size_bytes


class Region(Span):
    """A region that the server has granted, mapped. Its free ranges are kept sorted, and those that meet are one."""

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
        #: All of it. Nothing that a program gets refers to this: only blocks are counted.
        self.bytes: Final[Array] = np.frombuffer(self.map, np.uint8)
        super().__init__(name, address_of(self.bytes), size_bytes)
        #: (start, size in bytes), by start.
        self._free: list[tuple[int, int]] = [(0, size_bytes)]
        #: Blocks that have been given back and are not among the free ranges yet: the garbage collector may give one back at
        #: any moment, also while the ranges are being changed.
        self._returned: list[tuple[int, int]] = []

    def take(self, size_bytes: int) -> int | None:
        """Where a new block of so many bytes begins; None where there is no room."""
        returned = self._returned
        while returned:
            start, returned_bytes = returned.pop()
            if returned_bytes == size_bytes:
                return start
            self._join(start, returned_bytes)
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
        self._returned.append((start, size_bytes))

    @property
    def used_bytes(self) -> int:
        """Bytes of blocks that something refers to."""
        while self._returned:
            self._join(*self._returned.pop())
        return self.size_bytes - sum(size_bytes for _, size_bytes in self._free)

    @property
    def is_unused(self) -> bool:
        """True where no block is taken."""
        return not self.used_bytes

    def _join(self, start: int, size_bytes: int) -> None:
        insort(self._free, (start, size_bytes))
        position = self._free.index((start, size_bytes))
        if position + 1 < len(self._free) and self._free[position + 1][0] == start + size_bytes:
            size_bytes += self._free.pop(position + 1)[1]
            self._free[position] = (start, size_bytes)
        if position and sum(self._free[position - 1]) == start:
            before, before_bytes = self._free[position - 1]
            self._free[position - 1 : position + 1] = [(before, before_bytes + size_bytes)]


class _Lent:
    """Numpy's way to an array that refers to a block for as long as it, or a view of it, lives."""

    __slots__ = ("__array_interface__", "_block")

    def __init__(self, block: "Block", shape: tuple[int, ...], dtype: "np.dtype[Any]") -> None:
        self._block = block
        address = block.region.address + block.start
        self.__array_interface__ = {"shape": shape, "typestr": dtype.str, "data": (address, False), "version": 3}


class Block:
    """Bytes of a region, taken until the last reference has gone. Arrays over it keep it alive."""

    __slots__ = ("region", "size_bytes", "start")

    def __init__(self, region: Region, start: int, size_bytes: int) -> None:
        self.region = region
        self.start = start
        self.size_bytes = size_bytes

    def __del__(self) -> None:
        self.region.give_back(self.start, self.size_bytes)

    def array(self, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> Array:
        """An array over its beginning, which keeps it.

        Raises:
            ValueError: it does not fit.
        """
        if prod(shape) * dtype.itemsize > self.size_bytes:
            raise ValueError(f"{shape} x {dtype} does not fit into {self.size_bytes} bytes")
        return np.asarray(_Lent(self, shape, dtype))

    @property
    def bytes(self) -> Array:
        """Its bytes as an array of uint8."""
        return self.array((self.size_bytes,), _BYTE)

    def fill(self, array: Array) -> None:
        """Copy a contiguous array to its beginning."""
        self.region.bytes[self.start : self.start + array.nbytes] = array.reshape(-1).view(np.uint8)


class Memory:
    """All that a client may name to the server. Where nothing can be had, or once it is gone, tensors travel in messages."""

    def __init__(self) -> None:
        #: Those that were granted, which blocks are taken of.
        self.regions: list[Region] = []
        #: False where this process cannot open what the server grants.
        self.works = True
        #: All that arrays may lie in: where each begins and ends.
        self._spans: list[tuple[int, int, Span]] = []
        #: Where arrays lie that have been looked for, by what they are: numpy takes long to tell an array's address.
        self._known: dict[int, tuple[weakref.ref[Array], int, Span, int]] = {}

    def add(self, region: Region) -> None:
        """The server has granted a region."""
        self.regions.append(region)
        self.know(region)

    def know(self, span: Span) -> None:
        """The server knows this memory."""
        self._spans.append((span.address, span.address + span.size_bytes, span))

    def drop(self, span: Span) -> None:
        """The server is to hear of this memory no more."""
        self._spans = [each for each in self._spans if each[2] is not span]
        self._known.clear()

    def forget(self) -> None:
        """The server knows none of them any more; arrays over them stay what they are."""
        self.regions.clear()
        self._spans.clear()
        self._known.clear()

    def take(self, size_bytes: int) -> Block | None:
        """A block; None where a further region is needed."""
        rounded = -(-size_bytes // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES or _ALIGNMENT_BYTES
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

    def holding(self, array: Array) -> tuple[Span, int] | None:
        """The memory that a contiguous array lies in, and where; None where it lies elsewhere."""
        if not self._spans:
            return None
        size_bytes = array.nbytes
        known = self._known.get(id(array))
        # Another array may have got the number since, and this one may have been given another shape.
        if known is not None and known[0]() is array and known[1] == size_bytes:
            return known[2], known[3]
        address = address_of(array)
        for begin, end, span in self._spans:
            if begin <= address and address + size_bytes <= end:
                if len(self._known) >= _MOST_KNOWN:
                    self._known.clear()
                self._known[id(array)] = (weakref.ref(array), size_bytes, span, address - begin)
                return span, address - begin
        return None


def address_of(array: Array) -> int:
    """Where an array's first byte lies in this process."""
    address: int = array.__array_interface__["data"][0]
    return address


_BYTE: Final = np.dtype(np.uint8)
