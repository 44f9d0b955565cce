"""The scheduler's own part of the pool: cached answers are written there and lent to whoever asked."""

from collections.abc import Callable
from typing import Final

from tis.contracts import messages as m
from tis.scheduler.cache.interface import Entry
from tis_shm.pool import Pool
from tis_shm.slab import Grant, Loans, Slab

_SMALLEST_GRANT_BYTES: Final = 4 << 20


class Lender:
    """Writes answers into the slab. It never waits: while there is no room, more is asked for and nothing is lent."""

    def __init__(
        self, pool: Pool, grants: tuple[tuple[int, int], ...], peer: int, ask: Callable[[m.GrantRequest], None]
    ) -> None:
        self._slab = Slab(pool, [Grant(*grant) for grant in grants])
        self._loans = Loans(pool, self._slab)
        self._peer: Final = peer
        self._ask: Final = ask
        self._asked = False

    @property
    def used_bytes(self) -> int:
        """Bytes of the slab that are lent, as far as has been seen."""
        return self._slab.used_bytes

    def lend(self, entry: Entry, reader: int) -> tuple[m.BlockRef, ...] | None:
        """The block that holds an answer's data for a reader, who releases it; None where there is no room now."""
        size_bytes = len(entry.data)
        if not size_bytes:
            return ()
        self._loans.collect(1)
        block = self._slab.take(size_bytes)
        if block is None:
            self._loans.collect()
            block = self._slab.take(size_bytes)
        if block is None:
            self._grow(size_bytes)
            return None
        self._slab.writable(block, 0, size_bytes)[:] = entry.data
        self._loans.lend(block, reader)
        return (m.BlockRef(*block),)

    def collect(self) -> None:
        """Take back every block that its reader is done with."""
        self._loans.collect()

    def granted(self, reply: m.GrantReply) -> None:
        """The supervisor has answered."""
        self._asked = False
        if reply.grant is not None:
            self._slab.add(Grant(*reply.grant))

    def _grow(self, size_bytes: int) -> None:
        """Ask the supervisor for more, once at a time. Doubling keeps the number of grants small."""
        if not self._asked:
            self._asked = True
            self._ask(m.GrantRequest(self._peer, max(size_bytes, self._slab.size_bytes, _SMALLEST_GRANT_BYTES)))
