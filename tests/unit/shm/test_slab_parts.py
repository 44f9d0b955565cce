"""A range that is handed out as several blocks: each lives by itself, and none is ever somebody else's bytes."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tis_shm.pool import GRANULE_BYTES, Block, Pool, StaleBlockError
from tis_shm.slab import Grant, Loans, Slab

DATA_BYTES = 64 * GRANULE_BYTES
READERS = (1, 2, 11)
#: Whole granules, and anything from one on.
PART_BYTES = st.integers(1, 6).map(lambda count: count * GRANULE_BYTES) | st.integers(GRANULE_BYTES, 6 * GRANULE_BYTES)


@pytest.fixture
def pool() -> Iterator[Pool]:
    created = Pool.create(DATA_BYTES)
    yield created
    created.close()
    os.close(created.fd)


@pytest.fixture
def slab(pool: Pool) -> Slab:
    return Slab(pool, [Grant(0, DATA_BYTES)])


def taken(slab: Slab, *sizes_bytes: int) -> list[Block]:
    parts = slab.take_parts(sizes_bytes)
    assert parts is not None
    return [part.block for part in parts]


def test_parts_lie_one_behind_the_other_and_each_has_a_life_of_its_own(pool: Pool, slab: Slab) -> None:
    blocks = taken(slab, 1024, 3072, 5)
    assert [block.offset - blocks[0].offset for block in blocks] == [0, 1024, 4096]
    assert slab.used_bytes == 8192
    for block in blocks:
        pool.check(block)
    slab.free(blocks[1])
    with pytest.raises(StaleBlockError):
        pool.check(blocks[1])
    pool.check(blocks[0])
    pool.check(blocks[2])


def test_the_memory_is_free_when_the_last_part_is_and_not_before(slab: Slab) -> None:
    blocks = taken(slab, *[1024] * 64)
    for block in blocks[1:]:
        slab.free(block)
        assert slab.take(1) is None
    slab.free(blocks[0])
    assert slab.used_bytes == 0
    assert slab.take(DATA_BYTES) is not None


def test_a_part_may_begin_anywhere_in_its_granule_and_the_one_before_ends_there(pool: Pool, slab: Slab) -> None:
    parts = slab.take_parts([1500, 1024, 1025, 1])
    assert parts is not None
    assert [(block.offset - parts[0].block.offset, start) for block, start in parts] == [
        (0, 0),
        (1024, 476),
        (2048, 476),
        (3072, 477),
    ]
    slab.writable(parts[0].block, 0, 3550)[:] = b"a" * 1500 + b"b" * 1024 + b"c" * 1025 + b"d"
    seen = [
        bytes(pool.view(part.block, part.start, size)) for part, size in zip(parts, [1500, 1024, 1025, 1], strict=True)
    ]
    assert seen == [b"a" * 1500, b"b" * 1024, b"c" * 1025, b"d"]


@pytest.mark.parametrize("sizes_bytes", [(), (0,), (1024, 0), (1023, 1024), (512, 512), (1024, -1)])
def test_parts_that_do_not_begin_in_granules_of_their_own_are_refused(slab: Slab, sizes_bytes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="granules of their own"):
        slab.take_parts(sizes_bytes)
    assert slab.used_bytes == 0


def test_a_slab_without_room_for_all_parts_gives_none(slab: Slab) -> None:
    taken(slab, 1024)
    assert slab.take_parts([1024] * 33) is None
    assert slab.used_bytes == 1024
    assert slab.take_parts([1024] * 32) is not None


def test_freeing_a_part_twice_is_an_error_and_changes_nothing(pool: Pool, slab: Slab) -> None:
    first, second = taken(slab, 1024, 1024)
    slab.free(first)
    with pytest.raises(KeyError):
        slab.free(first)
    pool.check(second)
    assert slab.used_bytes == 2048
    slab.free(second)
    with pytest.raises(KeyError):
        slab.free(second)
    again, _ = taken(slab, 1024, 1024)
    assert again.offset == first.offset
    with pytest.raises(KeyError):
        slab.free(first)
    pool.check(again)


def test_one_slow_reader_holds_no_more_than_its_part_where_room_is_short(pool: Pool, slab: Slab) -> None:
    loans = Loans(pool, slab)
    blocks = taken(slab, *[2048] * 24)
    for block in blocks:
        loans.lend(block, reader=7)
    for block in blocks[:5] + blocks[6:]:
        pool.release(block)
    assert loans.collect() == 23
    assert slab.take(DATA_BYTES // 2) is None
    assert slab.loosen() == DATA_BYTES - 2048
    assert slab.used_bytes == 2048
    assert slab.take(DATA_BYTES // 2) is not None
    pool.check(blocks[5])
    pool.release(blocks[5])
    assert loans.collect() == 1
    assert slab.used_bytes == DATA_BYTES // 2
    assert slab.loosen() == 0


def test_a_granule_that_two_parts_share_is_free_when_neither_is_taken_any_more(pool: Pool, slab: Slab) -> None:
    first, second, third = taken(slab, 1500, 1500, 1500)
    slab.free(second)
    assert slab.loosen() == 8192 - 5120, "the middle one shares both of its granules"
    slab.free(first)
    assert slab.used_bytes == 3072, "the last one begins in the third granule"
    pool.check(third)
    slab.free(third)
    assert slab.used_bytes == 0


def test_what_a_dead_reader_held_of_a_range_comes_back_and_the_rest_stays(pool: Pool, slab: Slab) -> None:
    loans = Loans(pool, slab)
    blocks = taken(slab, 1024, 1024, 1024, 1024)
    for block, reader in zip(blocks, (1, 11, 1, 11), strict=True):
        loans.lend(block, reader)
    assert loans.forget(lambda peer: peer == 1) == 2
    for block in blocks[1::2]:
        pool.check(block)
        pool.release(block)
    for block in blocks[::2]:
        with pytest.raises(StaleBlockError):
            pool.check(block)
    assert loans.collect() == 2
    assert slab.used_bytes == 0


@pytest.mark.parametrize("before", [0xFFFFFFFC, 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF])
def test_generations_of_parts_wrap_at_32_bits(pool: Pool, slab: Slab, before: int) -> None:
    pool.generations[1] = before
    for _ in range(3):
        blocks = taken(slab, 1024, 1024)
        assert blocks[1].generation % 2 == 1
        assert pool.generations[1] == blocks[1].generation <= 0xFFFFFFFF
        for block in blocks:
            slab.free(block)
        assert pool.generations[1] % 2 == 0


def test_a_part_where_a_dead_owner_left_a_block_has_another_generation(pool: Pool) -> None:
    left = taken(Slab(pool, [Grant(0, DATA_BYTES)]), 1024, 1024)
    again = taken(Slab(pool, [Grant(0, DATA_BYTES)]), 1024, 1024)
    assert [(block.offset, block.generation + 2) for block in left] == again


class Lives(RuleBasedStateMachine):
    """A slab and its loans beside the plainest bookkeeping there is: which bytes were written for which block."""

    @initialize()
    def begin(self) -> None:
        self.pool = Pool.create(DATA_BYTES)
        # Two ranges, one of which is no power of two; what a dead owner has left there are odd words.
        self.slab = Slab(self.pool, [Grant(0, 40 * GRANULE_BYTES), Grant(40 * GRANULE_BYTES, 24 * GRANULE_BYTES)])
        self.loans = Loans(self.pool, self.slab)
        for at in range(0, DATA_BYTES // GRANULE_BYTES, 3):
            self.pool.generations[at] = 2 * at + 1
        #: What was written into each living block, from where, and how many bytes of it.
        self.living: dict[Block, tuple[int, int, int]] = {}
        self.lent: dict[Block, int] = {}
        self.released: set[Block] = set()
        self.dead: list[Block] = []
        self.stamp = 0

    def note(self, block: Block, size_bytes: int, start: int = 0) -> None:
        assert block not in self.living
        assert block not in self.dead
        self.stamp = self.stamp % 255 + 1
        self.slab.writable(block, start, size_bytes)[:] = bytes([self.stamp]) * size_bytes
        self.living[block] = (self.stamp, start, size_bytes)

    def end(self, block: Block) -> None:
        del self.living[block]
        self.dead.append(block)

    @rule(size_bytes=st.integers(1, 20 * GRANULE_BYTES))
    def take(self, size_bytes: int) -> None:
        block = self.slab.take(size_bytes)
        if block is not None:
            self.note(block, size_bytes)

    @rule(sizes=st.lists(PART_BYTES, min_size=1, max_size=6), last=st.integers(1, 3 * GRANULE_BYTES))
    def take_parts(self, sizes: list[int], last: int) -> None:
        sizes.append(last)
        parts = self.slab.take_parts(sizes)
        if parts is not None:
            for part, size_bytes in zip(parts, sizes, strict=True):
                self.note(part.block, size_bytes, part.start)

    @precondition(lambda self: len(self.living) > len(self.lent))
    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        block = data.draw(st.sampled_from(sorted(self.living.keys() - self.lent.keys())))
        self.slab.free(block)
        self.end(block)

    @precondition(lambda self: len(self.living) > len(self.lent))
    @rule(data=st.data(), reader=st.sampled_from(READERS))
    def lend(self, data: st.DataObject, reader: int) -> None:
        block = data.draw(st.sampled_from(sorted(self.living.keys() - self.lent.keys())))
        self.loans.lend(block, reader)
        self.lent[block] = reader

    @precondition(lambda self: self.lent)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        block = data.draw(st.sampled_from(sorted(self.lent)))
        self.pool.release(block)
        self.released.add(block)

    @rule()
    def collect(self) -> None:
        assert self.loans.collect() == len(self.released)
        for block in self.released:
            del self.lent[block]
            self.end(block)
        self.released.clear()

    @rule(gone=st.sampled_from(READERS))
    def forget(self, gone: int) -> None:
        held = [block for block, reader in self.lent.items() if reader == gone]
        assert self.loans.forget(lambda peer: peer == gone) == len(held)
        for block in held:
            del self.lent[block]
            self.released.discard(block)
            self.end(block)

    @rule()
    def loosen(self) -> None:
        before = self.slab.used_bytes
        assert self.slab.loosen() == before - self.slab.used_bytes

    @precondition(lambda self: self.dead)
    @rule(data=st.data())
    def free_what_is_dead(self, data: st.DataObject) -> None:
        block = data.draw(st.sampled_from(self.dead))
        if not any(block.offset == other.offset for other in self.living):
            with pytest.raises(KeyError):
                self.slab.free(block)

    @invariant()
    def every_living_block_holds_what_was_written_there(self) -> None:
        for block, (stamp, start, size_bytes) in getattr(self, "living", {}).items():
            assert bytes(self.pool.view(block, start, size_bytes)) == bytes([stamp]) * size_bytes

    @invariant()
    def a_descriptor_of_a_dead_block_is_stale(self) -> None:
        for block in getattr(self, "dead", ()):
            with pytest.raises(StaleBlockError):
                self.pool.check(block)

    def teardown(self) -> None:
        """After everything is free the largest ranges can be had again."""
        if not hasattr(self, "pool"):
            return
        self.loans.forget(lambda _: True)
        for block in self.living.keys() - self.lent.keys():
            self.slab.free(block)
        assert self.slab.used_bytes == 0
        assert self.slab.take(32 * GRANULE_BYTES) is not None
        assert self.slab.take(16 * GRANULE_BYTES) is not None
        self.pool.close()
        os.close(self.pool.fd)


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
