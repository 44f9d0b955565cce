"""Where a worker's blocks come from: its slab, what readers give back, what the supervisor grants, and waiting for them.

What lies in the blocks is `output.py`'s affair.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from tis.carrier.datagram import Outbox
from tis.contracts import messages as m
from tis.contracts.control import ControlLink
from tis.errors import unavailable
from tis_shm.pool import Block, Pool
from tis_shm.slab import Grant, Loans, Part, Slab
from tis_workers.own_blocks import OwnBlocks

_GRANT_DEADLINE_S: Final = 5.0
_SMALLEST_GRANT_BYTES: Final = 4 << 20
#: So long an answer waits for readers to be done with earlier ones; they say so in shared memory, so that it has to look.
_ROOM_DEADLINE_S: Final = 5.0
_ROOM_LOOK_S: Final = 0.001
#: A range is given back where nothing has been taken from it for so many seconds.
_UNUSED_LOOKS: Final = 5

_T = TypeVar("_T")


class Room:
    """All that a worker may write answers to."""

    def __init__(self, pool: Pool, grants: list[Grant], outbox: Outbox, control: ControlLink) -> None:
        self.slab: Final = Slab(pool, grants, _SMALLEST_GRANT_BYTES)
        self.loans: Final = Loans(pool, self.slab)
        #: Blocks that models fill before they answer.
        self.own: Final = OwnBlocks(pool, self.slab)
        #: Called before replies leave that would else leave at the end of the batch.
        self.before_waiting: Callable[[], None] | None = None
        self._outbox = outbox
        self._control = control
        self._waited_in_vain_s = -math.inf

    def collect(self) -> None:
        """Once a second: take back every block that its reader is done with, and give back what has long been too much."""
        self.loans.collect()
        unused = self.slab.unused(_UNUSED_LOOKS)
        if unused:
            self._control.send(m.GrantReturn(self._control.peer, tuple(unused)))
        self.own.collect()

    def forget(self, reader: int) -> None:
        """A reader has died: take back what it held."""
        self.loans.forget(lambda peer: peer == reader)
        self.own.forget(reader)

    def take(self, size_bytes: int) -> Block:
        """A block, after taking back what readers are done with, and from a larger slab if need be.

        Raises:
            TisError: UNAVAILABLE, there is no room.
        """
        self.loans.collect(1)
        if self.own.blocks:
            self.own.collect(1)
        block = self.slab.take(size_bytes)
        if block is None:
            block = self._with_room(size_bytes, lambda: self.slab.take(size_bytes), waits=True)
        return block

    def take_parts(self, sizes_bytes: Sequence[int]) -> list[Part]:
        """Parts of one range, to be lent or freed one by one; see `Slab.take_parts`.

        Raises:
            TisError: UNAVAILABLE, there is no room for all of them in one place.
        """
        self.loans.collect(len(sizes_bytes))
        parts = self.slab.take_parts(sizes_bytes)
        if parts is None:
            # Where they have no room in one place, each may have it in another.
            parts = self._with_room(sum(sizes_bytes), lambda: self.slab.take_parts(sizes_bytes), waits=False)
        return parts

    def _with_room(self, size_bytes: int, take: Callable[[], _T | None], *, waits: bool) -> _T:
        """What `take` gives, after making room in one way after another. `waits`: for readers, too, as the last one."""
        self.collect()
        taken = take()
        if taken is None and self.slab.loosen():
            taken = take()
        if taken is None and self._grow(size_bytes):
            taken = take()
        if taken is None and waits and size_bytes <= self.slab.size_bytes:
            taken = self._wait_for_room(take)
        if taken is None:
            raise unavailable(
                f"the shared-memory pool has no room for {size_bytes} bytes of a model's tensors; run fewer requests at a "
                "time or start the server with a larger --pool-byte-size"
            )
        return taken

    def _wait_for_room(self, take: Callable[[], _T | None]) -> _T | None:
        """What `take` gives once readers are done: a model that responds faster than it is read is slowed, not failed."""
        now_s = time.monotonic()
        if now_s - self._waited_in_vain_s < _ROOM_DEADLINE_S:
            # Others of the same batch are not to wait as long, one after another.
            return None
        # What was posted and not sent would never be read.
        if self.before_waiting is not None:
            self.before_waiting()
        self._outbox.flush()
        while (len(self.loans) or self.own.are_read) and time.monotonic() - now_s < _ROOM_DEADLINE_S:
            time.sleep(_ROOM_LOOK_S)
            self._outbox.retry()
            self.loans.collect()
            self.own.collect()
            self.slab.loosen()
            taken = take()
            if taken is not None:
                return taken
        self._waited_in_vain_s = time.monotonic()
        return None

    def _grow(self, size_bytes: int) -> bool:
        """Ask the supervisor for more: doubling keeps the number of grants small, but a full pool has room for less only."""
        wished_bytes = max(size_bytes, self.slab.size_bytes, _SMALLEST_GRANT_BYTES)
        return self._asked(wished_bytes) or (wished_bytes > size_bytes and self._asked(size_bytes))

    def _asked(self, asked_bytes: int) -> bool:
        self._control.send(m.GrantRequest(self._control.peer, asked_bytes))
        try:
            reply = self._control.wait_for(m.GrantReply, _GRANT_DEADLINE_S)
        except TimeoutError:
            return False
        if reply.grant is None:
            return False
        self.slab.add(Grant(*reply.grant))
        return True
