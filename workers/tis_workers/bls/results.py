"""Outputs of answers as arrays over the pool, and when their blocks are given back: when nobody has an array of them.

A block is seen as one array, of which the outputs are views: numpy lets each view hold that very array, so that it lives as
long as any of them, whatever a model makes of them. Its end may come in any thread and at any moment, even while the lock is
held; giving a block back is a store in shared memory, and needs no lock.
"""

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tis.contracts import messages as m
from tis.contracts.arrays import NUMPY, decode_bytes
from tis.errors import internal
from tis_shm.pool import Block, Pool, PoolError

#: Name, array and datatype.
Output = tuple[str, npt.NDArray[Any], str]


class Results:
    """The blocks of answers that are still seen by somebody here."""

    def __init__(self, pool: Pool) -> None:
        self._pool: Final = pool
        self._seen: dict[int, weakref.ref[npt.NDArray[Any]]] = {}
        #: What is to be done once the blocks are given back that were seen when it was asked for.
        self._waiting: list[tuple[dict[int, weakref.ref[npt.NDArray[Any]]], Callable[[], None]]] = []

    def __len__(self) -> int:
        return len(self._seen)

    def outputs(self, reply: m.Reply, *, copies: bool) -> list[Output]:
        """The outputs of a reply.

        Args:
            reply: what a worker or the scheduler has said; its blocks are given back by themselves.
            copies: whether others may read the blocks as well, so that what a model writes there would be seen.

        Raises:
            TisError: INTERNAL, the answer cannot be read; its blocks have been given back.
        """
        try:
            blocks = [self._see(ref, number, reply) for number, ref in enumerate(reply.blocks)]
            outputs = [self._output(ref, blocks) for ref in reply.outputs or ()]
        except (PoolError, TypeError, ValueError, IndexError) as error:
            self.drop(reply)
            raise internal(f"the answer is lost: {error}") from error
        if copies:
            # Shared with readers elsewhere.
            return [(name, array.copy(), datatype) for name, array, datatype in outputs]
        return outputs

    def drop(self, reply: m.Reply) -> None:
        """Nobody wants this answer."""
        for ref in reply.blocks:
            self._pool.release(Block(ref.offset, ref.generation))

    def when_given_back(self, action: Callable[[], None]) -> None:
        """Do something once nothing is seen any more of what is seen now; at once where that is nothing."""
        seen = dict(self._seen)
        if seen:
            self._waiting.append((seen, action))
        else:
            action()

    def tidy(self) -> None:
        """Do what was waited for."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        for seen, action in waiting:
            if any(self._seen.get(offset) is ref for offset, ref in seen.items()):
                self._waiting.append((seen, action))
            else:
                action()

    def _see(self, ref: m.BlockRef, number: int, reply: m.Reply) -> npt.NDArray[Any]:
        """A block as bytes, given back when this array goes."""
        block = Block(ref.offset, ref.generation)
        ends = [
            each.start + each.size_bytes for each in reply.outputs or () if each.block == number and not each.region
        ]
        size_bytes = max(ends, default=0)
        whole = np.frombuffer(self._pool.view(block, 0, max(size_bytes, 1)), np.uint8)
        self._seen[block.offset] = weakref.ref(whole, partial(self._gone, block))
        return whole

    def _gone(self, block: Block, ref: "weakref.ref[npt.NDArray[Any]]") -> None:
        if self._seen.get(block.offset) is ref:
            del self._seen[block.offset]
        self._pool.release(block)

    def _output(self, ref: m.OutputRef, blocks: list[npt.NDArray[Any]]) -> Output:
        if not ref.size_bytes or not blocks:
            kind = np.dtype(np.object_) if ref.datatype == "BYTES" else NUMPY[ref.datatype]
            return ref.name, np.zeros(ref.shape, kind), ref.datatype
        whole = blocks[ref.block]
        if ref.datatype == "BYTES":
            data = whole[ref.start : ref.start + ref.size_bytes]
            return ref.name, decode_bytes(data.data, ref.shape), ref.datatype
        return ref.name, np.ndarray(ref.shape, NUMPY[ref.datatype], whole, ref.start), ref.datatype
