"""A client's memory: blocks never overlap, come free with their last view, and join again."""

import os
import random
from collections.abc import Iterator

import numpy as np
import pytest

from tis.client.memory import Block, Memory, Region

SIZE = 1 << 16


@pytest.fixture
def region() -> Iterator[Region]:
    fd = os.memfd_create("test")
    os.ftruncate(fd, SIZE)
    about = os.fstat(fd)
    yield Region("r", f"/proc/self/fd/{fd}", SIZE, (about.st_dev, about.st_ino))
    os.close(fd)


def memory_of(region: Region) -> Memory:
    memory = Memory()
    memory.add(region)
    return memory


def test_blocks_never_overlap_and_all_comes_free_again(region: Region) -> None:
    memory = memory_of(region)
    chance = random.Random(3)
    taken: list[tuple[Block, int]] = []
    made: Block | None = None
    for turn in range(3000):
        if taken and chance.random() < 0.5:
            block, mark = taken.pop(chance.randrange(len(taken)))
            assert (block.bytes == mark).all()
            del block
            made = None
            continue
        made = memory.take(chance.choice([0, 1, 64, 65, 1000, 9000]))
        if made is not None:
            made.bytes[:] = turn % 251
            taken.append((made, turn % 251))
    assert all((block.bytes == mark).all() for block, mark in taken)
    taken.clear()
    made = None
    assert region.is_unused


def test_a_view_keeps_its_block(region: Region) -> None:
    memory = memory_of(region)
    block = memory.take(SIZE)
    assert block is not None
    view = block.bytes[100:200].view(np.float32)[3:]
    del block
    assert memory.take(1) is None
    del view
    assert memory.take(SIZE) is not None


def test_an_array_is_found_where_it_lies(region: Region) -> None:
    memory = memory_of(region)
    block = memory.take(1000)
    other = memory.take(1000)
    assert block is not None
    assert other is not None
    assert memory.holding(other.bytes[8:]) == (region, other.start + 8)
    assert memory.holding(np.zeros(8)) is None
    memory.forget()
    assert memory.holding(other.bytes) is None


def test_what_is_not_the_region_that_was_granted_is_not_mapped() -> None:
    fd = os.memfd_create("other")
    with pytest.raises(OSError, match="is not the region that was granted"):
        Region("r", f"/proc/self/fd/{fd}", 64, (0, 1))
    os.close(fd)
