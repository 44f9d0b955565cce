"""Slabs and loans: who takes frees, readers say when they are done, and the dead hold nothing back."""

import os
from collections.abc import Iterator

import pytest

from tis_shm.pool import GRANULE_BYTES, Block, Pool
from tis_shm.slab import Grant, Loans, Slab

DATA_BYTES = 1 << 20


@pytest.fixture
def pool() -> Iterator[Pool]:
    created = Pool.create(DATA_BYTES)
    yield created
    created.close()
    os.close(created.fd)


@pytest.fixture
def slab(pool: Pool) -> Slab:
    return Slab(pool, [Grant(0, DATA_BYTES)])


def taken(slab: Slab, size_bytes: int = 1) -> Block:
    block = slab.take(size_bytes)
    assert block is not None
    return block


def test_a_generation_is_odd_while_its_block_is_taken_and_even_otherwise(pool: Pool, slab: Slab) -> None:
    for _ in range(5):
        block = taken(slab)
        at = block.offset // GRANULE_BYTES
        assert block.generation % 2 == 1
        assert pool.generations[at] == block.generation
        slab.free(block)
        assert pool.generations[at] == block.generation + 1


def test_a_taken_place_that_a_dead_owner_left_gets_a_new_odd_generation(pool: Pool) -> None:
    left = taken(Slab(pool, [Grant(0, DATA_BYTES)]))
    again = taken(Slab(pool, [Grant(0, DATA_BYTES)]))
    assert again.offset == left.offset
    assert again.generation == left.generation + 2


@pytest.mark.parametrize("before", [0xFFFFFFFC, 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF])
def test_generations_wrap_at_32_bits_and_stay_odd_while_taken(pool: Pool, slab: Slab, before: int) -> None:
    at = taken(slab).offset // GRANULE_BYTES
    slab.free(Block(at * GRANULE_BYTES, 1))
    pool.generations[at] = before
    for _ in range(3):
        block = taken(slab)
        assert block.generation % 2 == 1
        assert block.generation <= 0xFFFFFFFF
        assert pool.generations[at] == block.generation
        slab.free(block)
        assert pool.generations[at] % 2 == 0


def test_used_bytes_count_whole_blocks_and_return_to_zero(slab: Slab) -> None:
    assert slab.used_bytes == 0
    small, large = taken(slab, 1), taken(slab, 3000)
    assert slab.used_bytes == 1024 + 4096
    slab.free(small)
    assert slab.used_bytes == 4096
    slab.free(large)
    assert slab.used_bytes == 0


def test_a_full_slab_says_so_and_a_further_grant_helps(pool: Pool) -> None:
    slab = Slab(pool, [Grant(0, 4096)])
    taken(slab, 4096)
    assert slab.take(1) is None
    slab.add(Grant(8192, 4096))
    assert slab.size_bytes == 8192
    block = taken(slab, 4096)
    assert block.offset == 8192
    slab.free(block)
    assert slab.used_bytes == 4096


def test_freeing_twice_or_outside_the_slab_is_an_error(pool: Pool) -> None:
    slab = Slab(pool, [Grant(4096, 4096)])
    block = taken(slab)
    slab.free(block)
    generation = pool.generations[block.offset // GRANULE_BYTES]
    for wrong in (block, Block(0, 1), Block(8192, 1)):
        with pytest.raises(KeyError):
            slab.free(wrong)
    assert pool.generations[block.offset // GRANULE_BYTES] == generation


def test_the_owner_writes_where_a_reader_then_reads(pool: Pool, slab: Slab) -> None:
    taken(slab)
    block = taken(slab, 64)
    slab.writable(block, 16, 4)[:] = b"data"
    assert bytes(pool.view(block, 16, 4)) == b"data"


# ---- loans ---------------------------------------------------------------------------------------------------------


def test_a_lent_block_is_freed_only_after_its_release_word_names_its_generation(pool: Pool, slab: Slab) -> None:
    loans = Loans(pool, slab)
    block = taken(slab)
    loans.lend(block, reader=7)
    assert loans.collect() == 0
    pool.release(Block(block.offset, block.generation + 2))
    assert loans.collect() == 0
    assert len(loans) == 1
    pool.release(block)
    assert loans.collect() == 1
    assert len(loans) == 0
    assert slab.used_bytes == 0


def test_an_old_release_word_does_not_free_the_next_life_of_a_place(pool: Pool, slab: Slab) -> None:
    loans = Loans(pool, slab)
    first = taken(slab)
    loans.lend(first, reader=7)
    pool.release(first)
    loans.collect()
    second = taken(slab)
    assert second.offset == first.offset
    loans.lend(second, reader=7)
    assert loans.collect() == 0


def test_a_slow_reader_does_not_hide_what_others_have_released(pool: Pool, slab: Slab) -> None:
    loans = Loans(pool, slab)
    slow = [taken(slab) for _ in range(20)]
    for block in slow:
        loans.lend(block, reader=1)
    for _ in range(50):
        block = taken(slab)
        loans.lend(block, reader=2)
        pool.release(block)
        loans.collect(1)
    assert len(loans) < 20 + 50
    for _ in range(20):
        loans.collect(1)
    assert len(loans) == 20
    assert slab.used_bytes == 20 * 1024
    for block in slow:
        pool.check(block)


def test_one_look_frees_as_many_as_it_may_look_at_and_a_full_look_frees_all(pool: Pool, slab: Slab) -> None:
    loans = Loans(pool, slab)
    for _ in range(30):
        block = taken(slab)
        loans.lend(block, reader=2)
        pool.release(block)
    assert 1 <= loans.collect(1) < 30
    loans.collect()
    assert len(loans) == 0
    assert slab.used_bytes == 0


def test_what_a_dead_reader_held_comes_back_and_nothing_else(pool: Pool, slab: Slab) -> None:
    loans = Loans(pool, slab)
    of_dead = [taken(slab) for _ in range(3)]
    of_living = [taken(slab) for _ in range(2)]
    for dead, living in zip(of_dead, [*of_living, None], strict=True):
        loans.lend(dead, reader=1)
        if living:
            loans.lend(living, reader=11)
    assert loans.forget(lambda peer: peer == 1) == 3
    assert len(loans) == 2
    assert slab.used_bytes == 2 * 1024
    for block in of_living:
        pool.check(block)
        pool.release(block)
    assert loans.collect() == 2


def test_a_range_that_was_of_use_once_is_left_after_so_many_looks(pool: Pool) -> None:
    half = DATA_BYTES // 2
    slab = Slab(pool, [Grant(0, half)])
    block = taken(slab, half)
    for _ in range(5):
        assert slab.unused(2) == [], "something lies there"
    slab.free(block)
    assert [slab.unused(2) for _ in range(3)] == [[], [], [Grant(0, half)]]
    assert slab.size_bytes == 0
    assert slab.take(1) is None


def test_a_small_range_is_kept_however_long_it_is_unused_and_small_blocks_lie_there(pool: Pool) -> None:
    half, quarter = DATA_BYTES // 2, DATA_BYTES // 4
    slab = Slab(pool, [Grant(0, half), Grant(half, quarter)], keep_bytes=quarter)
    assert taken(slab).offset >= half
    assert [slab.unused(1) for _ in range(4)] == [[], [Grant(0, half)], [], []]
    assert slab.size_bytes == quarter


def test_a_range_that_is_used_between_looks_stays(pool: Pool) -> None:
    half = DATA_BYTES // 2
    slab = Slab(pool, [Grant(0, half), Grant(half, half)])
    for _ in range(5):
        blocks = [taken(slab, half), taken(slab, half)]
        for block in blocks:
            slab.free(block)
        assert slab.unused(1) == []
