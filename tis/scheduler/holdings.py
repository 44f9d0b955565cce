"""Blocks that came with responses to the scheduler itself: whose they are, and who reads them now.

A worker lends the blocks of a response to its asker. Where that is the scheduler (a step of an ensemble, a relayed
request), it releases them, or hands them on to the frontend of the client, which then releases them itself. If that
frontend dies, they fall back to the scheduler. No tensor is looked at here.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

from tis.contracts.messages import BlockRef
from tis_shm.pool import GRANULE_BYTES, Block, Pool

#: Blocks handed on that are looked at whenever another is: enough to keep up.
_LOOKS: Final = 2


class Holdings:
    """The blocks that are with the scheduler or were handed on by it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._owners: dict[tuple[int, int], int] = {}
        self._of_owner: dict[int, int] = {}
        self._handed_on: dict[int, deque[Block]] = {}

    def __len__(self) -> int:
        """Blocks that are with the scheduler."""
        return len(self._owners)

    def take(self, blocks: Iterable[BlockRef], owner: int) -> None:
        """Blocks of a worker have come with a response."""
        for block in blocks:
            self._owners[(block.offset, block.generation)] = owner
            self._of_owner[owner] = self._of_owner.get(owner, 0) + 1

    def release(self, blocks: Iterable[BlockRef]) -> None:
        """Nobody needs these any more."""
        for block in blocks:
            self._drop(block)
            self._pool.release(Block(block.offset, block.generation))

    def hand_on(self, blocks: Iterable[BlockRef], reader: int) -> None:
        """A frontend gets these with a response and releases them itself."""
        handed_on = self._handed_on.setdefault(reader, deque())
        for block in blocks:
            self._drop(block)
            handed_on.append(Block(block.offset, block.generation))
        for _ in range(min(len(handed_on), _LOOKS + 1)):
            block_then = handed_on.popleft()
            if not self._is_done(block_then):
                handed_on.append(block_then)

    def reader_gone(self, reader: int) -> None:
        """A frontend has died: release what it had not."""
        for block in self._handed_on.pop(reader, ()):
            if not self._is_done(block):
                self._pool.release(block)

    def any_of(self, owner: int) -> bool:
        """True while the scheduler holds a block of this worker."""
        return owner in self._of_owner

    def _drop(self, block: BlockRef) -> None:
        owner = self._owners.pop((block.offset, block.generation), None)
        if owner is None:
            return
        left = self._of_owner[owner] - 1
        if left:
            self._of_owner[owner] = left
        else:
            del self._of_owner[owner]

    def _is_done(self, block: Block) -> bool:
        at = block.offset // GRANULE_BYTES
        return self._pool.released[at] == block.generation or self._pool.generations[at] != block.generation
