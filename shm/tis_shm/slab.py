"""A process's own part of the pool: it alone takes and frees blocks there, so no lock is needed.

Also keeps the blocks that the process has lent to readers until their release words say that they are done.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from tis_shm.buddy import BuddyAllocator
from tis_shm.pool import GRANULE_BYTES, Block, Pool

_EXTRA_LOANS_LOOKED_AT: Final = 8
#: A hot path looks no further after so many that are still held: those behind them mostly are, too.
_MOST_HELD: Final = 2


class Grant(NamedTuple):
    """A range of the pool that the supervisor gave to one process."""

    offset: int
    size_bytes: int


class Part(NamedTuple):
    """Bytes of a range that others share: a block, whose offset is the granule that they begin in, and where in it."""

    block: Block
    start: int


class _Whole:
    """A range that was handed out in parts, one behind the other. Two parts may share a granule: where one ends."""

    __slots__ = ("arena", "begin", "end", "is_loose", "parts")

    def __init__(self, arena: BuddyAllocator, begin: int, end: int) -> None:
        self.arena = arena
        self.begin = begin
        self.end = end
        #: The granules of the parts that are still taken: begin and end, in order.
        self.parts: dict[int, int] = {}
        #: Parts come back one by one, not all at once with the last of them.
        self.is_loose = False

    def free(self, begin: int) -> None:
        """A part is not needed any more."""
        end = self.parts.pop(begin)
        if self.is_loose:
            # A granule that is shared with a part that is still taken goes with that one.
            first = max([begin, *(other_end for other, other_end in self.parts.items() if other < begin)])
            end = min([end, *(other for other in self.parts if other > begin)])
            if first < end:
                self.arena.free_piece(first, end)
        elif not self.parts:
            self.arena.free_piece(self.begin, self.end)

    def loosen(self) -> int:
        """Free at once what lies before, between and behind the parts that are still taken; returns how many bytes."""
        self.is_loose = True
        freed_bytes = 0
        at = self.begin
        for begin, end in [*self.parts.items(), (self.end, self.end)]:
            if begin > at:
                self.arena.free_piece(at, begin)
                freed_bytes += begin - at
            at = end
        return freed_bytes


class Slab:
    """The ranges granted to this process, and every block taken in them. `unused` leaves it a range of up to `keep_bytes`."""

    def __init__(self, pool: Pool, grants: Iterable[Grant], keep_bytes: int = 0) -> None:
        self._pool: Final = pool
        self._generations = pool.generations
        self._keep_bytes: Final = keep_bytes
        #: The smallest first, so that small blocks do not hold on to large ranges.
        self._arenas: list[BuddyAllocator] = []
        #: The one that is never unused.
        self._kept: BuddyAllocator | None = None
        #: By the beginning of each range: how often `unused` has looked since something was freed there, and what it saw.
        self._quiet: dict[int, tuple[int, int]] = {}
        #: By where it begins: the whole that a taken part belongs to.
        self._wholes: dict[int, _Whole] = {}
        for grant in grants:
            self.add(grant)

    def add(self, grant: Grant) -> None:
        """Use another range, after the supervisor granted it."""
        self._arenas.append(BuddyAllocator(grant.offset, grant.offset + grant.size_bytes, GRANULE_BYTES))
        self._arenas.sort(key=lambda arena: arena.size_bytes)
        self._kept = self._arenas[0] if self._arenas[0].size_bytes <= self._keep_bytes else None
        self._quiet[grant.offset] = (0, 0)

    @property
    def size_bytes(self) -> int:
        """Bytes granted."""
        return sum(arena.size_bytes for arena in self._arenas)

    @property
    def used_bytes(self) -> int:
        """Bytes in blocks that are taken, lent ones included."""
        return sum(arena.used_bytes for arena in self._arenas)

    def take(self, size_bytes: int) -> Block | None:
        """A block of at least `size_bytes`, aligned to its own (power of two) size; None where the slab has no room."""
        for arena in self._arenas:
            offset = arena.allocate(size_bytes)
            if offset is not None:
                at = offset // GRANULE_BYTES
                generation = (self._generations[at] + 1 | 1) & 0xFFFFFFFF
                self._generations[at] = generation
                return Block(offset, generation)
        return None

    def take_parts(self, sizes_bytes: Sequence[int]) -> list[Part] | None:
        """A range with room for so many bytes, and so many behind them, and so on; None where there is no such range.

        The block of each part is lent and freed by itself, like any other. The memory is free again when all of them are:
        so a reader who keeps one keeps all, until `loosen`.

        Raises:
            ValueError: there is none, or one but the last is smaller than a granule, so that two would begin in the same.
        """
        if not sizes_bytes or sizes_bytes[-1] <= 0 or min(sizes_bytes[:-1], default=GRANULE_BYTES) < GRANULE_BYTES:
            raise ValueError("parts of a range begin in granules of their own")
        for arena in self._arenas:
            offset = arena.allocate(sum(sizes_bytes))
            if offset is not None:
                return self._parts(_Whole(arena, offset, offset + arena.divide(offset)), sizes_bytes)
        return None

    def _parts(self, whole: _Whole, sizes_bytes: Sequence[int]) -> list[Part]:
        parts: list[Part] = []
        generations, wholes, granules = self._generations, self._wholes, whole.parts
        begin = whole.begin
        for size_bytes in sizes_bytes:
            at, start = divmod(begin, GRANULE_BYTES)
            # Other blocks begin here at other times: the word counts on, as for those.
            generation = generations[at] = (generations[at] + 1 | 1) & 0xFFFFFFFF
            begin += size_bytes
            offset = at * GRANULE_BYTES
            granules[offset] = -(-begin // GRANULE_BYTES) * GRANULE_BYTES
            wholes[offset] = whole
            parts.append(Part(Block(offset, generation), start))
        return parts

    def loosen(self) -> int:
        """Free what lies around parts that are still taken, though others of their range are not; for want of room.

        Takes time in proportion to the parts that are taken. Returns how many bytes are free now that were not before.
        """
        return sum(whole.loosen() for whole in set(self._wholes.values()) if not whole.is_loose)

    def unused(self, looks: int) -> list[Grant]:
        """Ranges from which nothing has been taken for so many calls of this: they are the slab's no more.

        Nothing lies there, so nobody reads there, and another process may have them.
        """
        left = []
        for arena in [each for each in self._arenas if not each.used_bytes and each is not self._kept]:
            # Where nothing lies, something was taken only if something was freed.
            looked, frees = self._quiet[arena.start_bytes]
            looked = looked + 1 if frees == arena.frees else 1
            self._quiet[arena.start_bytes] = (looked, arena.frees)
            if looked > looks:
                del self._quiet[arena.start_bytes]
                self._arenas.remove(arena)
                left.append(Grant(arena.start_bytes, arena.size_bytes))
        return left

    def writable(self, block: Block, start: int, size_bytes: int) -> memoryview:
        """Bytes of an own block, to be filled."""
        begin = block.offset + start
        return self._pool.data[begin : begin + size_bytes]

    def free(self, block: Block) -> None:
        """Give a block back. Descriptors of it are stale from here on.

        Raises:
            KeyError: the block is not taken.
        """
        offset, generation = block
        if self._wholes and offset in self._wholes:
            at = offset // GRANULE_BYTES
            if self._generations[at] != generation:
                raise KeyError(offset)
            self._wholes.pop(offset).free(offset)
            self._generations[at] = (generation + 1) & 0xFFFFFFFF
            return
        for arena in self._arenas:
            if arena.start_bytes <= offset < arena.end_bytes:
                arena.free(offset)
                self._generations[offset // GRANULE_BYTES] = (generation + 1) & 0xFFFFFFFF
                return
        raise KeyError(offset)


class Loans:
    """Blocks lent to readers. A reader says that it is done by a store in shared memory: no message, no wake-up."""

    def __init__(self, pool: Pool, slab: Slab) -> None:
        self._released = pool.released
        self._slab: Final = slab
        self._lent: deque[tuple[Block, int]] = deque()

    def __len__(self) -> int:
        return len(self._lent)

    def lend(self, block: Block, reader: int) -> None:
        """Note that `reader` (a peer id) holds the block from now on."""
        self._lent.append((block, reader))

    def collect(self, looks: int | None = None) -> int:
        """Free what has been released and return how many blocks that were.

        Looks at `looks` loans (all of them for None), oldest first; those still held go to the back, so that a slow
        reader never hides what others are done with. Callers on the hot path look at a few more loans than they made,
        as long as they find some that are released.
        """
        freed = 0
        lent = self._lent
        released = self._released
        held_left = len(lent) if looks is None else _MOST_HELD
        for _ in range(len(lent) if looks is None else min(looks + _EXTRA_LOANS_LOOKED_AT, len(lent))):
            loan = lent.popleft()
            block = loan[0]
            if released[block[0] // GRANULE_BYTES] == block[1]:
                self._slab.free(block)
                freed += 1
            else:
                lent.append(loan)
                held_left -= 1
                if not held_left:
                    break
        return freed

    def forget(self, gone: Callable[[int], bool]) -> int:
        """Free everything lent to readers for whom `gone` is true: their process has died. Returns the number freed."""
        kept: deque[tuple[Block, int]] = deque()
        freed = 0
        for block, reader in self._lent:
            if gone(reader):
                self._slab.free(block)
                freed += 1
            else:
                kept.append((block, reader))
        self._lent = kept
        return freed
