"""Where answers are written: blocks of this worker's slab, lent to whoever asked, and the reply that names them."""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from tis.carrier.datagram import Outbox
from tis.contracts import messages as m
from tis.contracts.arrays import NUMPY
from tis.contracts.control import ControlLink
from tis.contracts.datatypes import ELEMENT_BYTES
from tis.errors import TisError
from tis_shm.pool import Block, Pool
from tis_shm.slab import Grant, Part
from tis_workers.own_blocks import OwnBlock
from tis_workers.regions import Placements
from tis_workers.room import Room
from tis_workers.wire_form import NOTHING, in_one_piece, wire_form, wire_part

#: Outputs that share a block begin at multiples of this.
ALIGNMENT_BYTES: Final = 64
#: Characters of an error's text; longer ones, such as a model's whole input in a message, would not fit a packet.
_LONGEST_TEXT: Final = 32 << 10

Parameters = dict[str, str | int | bool | float]


class Lendable(Protocol):
    """A block that holds an output already."""

    @property
    def block(self) -> Block:
        """The block, which holds nothing else."""

    @property
    def start(self) -> int:
        """Where in the block the output begins."""

    @property
    def used(self) -> bool:
        """It has been lent, and cannot be a second time."""

    def lend(self, reader: int) -> None:
        """Note that a reader has it from now on."""


class Reservation:
    """Places for the outputs of one answer, with an array for each, to be filled: in a block, or where the client said."""

    def __init__(self, block: Block | None, refs: tuple[m.OutputRef, ...], arrays: list[npt.NDArray[Any]]) -> None:
        self.block = block
        self.refs = refs
        self.arrays = arrays


class OutputWriter:
    """Writes answers into the slab and posts replies. The only way to the slab in a worker."""

    def __init__(self, pool: Pool, grants: list[Grant], outbox: Outbox, control: ControlLink) -> None:
        self._pool = pool
        self._begin: int = np.frombuffer(pool.data, np.uint8).ctypes.data
        self._room = Room(pool, grants, outbox, control)
        self._slab = self._room.slab
        self._loans = self._room.loans
        self._own = self._room.own
        self._outbox = outbox

    @property
    def used_bytes(self) -> int:
        """Bytes of the slab that are taken."""
        return self._slab.used_bytes

    def collect(self) -> None:
        """Once a second: take back every block that its reader is done with, and give back what has long been too much."""
        self._room.collect()

    def forget(self, reader: int) -> None:
        """A reader has died: take back what it held."""
        self._room.forget(reader)
        self._outbox.forget(reader)

    def before_waiting(self, settle: Callable[[], None]) -> None:
        """Have this called before replies leave that would else leave at the end of the batch."""
        self._room.before_waiting = settle

    def reply(
        self,
        asker: int,
        request_id: int,
        outputs: list[tuple[str, npt.NDArray[Any], str]],
        placements: Placements | None = None,
        parameters: Parameters | None = None,
        *,
        final: bool = True,
        takes_data: bool = False,
    ) -> None:
        """Write (name, array, datatype) outputs into a block, or where the client wants them, and post the reply.

        `takes_data`: a few bytes may travel in the reply instead.

        Raises:
            TisError: the pool or the client's place has no room, or an array has no datatype of the protocol.
        """
        refs: list[m.OutputRef] = []
        parts: list[memoryview | npt.NDArray[Any]] = []
        at = 0
        for name, array, configured in outputs:
            datatype, part = wire_part(name, array, configured)
            size_bytes = part.nbytes
            if placements is not None and placements.takes(name, size_bytes):
                refs.append(placements.write(name, datatype, array.shape, in_one_piece(part)))
                parts.append(NOTHING)
                continue
            refs.append(m.OutputRef(name, datatype, array.shape, at, size_bytes))
            parts.append(part)
            at += -(-size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        if not at or (takes_data and at <= m.INLINE_BYTES):
            own = _joined(at, refs, parts)
            self._outbox.post(asker, m.Reply(request_id, (), tuple(refs), parameters or {}, final, own))
            if not final:
                # The execution may take long to go on.
                self._outbox.flush()
            return
        block = self.take(at)
        data = self._pool.data
        for ref, part in zip(refs, parts, strict=True):
            if ref.region:
                continue
            begin = block.offset + ref.start
            if type(part) is memoryview:
                data[begin : begin + ref.size_bytes] = part
            else:
                np.ndarray(part.shape, part.dtype, data, begin)[...] = part
        self._lend(asker, block, m.Reply(request_id, (m.BlockRef(*block),), tuple(refs), parameters or {}, final))
        if not final:
            self._outbox.flush()

    def own_block(self, dtype: Any, shape: tuple[int, ...], size_bytes: int) -> tuple[OwnBlock, npt.NDArray[Any]]:
        """A block with an array over it that a model fills before it answers.

        Raises:
            TisError: the pool has no room.
        """
        return self._own.add(self.take(size_bytes), dtype, shape, size_bytes)

    def reply_own(
        self,
        asker: int,
        request_id: int,
        outputs: list[tuple[str, npt.NDArray[Any], str]],
        placements: Placements | None,
        parameters: Parameters | None,
        own: Mapping[str, Lendable],
        *,
        final: bool,
    ) -> None:
        """The same as `reply`, where some outputs, by name, lie in blocks of their own; those are lent as they are.

        Raises:
            TisError: as for `reply`.
        """
        refs: list[m.OutputRef] = []
        lent: list[Lendable] = []
        blocks: list[Block] = []
        rest: list[tuple[int, memoryview]] = []
        at = 0
        for name, array, configured in outputs:
            place = own.get(name)
            datatype, part = wire_form(name, array, configured)
            if placements is not None and placements.takes(name, len(part)):
                refs.append(placements.write(name, datatype, array.shape, part))
            elif place is not None and not place.used and place not in lent:
                lent.append(place)
                refs.append(m.OutputRef(name, datatype, array.shape, place.start, len(part), block=len(lent)))
            else:
                rest.append((at, part))
                refs.append(m.OutputRef(name, datatype, array.shape, at, len(part)))
                at += -(-len(part) // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        if at:
            blocks.append(self.take(at))
            for start, part in rest:
                self._slab.writable(blocks[0], start, len(part))[:] = part
            self._loans.lend(blocks[0], asker)
        else:
            for ref in refs:
                # There is no first block for copies.
                ref.block = max(ref.block - 1, 0)
        for place in lent:
            place.lend(asker)
            blocks.append(place.block)
        held = tuple([m.BlockRef(*block) for block in blocks])
        self._outbox.post(asker, m.Reply(request_id, held, tuple(refs), parameters or {}, final))
        if not final:
            self._outbox.flush()

    def reply_lent(self, asker: int, request_id: int, blocks: list[Block], refs: list[m.OutputRef]) -> None:
        """Post a reply whose outputs all lie in blocks already, and lend those."""
        held = []
        for block in blocks:
            self._loans.lend(block, asker)
            held.append(m.BlockRef(*block))
        self._outbox.post(asker, m.Reply(request_id, tuple(held), tuple(refs)))

    def end(self, asker: int, request_id: int) -> None:
        """Post that no more responses to a request will come."""
        self._outbox.post(asker, m.Reply(request_id, (), None))

    def reserve(
        self, outputs: list[tuple[str, str, tuple[int, ...]]], placements: Placements | None = None
    ) -> Reservation | None:
        """An unfilled array for each (name, datatype, shape), in a block or where the client wants it.

        For datatypes of fixed size only. None where an output goes to memory that cannot be written in place.

        Raises:
            TisError: the pool or the client's place has no room.
        """
        refs: list[m.OutputRef] = []
        placed: dict[str, npt.NDArray[Any]] = {}
        at = 0
        for name, datatype, shape in outputs:
            size_bytes = prod(shape) * ELEMENT_BYTES[datatype]
            if placements is not None and placements.takes(name, size_bytes):
                array = placements.array(name, datatype, shape, size_bytes)
                if array is None:
                    return None
                placed[name] = array
                refs.append(placements.ref(name, datatype, shape))
                continue
            refs.append(m.OutputRef(name, datatype, shape, at, size_bytes))
            at += -(-size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        if len(placed) == len(refs) and refs:
            return Reservation(None, tuple(refs), list(placed.values()))
        block = self.take(max(at, 1))
        arrays = [
            placed[ref.name]
            if ref.region
            else np.frombuffer(self._slab.writable(block, ref.start, ref.size_bytes), NUMPY[ref.datatype]).reshape(
                ref.shape
            )
            for ref in refs
        ]
        return Reservation(block, tuple(refs), arrays)

    def reply_reserved(self, asker: int, request_id: int, reservation: Reservation) -> None:
        """Post the reply whose outputs have been filled in place."""
        block = reservation.block
        if block is None:
            self._outbox.post(asker, m.Reply(request_id, (), reservation.refs))
        else:
            self._lend(asker, block, m.Reply(request_id, (m.BlockRef(*block),), reservation.refs))

    def give_back(self, reservation: Reservation) -> None:
        """Free a reservation that was not used."""
        if reservation.block is not None:
            self._slab.free(reservation.block)

    def fail(self, asker: int, request_id: int, error: TisError, *, final: bool = True) -> None:
        """Post an error, whose text is for the client as it stands."""
        text = error.message[:_LONGEST_TEXT]
        if not text.isascii():
            # Half of a surrogate pair, which a model's text may hold, cannot travel.
            text = text.encode(errors="replace").decode()
        failure = m.Failure(request_id, error.code, text, complete=True, final=final)
        self._outbox.post(asker, failure)
        if not final:
            self._outbox.flush()

    def tell(self, asker: int, message: m.Message) -> None:
        """Post what is no answer."""
        self._outbox.post(asker, message)

    def free(self, block: Block) -> None:
        """Give back a block that was taken and not lent."""
        self._slab.free(block)

    def _lend(self, asker: int, block: Block, reply: m.Reply) -> None:
        self._loans.lend(block, asker)
        self._outbox.post(asker, reply)

    def take(self, size_bytes: int) -> Block:
        """A block, see `Room`.

        Raises:
            TisError: UNAVAILABLE, there is no room.
        """
        return self._room.take(size_bytes)

    def take_parts(self, sizes_bytes: Sequence[int]) -> list[Part]:
        """Parts of one range, see `Room`.

        Raises:
            TisError: UNAVAILABLE, there is no room for all of them in one place.
        """
        return self._room.take_parts(sizes_bytes)

    def lend(self, block: Block, asker: int) -> None:
        """Note that a block goes to whoever asked."""
        self._loans.lend(block, asker)

    def address(self, block: Block) -> int:
        """Where a block lies in this process's memory."""
        return self._begin + block[0]

    def array(self, block: Block, datatype: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """An array over a range from the beginning of this block on, to be filled: all parts of it, if it is the first."""
        size_bytes = prod(shape) * ELEMENT_BYTES[datatype]
        return np.frombuffer(self._slab.writable(block, 0, size_bytes), NUMPY[datatype]).reshape(shape)


def _joined(size_bytes: int, refs: list[m.OutputRef], parts: "list[memoryview | npt.NDArray[Any]]") -> bytes:
    """The data of outputs as they would lie in a block."""
    if len(parts) == 1:
        return in_one_piece(parts[0]).tobytes()
    data = bytearray(size_bytes)
    for ref, part in zip(refs, parts, strict=True):
        if not ref.region:
            data[ref.start : ref.start + ref.size_bytes] = in_one_piece(part)
    return bytes(data)
