"""A buddy allocator over a range of offsets: pure arithmetic, no memory behind it.

Used twice: the supervisor divides the pool into slabs with one, the owner of a slab divides it into blocks with
another. Free blocks are kept in one stack an order, last in first out, so that the memory handed out is the memory
that was warm last. Merging is lazy: freeing is a push, and buddies are joined only when an allocation finds nothing.
"""

from typing import Final


class BuddyAllocator:
    """Hands out ranges of power-of-two size inside `[start_bytes, end_bytes)`; both ends are multiples of the granule.

    Every range is aligned to its own size, counted from offset 0. Not thread-safe: one owner, one thread.
    """

    def __init__(self, start_bytes: int, end_bytes: int, granule_bytes: int) -> None:
        if granule_bytes & (granule_bytes - 1) or start_bytes % granule_bytes or end_bytes % granule_bytes:
            raise ValueError("a buddy range starts and ends at multiples of its power-of-two granule")
        self.start_bytes: Final = start_bytes
        self.end_bytes: Final = end_bytes
        self._granule_bits: Final = granule_bytes.bit_length() - 1
        self._free: list[list[int]] = [[] for _ in range(64)]
        self._order_of: dict[int, int] = {}
        #: How often something was taken back.
        self.frees = 0
        self._frees_at_merge = 0
        #: Bytes handed out, rounded up to the sizes of their ranges.
        self.used_bytes = 0
        self._push(start_bytes, end_bytes)

    @property
    def size_bytes(self) -> int:
        """Size of the whole range."""
        return self.end_bytes - self.start_bytes

    def allocate(self, size_bytes: int) -> int | None:
        """Offset of a range of at least `size_bytes`, or None where no such range is free."""
        order = max((size_bytes - 1).bit_length(), self._granule_bits)
        stack = self._free[order] if order < 64 else None
        if stack:
            offset = stack.pop()
        else:
            split = self._split(order)
            if split is None:
                return None
            offset = split
        self._order_of[offset] = order
        self.used_bytes += 1 << order
        return offset

    def free(self, offset: int) -> int:
        """Take back the range at `offset`; returns its size in bytes.

        Raises:
            KeyError: nothing is handed out at this offset.
        """
        order = self._order_of.pop(offset)
        self._free[order].append(offset)
        self.frees += 1
        self.used_bytes -= 1 << order
        return 1 << order

    def divide(self, offset: int) -> int:
        """Let a range that is handed out come back in pieces, through `free_piece`; returns its size in bytes.

        Raises:
            KeyError: nothing is handed out at this offset.
        """
        return 1 << self._order_of.pop(offset)

    def free_piece(self, begin: int, end: int) -> None:
        """Take back whole granules of a range that was divided; the caller sees to it that none comes back twice."""
        self._push(begin, end)
        self.frees += 1
        self.used_bytes -= end - begin

    def _push(self, begin: int, end: int) -> None:
        """Add to what is free: the fewest aligned ranges of power-of-two size."""
        at = begin
        while at < end:
            order = min((at & -at).bit_length() - 1 if at else 63, (end - at).bit_length() - 1)
            self._free[order].append(at)
            at += 1 << order

    def _split(self, order: int) -> int | None:
        """Take a larger free range apart for one of `order`; merge first where there is none."""
        for attempt in range(2):
            for larger in range(order, 64):
                if self._free[larger]:
                    offset = self._free[larger].pop()
                    for half in range(larger - 1, order - 1, -1):
                        self._free[half].append(offset + (1 << half))
                    return offset
            free_bytes = self.size_bytes - self.used_bytes
            if attempt or self.frees == self._frees_at_merge or free_bytes < 1 << order:
                return None
            self._merge()
        return None

    def _merge(self) -> None:
        """Join all free buddies, smallest first; takes time in proportion to the free ranges."""
        self._frees_at_merge = self.frees
        for order in range(self._granule_bits, 63):
            stack = self._free[order]
            if len(stack) < 2:
                continue
            size_bytes = 1 << order
            free = set(stack)
            kept: list[int] = []
            for offset in stack:
                if offset not in free:
                    continue
                buddy = offset ^ size_bytes
                if buddy in free:
                    free.discard(offset)
                    free.discard(buddy)
                    self._free[order + 1].append(min(offset, buddy))
                else:
                    kept.append(offset)
            self._free[order] = kept
