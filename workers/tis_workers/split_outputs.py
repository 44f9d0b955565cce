"""Outputs of a batch that are computed where they are read: each is one range of the pool, lent to the requests by rows.

A reader names what it is done with by the granule in which it begins; so each request's rows must begin in one of their
own, as they do where they are not small. Small outputs are computed elsewhere and copied.
"""

from collections.abc import Sequence
from itertools import accumulate
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tis.contracts.arrays import NUMPY
from tis.contracts.datatypes import ELEMENT_BYTES
from tis.errors import TisError
from tis_shm.pool import GRANULE_BYTES
from tis_shm.slab import Part
from tis_workers.output import OutputWriter
from tis_workers.request import WorkRequest

#: An output that has less than this for all requests together is not large.
LARGE_BYTES: Final = 64 << 10


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

    def __init__(self, requests: Sequence[WorkRequest], writer: OutputWriter) -> None:
        self._requests = requests
        self._writer = writer
        #: For the whole batch, by name.
        self.arrays: dict[str, npt.NDArray[Any]] = {}
        self._parts: dict[str, list[_Rows]] = {}

    def add(self, name: str, datatype: str, shape: tuple[int, ...], sizes_bytes: Sequence[int]) -> None:
        """Another output, of whose bytes so many are each request's.

        Raises:
            TisError: UNAVAILABLE, the pool has no room.
        """
        if sum(sizes_bytes) >= LARGE_BYTES:
            parts = self._writer.take_parts(sizes_bytes)
            self._parts[name] = [_Rows(part, self._writer) for part in parts]
            self.arrays[name] = self._writer.array(parts[0].block, datatype, shape)
        else:
            self.arrays[name] = np.empty(shape, NUMPY[datatype])

    def respond(self) -> None:
        """Answer every request with its rows. One whose answer has no room, or not where its client wants it, fails."""
        ends = list(accumulate(request.batch_size for request in self._requests))
        try:
            for position, (request, end) in enumerate(zip(self._requests, ends, strict=True)):
                outputs = [
                    (spec.name, self.arrays[spec.name][end - request.batch_size : end], spec.datatype)
                    for spec in request.wanted
                    if spec.name in self.arrays
                ]
                try:
                    request.respond_with(outputs, own={name: parts[position] for name, parts in self._parts.items()})
                except TisError as error:
                    request.fail(error)
        finally:
            self.give_back()

    def give_back(self) -> None:
        """Free all that has not been sent."""
        for parts in self._parts.values():
            for part in parts:
                if not part.used:
                    self._writer.free(part.block)
        self._parts = {}


def split_outputs(
    requests: Sequence[WorkRequest], outputs: Sequence[tuple[str, str, tuple[int, ...]]]
) -> SplitOutputs | None:
    """Arrays for (name, datatype, shape) with a row for each item of the batch; None where that is not worth it.

    That is where no output is large, or the rows of a large one are so small that they are copied sooner. None, too, where
    answers do not go to the pool, or it has no room in one piece. For datatypes of fixed size and outputs without `reshape`.
    """
    writer = requests[0].pool_writer
    if writer is None:
        return None
    counts = [request.batch_size for request in requests]
    sizes = [[prod(shape[1:]) * ELEMENT_BYTES[datatype] * count for count in counts] for _, datatype, shape in outputs]
    large = [each for each in sizes if sum(each) >= LARGE_BYTES]
    if not large or min(map(min, large)) < GRANULE_BYTES:
        return None
    split = SplitOutputs(requests, writer)
    try:
        for (name, datatype, shape), sizes_bytes in zip(outputs, sizes, strict=True):
            split.add(name, datatype, shape, sizes_bytes)
    except TisError:
        split.give_back()
        return None
    return split
