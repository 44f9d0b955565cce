"""Outputs of a batch that are computed where they are read: each is one range of the pool, lent to the requests by rows.

A reader names what it is done with by the granule in which it begins; so each request's rows must begin in one of their
own, as they do where they are not small. Small outputs are computed elsewhere and copied.
"""

from collections.abc import Sequence
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tis.contracts import messages as m
from tis.contracts.arrays import NUMPY
from tis.contracts.datatypes import ELEMENT_BYTES
from tis.errors import TisError
from tis_shm.pool import GRANULE_BYTES, Block
from tis_shm.slab import Part
from tis_workers.output import OutputWriter
from tis_workers.request import WorkRequest

#: An output that has less than this for all requests together is not large.
LARGE_BYTES: Final = 64 << 10
#: To copy less than this for each request costs less than to lend it.
WORTH_LENDING_BYTES: Final = 16 << 10

_Output = tuple[str, str, tuple[int, ...]]


class _Rows:
    """One request's rows of an output."""

    __slots__ = ("_writer", "block", "start", "used")

    def __init__(self, part: Part, writer: OutputWriter) -> None:
        self.block, self.start = part
        self.used = False
        self._writer = writer

    def lend(self, reader: int) -> None:
        """The rows go to a reader as they are."""
        self.used = True
        self._writer.lend(self.block, reader)


class SplitOutputs:
    """Unfilled arrays for the outputs of a batch of whole rows; to be filled, and then sent or given back."""

    def __init__(self, requests: Sequence[WorkRequest], writer: OutputWriter, outputs: Sequence[_Output]) -> None:
        self._requests = requests
        self._writer = writer
        self._outputs = {output[0]: output for output in outputs}
        #: For the whole batch, by name.
        self.arrays: dict[str, npt.NDArray[Any]] = {}
        #: The parts of large outputs, by name; None in place of what has been sent.
        self._parts: dict[str, list[Part | None]] = {}

    def add(self, output: _Output, sizes_bytes: Sequence[int]) -> None:
        """Make room for an output, of whose bytes so many are each request's.

        Raises:
            TisError: UNAVAILABLE, the pool has no room.
        """
        name, datatype, shape = output
        if sum(sizes_bytes) >= LARGE_BYTES:
            parts = self._writer.take_parts(sizes_bytes)
            self._parts[name] = [*parts]
            self.arrays[name] = self._writer.array(parts[0].block, datatype, shape)
        else:
            self.arrays[name] = np.empty(shape, NUMPY[datatype])

    def respond(self) -> None:
        """Answer every request with its rows. One whose answer has no room, or not where its client wants it, fails."""
        begin = 0
        try:
            for position, request in enumerate(self._requests):
                end = begin + request.batch_size
                try:
                    if len(self._parts) < len(self.arrays) or request.has_placements:
                        self._respond_partly(position, request, begin, end)
                    else:
                        self._respond_wholly(position, request)
                except TisError as error:
                    request.fail(error)
                begin = end
        finally:
            self.give_back()

    def give_back(self) -> None:
        """Free all that has not been sent."""
        for parts in self._parts.values():
            for part in parts:
                if part is not None:
                    self._writer.free(part.block)
        self._parts = {}

    def _respond_wholly(self, position: int, request: WorkRequest) -> None:
        """With nothing but rows that lie where they are read."""
        blocks: list[Block] = []
        refs: list[m.OutputRef] = []
        rows = request.batch_size
        for spec in request.wanted:
            parts = self._parts.get(spec.name)
            part = parts[position] if parts is not None else None
            if parts is None or part is None:
                continue
            name, datatype, shape = self._outputs[spec.name]
            size_bytes = self.arrays[name].strides[0] * rows
            refs.append(m.OutputRef(name, datatype, (rows, *shape[1:]), part.start, size_bytes, 0, len(blocks)))
            blocks.append(part.block)
            parts[position] = None
        request.respond_lent(blocks, refs)

    def _respond_partly(self, position: int, request: WorkRequest, begin: int, end: int) -> None:
        """Some is small, and copied, or goes elsewhere."""
        outputs = [
            (spec.name, self.arrays[spec.name][begin:end], spec.datatype)
            for spec in request.wanted
            if spec.name in self.arrays
        ]
        lendable = {
            name: _Rows(part, self._writer)
            for name, parts in self._parts.items()
            if (part := parts[position]) is not None
        }
        try:
            request.respond_with(outputs, own=lendable)
        finally:
            for name, rows in lendable.items():
                if rows.used:
                    self._parts[name][position] = None


def split_outputs(requests: Sequence[WorkRequest], outputs: Sequence[_Output]) -> SplitOutputs | None:
    """Arrays for (name, datatype, shape) with a row for each item of the batch; None where that is not worth it.

    That is where no output is large, or the rows of a large one are so small that they are copied sooner. None, too, where
    answers do not go to the pool, or it has no room in one piece. For datatypes of fixed size and outputs without `reshape`.
    """
    writer = requests[0].pool_writer
    if writer is None or any(request.pool_writer is not writer for request in requests):
        return None
    counts = [request.batch_size for request in requests]
    sizes = [[prod(shape[1:]) * ELEMENT_BYTES[datatype] * count for count in counts] for _, datatype, shape in outputs]
    large = [each for each in sizes if sum(each) >= LARGE_BYTES]
    if not large or min(map(min, large)) < GRANULE_BYTES or min(map(sum, large)) < WORTH_LENDING_BYTES * len(counts):
        return None
    split = SplitOutputs(requests, writer, outputs)
    try:
        for output, sizes_bytes in zip(outputs, sizes, strict=True):
            split.add(output, sizes_bytes)
    except TisError:
        split.give_back()
        return None
    return split
