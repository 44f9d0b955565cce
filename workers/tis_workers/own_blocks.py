"""Blocks that a model fills itself before it answers: they are lent as they are, without a copy.

Such a block is free again when its reader is done with it and the model has dropped the array, with all views of it; so an
array that the model keeps shows what was written there for as long as it is kept. Who holds an array is asked, not told:
destructors may run in any thread.
"""

import weakref
from collections import deque
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tis_shm.pool import GRANULE_BYTES, Block, Pool
from tis_shm.slab import Slab

_LOOKED_AT: Final = 8

Array = npt.NDArray[Any]


class OwnBlock:
    """A block and the array over it."""

    __slots__ = ("__weakref__", "array", "block", "reader", "used")

    #: The output begins where the block does.
    start: Final = 0

    def __init__(self, block: Block, array: Array) -> None:
        self.block = block
        self.array = weakref.ref(array)
        #: Who reads it; 0 for nobody.
        self.reader = 0
        #: It has been lent, and cannot be a second time: a block has one reader.
        self.used = False

    def lend(self, reader: int) -> None:
        """The block goes to a reader as it is."""
        self.used, self.reader = True, reader


class OwnBlocks:
    """All of a worker's; under the same lock as its slab."""

    def __init__(self, pool: Pool, slab: Slab) -> None:
        self._released = pool.released
        self._slab = slab
        self.blocks: Final[deque[OwnBlock]] = deque()

    def add(self, block: Block, datatype: Any, shape: tuple[int, ...], size_bytes: int) -> tuple[OwnBlock, Array]:
        """An array over a block that has been taken."""
        array: Array = np.frombuffer(self._slab.writable(block, 0, size_bytes), datatype).reshape(shape)
        # Views refer to the array that lies over the memory itself, which reshaping has put below.
        own = OwnBlock(block, array.base if isinstance(array.base, np.ndarray) else array)
        self.blocks.append(own)
        return own, array

    def collect(self, looks: int = 0) -> None:
        """Free what nobody holds or reads any more, looking at so many; 0 for all."""
        blocks = self.blocks
        released = self._released
        for _ in range(min(looks + _LOOKED_AT, len(blocks)) if looks else len(blocks)):
            own = blocks.popleft()
            block = own.block
            if own.reader and released[block[0] // GRANULE_BYTES] == block[1]:
                own.reader = 0
            if own.reader or own.array() is not None:
                blocks.append(own)
            else:
                self._slab.free(block)

    @property
    def are_read(self) -> bool:
        """Whether any is lent to a reader, who will be done with it."""
        return any(own.reader for own in self.blocks)

    def forget(self, reader: int) -> None:
        """A reader has died."""
        for own in self.blocks:
            if own.reader == reader:
                own.reader = 0

    def __len__(self) -> int:
        return len(self.blocks)
