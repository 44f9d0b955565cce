"""The buddy allocator never hands out a byte twice, aligns what it hands out, and gets everything back together."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tis_shm.buddy import BuddyAllocator

GRANULE = 16


def rounded(size_bytes: int) -> int:
    """The size of the range that a request for so many bytes takes."""
    return 1 << max((size_bytes - 1).bit_length(), GRANULE.bit_length() - 1)


class Allocations(RuleBasedStateMachine):
    """The allocator beside the plainest bookkeeping there is: a dict of what is taken."""

    @initialize(start=st.integers(0, 40), granules=st.integers(1, 100))
    def begin(self, start: int, granules: int) -> None:
        self.start = start * GRANULE
        self.end = self.start + granules * GRANULE
        self.buddy = BuddyAllocator(self.start, self.end, GRANULE)
        self.taken: dict[int, int] = {}

    @rule(size_bytes=st.integers(1, 2000))
    def allocate(self, size_bytes: int) -> None:
        offset = self.buddy.allocate(size_bytes)
        if offset is None:
            assert not self.fits(rounded(size_bytes))
            return
        end = offset + rounded(size_bytes)
        assert self.start <= offset
        assert end <= self.end
        assert offset % rounded(size_bytes) == 0
        assert all(end <= other or offset >= other + size for other, size in self.taken.items())
        self.taken[offset] = rounded(size_bytes)

    def fits(self, size_bytes: int) -> bool:
        """Is there an aligned range of this size, all of it free?"""
        first = -(-self.start // size_bytes) * size_bytes
        return any(
            all(at + size_bytes <= other or at >= other + size for other, size in self.taken.items())
            for at in range(first, self.end - size_bytes + 1, size_bytes)
        )

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.taken)))
        assert self.buddy.free(offset) == self.taken.pop(offset)

    @rule(offset=st.integers(-5, 3000))
    def free_what_is_not_taken(self, offset: int) -> None:
        if offset not in self.taken:
            with pytest.raises(KeyError):
                self.buddy.free(offset)

    @invariant()
    def used_bytes_are_exact(self) -> None:
        assert self.buddy.used_bytes == sum(self.taken.values())

    def teardown(self) -> None:
        """After all frees the largest ranges can be had again, as from a new allocator."""
        if not hasattr(self, "buddy"):
            return
        for offset in self.taken:
            self.buddy.free(offset)
        largest = 1 << ((self.end - self.start).bit_length() - 1)
        while largest and not any(at % largest == 0 for at in range(self.start, self.end - largest + 1, GRANULE)):
            largest >>= 1
        assert self.buddy.allocate(largest) is not None


TestAllocations = Allocations.TestCase
TestAllocations.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_all_memory_merges_again_to_the_full_size_after_all_frees() -> None:
    buddy = BuddyAllocator(0, 1 << 20, 1024)
    offsets = [buddy.allocate(1024) for _ in range(1024)]
    assert buddy.allocate(1) is None
    assert sorted(offset for offset in offsets if offset is not None) == list(range(0, 1 << 20, 1024))
    for offset in offsets:
        assert offset is not None
        buddy.free(offset)
    assert buddy.used_bytes == 0
    assert buddy.allocate(1 << 20) == 0


def test_the_memory_freed_last_is_handed_out_first() -> None:
    buddy = BuddyAllocator(0, 1 << 16, 1024)
    first, second = buddy.allocate(1024), buddy.allocate(1024)
    assert first is not None
    assert second is not None
    buddy.free(first)
    buddy.free(second)
    assert buddy.allocate(1024) == second
    assert buddy.allocate(1024) == first


@pytest.mark.parametrize(("start", "end", "granule"), [(0, 4096, 1000), (100, 4096, 1024), (0, 5000, 1024)])
def test_ranges_that_are_no_multiples_of_a_power_of_two_granule_are_refused(start: int, end: int, granule: int) -> None:
    with pytest.raises(ValueError, match="power-of-two granule"):
        BuddyAllocator(start, end, granule)


def test_more_than_the_range_is_never_given_however_large_the_request() -> None:
    buddy = BuddyAllocator(0, 1 << 20, 1024)
    assert buddy.allocate((1 << 20) + 1) is None
    assert buddy.allocate(1 << 70) is None
    assert buddy.used_bytes == 0
