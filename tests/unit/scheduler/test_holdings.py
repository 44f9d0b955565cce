"""Blocks that come to the scheduler are released once, by it or by the frontend that it hands them on to, whoever dies."""

from collections.abc import Iterator

import pytest

from tis.contracts.messages import BlockRef
from tis.scheduler.holdings import Holdings
from tis_shm.pool import Block, Pool
from tis_shm.slab import Grant, Loans, Slab

WORKER, SCHEDULER, FRONTEND, OTHER_FRONTEND = 1, 2, 3, 4
POOL_BYTES = 1 << 20


class Bench:
    """A worker that lends blocks to the scheduler, and the scheduler."""

    def __init__(self) -> None:
        self.pool = Pool.create(POOL_BYTES)
        self.slab = Slab(self.pool, [Grant(0, POOL_BYTES)])
        self.loans = Loans(self.pool, self.slab)
        self.holdings = Holdings(self.pool)

    def lend(self, number: int = 1) -> tuple[BlockRef, ...]:
        blocks = []
        for _ in range(number):
            block = self.slab.take(2048)
            assert block is not None
            self.loans.lend(block, SCHEDULER)
            blocks.append(BlockRef(*block))
        self.holdings.take(blocks, WORKER)
        return tuple(blocks)

    def left(self) -> int:
        self.loans.collect()
        return len(self.loans)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.pool.close()


def test_a_released_block_goes_back_to_its_worker(bench: Bench) -> None:
    first, second = bench.lend(2)
    assert bench.holdings.any_of(WORKER)
    bench.holdings.release([first])
    assert (bench.left(), len(bench.holdings)) == (1, 1)
    bench.holdings.release([second])
    assert bench.left() == 0
    assert not bench.holdings.any_of(WORKER)


def test_a_block_handed_on_is_the_frontends_to_release(bench: Bench) -> None:
    [block] = bench.lend()
    bench.holdings.hand_on([block], FRONTEND)
    assert (bench.left(), len(bench.holdings)) == (1, 0)
    bench.pool.release(Block(block.offset, block.generation))
    assert bench.left() == 0


def test_what_a_dead_frontend_had_not_released_falls_back_and_nothing_else_does(bench: Bench) -> None:
    read, unread, others = bench.lend(3)
    bench.holdings.hand_on([read, unread], FRONTEND)
    bench.holdings.hand_on([others], OTHER_FRONTEND)
    bench.pool.release(Block(read.offset, read.generation))
    assert bench.left() == 2
    [reused] = bench.lend()
    assert reused.offset == read.offset
    bench.holdings.reader_gone(FRONTEND)
    assert bench.left() == 2
    bench.holdings.reader_gone(OTHER_FRONTEND)
    bench.holdings.release([reused])
    assert bench.left() == 0


def test_what_is_handed_on_and_read_does_not_pile_up(bench: Bench) -> None:
    for _ in range(1000):
        [block] = bench.lend()
        bench.holdings.hand_on([block], FRONTEND)
        bench.pool.release(Block(block.offset, block.generation))
        bench.left()
    assert len(bench.holdings._handed_on[FRONTEND]) < 10
