"""Which process holds which ranges of the pool. Pure bookkeeping; when a dead one's come free is `departures.py`."""

from collections.abc import Sequence
from typing import Final

from tis_shm.buddy import BuddyAllocator
from tis_shm.pool import GRANULE_BYTES
from tis_shm.slab import Grant

_SMALLEST_GRANT_BYTES: Final = 1 << 20


class Grants:
    """The pool's ranges. The first part is cut into one fixed range a frontend; the rest is granted as workers ask."""

    def __init__(self, pool_bytes: int, frontends: int) -> None:
        share = pool_bytes // 2 // frontends
        share -= share % _SMALLEST_GRANT_BYTES
        self._frontend_bytes: Final = max(share, _SMALLEST_GRANT_BYTES)
        end = pool_bytes - pool_bytes % GRANULE_BYTES
        self._rest = BuddyAllocator(self._frontend_bytes * frontends, end, GRANULE_BYTES)
        self._of_peer: dict[int, list[Grant]] = {}

    def frontend_range(self, place: int) -> Grant:
        """The range of the frontend at a place, counted from 0; a restarted one gets the same."""
        return Grant(place * self._frontend_bytes, self._frontend_bytes)

    def grant(self, peer: int, size_bytes: int) -> Grant | None:
        """A further range for a worker; None where the pool has none left of this size."""
        offset = self._rest.allocate(max(size_bytes, _SMALLEST_GRANT_BYTES))
        if offset is None:
            return None
        granted_bytes = 1 << (max(size_bytes, _SMALLEST_GRANT_BYTES) - 1).bit_length()
        grant = Grant(offset, granted_bytes)
        self._of_peer.setdefault(peer, []).append(grant)
        return grant

    def granted_bytes(self, peer: int) -> int:
        """How much a worker has been granted."""
        return sum(grant.size_bytes for grant in self._of_peer.get(peer, ()))

    def give_back(self, peer: int, offered: Sequence[tuple[int, int]]) -> list[Grant]:
        """Take back ranges that a worker offers. What it does not hold, such as after its death, is left alone."""
        held = self._of_peer.get(peer, [])
        taken = [Grant(*each) for each in offered if Grant(*each) in held]
        for grant in taken:
            held.remove(grant)
            self._rest.free(grant.offset)
        return taken

    def reclaim(self, peer: int) -> list[Grant]:
        """Take back the ranges of a dead worker that nobody reads any more. A frontend's place keeps its range."""
        grants = self._of_peer.pop(peer, [])
        for grant in grants:
            self._rest.free(grant.offset)
        return grants
