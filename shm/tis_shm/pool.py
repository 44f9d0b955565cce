"""The pool: one anonymous shared-memory object that every process of the server maps once.

Nothing here knows who owns which part (`slab.py`) or what the bytes mean.
"""

import fcntl
import mmap
import os
import struct
from typing import Final, NamedTuple

GRANULE_BYTES: Final = 1024

_HEADER_BYTES: Final = 4096
_HEADER: Final = struct.Struct("<8sIIQQ")
_MAGIC: Final = b"tis-pool"
_LAYOUT_VERSION: Final = 1
_WORD_BYTES: Final = 4
_PAGE_BYTES: Final = 4096


class PoolError(Exception):
    """The pool cannot be made, mapped, or used as asked; the text has the sizes."""


class StaleBlockError(PoolError):
    """A descriptor's block has been freed since: reading it would give somebody else's bytes."""


class Block(NamedTuple):
    """A block as its owner hands it to a reader: where it starts, and which life of that place is meant."""

    offset: int
    generation: int


class Pool:
    """The pool as one process sees it.

    Layout, all offsets from the start of the object::

        0       header        magic, layout version, granule, total size, size of the data area
        4096    generations   one uint32 a granule of data: how often a block starting there was taken or given back
        …       released      one uint32 a granule of data: the last generation that a reader is done with
        …       data          the slabs, page-aligned; offsets in descriptors count from here

    Who writes: the header, its creator, once. `generations[g]` and the data: the owner of the slab that holds
    granule g. `released[g]`: the reader that the block starting at g was lent to, and only while it is lent, so no
    word has two writers at a time and there is no lock. A generation is odd while its block is taken, else even.

    Order of stores: the owner writes data, then sends the descriptor through a socket; a reader reads data, then stores
    its release. The first is ordered by the system call; the second needs loads to be done before a later store is
    visible, which x86-64 guarantees and which on weaker machines holds because the reader makes a system call (it
    writes the reply to its own socket) in between.
    """

    def __init__(self, fd: int, total_bytes: int, data_bytes: int) -> None:
        try:
            self._map = mmap.mmap(fd, total_bytes, mmap.MAP_SHARED)
        except (OSError, ValueError) as error:
            raise PoolError(
                f"unable to map the shared-memory pool of {total_bytes} bytes: {error}; "
                "raise the address-space limit (ulimit -v) or give a smaller --pool-byte-size"
            ) from error
        self.fd: Final = fd
        self.total_bytes: Final = total_bytes
        self.data_bytes: Final = data_bytes
        granules = data_bytes // GRANULE_BYTES
        whole = memoryview(self._map)
        released_at = _HEADER_BYTES + _aligned(granules * _WORD_BYTES)
        data_at = released_at + _aligned(granules * _WORD_BYTES)
        self.generations: Final = whole[_HEADER_BYTES : _HEADER_BYTES + granules * _WORD_BYTES].cast("I")
        self.released: Final = whole[released_at : released_at + granules * _WORD_BYTES].cast("I")
        self.data: Final = whole[data_at : data_at + data_bytes]

    @classmethod
    def create(cls, data_bytes: int) -> "Pool":
        """Make the pool. Its pages cost memory only once touched.

        The object has no name: nothing is left behind by a SIGKILL, no client can register it, and the size of
        /dev/shm does not matter.

        Raises:
            PoolError: the machine's limits do not allow a pool of this size.
        """
        data_bytes = data_bytes // _PAGE_BYTES * _PAGE_BYTES
        granules = data_bytes // GRANULE_BYTES
        total_bytes = _HEADER_BYTES + 2 * _aligned(granules * _WORD_BYTES) + data_bytes
        fd = os.memfd_create("tis-pool", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, total_bytes)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            pool = cls(fd, total_bytes, data_bytes)
        except OSError as error:
            os.close(fd)
            raise PoolError(f"unable to make a shared-memory pool of {total_bytes} bytes: {error}") from error
        except PoolError:
            os.close(fd)
            raise
        _HEADER.pack_into(pool._map, 0, _MAGIC, _LAYOUT_VERSION, GRANULE_BYTES, total_bytes, data_bytes)
        return pool

    @classmethod
    def attach(cls, fd: int) -> "Pool":
        """Map the pool that a parent made and passed as a file descriptor.

        Raises:
            PoolError: the descriptor is no pool of this layout.
        """
        head = os.pread(fd, _HEADER.size, 0)
        if len(head) < _HEADER.size:
            raise PoolError("the inherited file descriptor is not a shared-memory pool")
        magic, version, granule, total_bytes, data_bytes = _HEADER.unpack(head)
        if (magic, version, granule) != (_MAGIC, _LAYOUT_VERSION, GRANULE_BYTES):
            raise PoolError("the inherited shared-memory pool has another layout than this version of tis")
        return cls(fd, total_bytes, data_bytes)

    def view(self, block: Block, start: int, size_bytes: int) -> memoryview:
        """The bytes `[start, start + size_bytes)` of a block that another process owns, in place.

        Raises:
            StaleBlockError: the block was freed or taken anew since the descriptor was made.
            PoolError: the range leaves the pool.
        """
        self.check(block)
        begin = block.offset + start
        end = begin + size_bytes
        if start < 0 or size_bytes < 0 or end > self.data_bytes:
            raise PoolError(f"bytes {begin} to {end} are not inside the pool of {self.data_bytes} bytes")
        return self.data[begin:end]

    def check(self, block: Block) -> None:
        """Raise StaleBlockError unless the block still lives the life that its descriptor means."""
        offset, generation = block
        if not 0 <= offset < self.data_bytes or offset % GRANULE_BYTES:
            raise PoolError(f"no block starts at offset {offset} of the pool")
        if self.generations[offset // GRANULE_BYTES] != generation:
            raise StaleBlockError(f"the block at offset {offset} was freed before it was read")

    def release(self, block: Block) -> None:
        """Tell the owner of a block lent to this process that it is not needed any more."""
        self.released[block[0] // GRANULE_BYTES] = block[1]

    def punch(self, offset: int, size_bytes: int) -> None:
        """Give the pages of a range back to the machine. The range reads as zeros afterwards."""
        at = self.total_bytes - self.data_bytes + offset
        _fallocate_punch(self.fd, at, size_bytes)

    def close(self) -> None:
        """Unmap. Views handed out must be gone, else the mapping stays until they are."""
        self.generations.release()
        self.released.release()
        self.data.release()
        try:
            self._map.close()
        except BufferError:
            return


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // _PAGE_BYTES) * _PAGE_BYTES


def _fallocate_punch(fd: int, offset: int, size_bytes: int) -> None:
    """Punch a hole; Python's os module has no call for it."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    keep_size, punch_hole = 1, 2
    result = libc.fallocate(
        ctypes.c_int(fd), ctypes.c_int(keep_size | punch_hole), ctypes.c_int64(offset), ctypes.c_int64(size_bytes)
    )
    if result:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno))
