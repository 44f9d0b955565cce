"""Blocks that models fill themselves: free when nobody reads them and nobody holds the array, and not before."""

import os
from collections.abc import Iterator

import numpy as np
import pytest

from tis_shm.pool import GRANULE_BYTES, Block, Pool
from tis_shm.slab import Grant, Slab
from tis_workers.own_blocks import OwnBlock, OwnBlocks

READER = 5


class Room:
    """A slab and the blocks that are filled in place there."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.slab = Slab(pool, [Grant(0, 1 << 20)])
        self.own = OwnBlocks(pool, self.slab)

    def array(self) -> "tuple[OwnBlock, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]":
        block = self.slab.take(64)
        assert block is not None
        return self.own.add(block, np.dtype(np.float32), (4, 4), 64)

    def release(self, block: Block) -> None:
        self.pool.released[block.offset // GRANULE_BYTES] = block.generation

    def used(self) -> int:
        self.own.collect()
        return self.slab.used_bytes


@pytest.fixture
def room() -> Iterator[Room]:
    pool = Pool.create(1 << 20)
    yield Room(pool)
    os.close(pool.fd)


def test_an_array_that_is_not_sent_is_freed_once_it_is_dropped(room: Room) -> None:
    own, array = room.array()
    assert room.used()
    del array
    assert not room.used()
    assert own.array() is None


def test_a_view_holds_the_block(room: Room) -> None:
    _, array = room.array()
    view = array[1:, ::2]
    del array
    assert room.used()
    del view
    assert not room.used()


def test_a_block_that_is_read_outlives_its_array(room: Room) -> None:
    own, array = room.array()
    own.reader = READER
    del array
    assert room.used()
    room.release(own.block)
    assert not room.used()


def test_an_array_outlives_its_reader(room: Room) -> None:
    own, array = room.array()
    own.reader = READER
    room.release(own.block)
    assert room.used()
    array[:] = 7
    del array
    assert not room.used()


def test_a_dead_reader_holds_nothing(room: Room) -> None:
    own, array = room.array()
    own.reader = READER
    del array
    room.own.forget(READER + 1)
    assert room.used()
    room.own.forget(READER)
    assert not room.used()


def test_many_are_looked_at_in_turn(room: Room) -> None:
    held = [room.array() for _ in range(40)]
    held[20:] = []
    for _ in range(10):
        room.own.collect(1)
    assert len(room.own) == 20
