"""Memory that batches are gathered in one after another: fresh pages cost more than the copy.

For models that keep nothing of their inputs after an execution, and whose outputs are no views of them.
"""

from collections.abc import Sequence
from math import prod
from typing import Final

import numpy as np
import numpy.typing as npt

from tis_workers.batch.parts import Array, Arrays, Part

#: No more than this is gathered in fresh memory, which is warm, since it comes from the heap.
_SMALL_BYTES: Final = 128 << 10
#: More is not kept between batches.
_LARGEST_BYTES: Final = 256 << 20
#: What was not used between so many looks is given up.
_UNUSED_LOOKS: Final = 5

#: An input's name, and which of its two buffers.
_Key = tuple[str, bool]


class KeptBuffers:
    """A buffer for each input, as large as the largest batch of late; two where batches are gathered beside running ones."""

    def __init__(self) -> None:
        self._buffers: dict[_Key, npt.NDArray[np.uint8]] = {}
        self._looks: dict[_Key, int] = {}
        #: Which buffers the newest batch lies in.
        self._second = False

    @property
    def kept_bytes(self) -> int:
        """What all buffers have together."""
        return sum(buffer.nbytes for buffer in self._buffers.values())

    def gather(self, requests: Sequence[Part], *, beside: bool = False) -> Arrays:
        """The same as `gather.gather`; large arrays are good until the next call. `beside`: the last ones stay."""
        if beside:
            self._second = not self._second
        return {name: self._joined(name, [request.inputs[name] for request in requests]) for name in requests[0].inputs}

    def look(self) -> None:
        """Call it once a second, between batches: gives up what has not been used for some of these calls."""
        for key in list(self._buffers):
            self._looks[key] += 1
            if self._looks[key] > _UNUSED_LOOKS:
                del self._buffers[key], self._looks[key]

    def _joined(self, name: str, arrays: list[Array]) -> Array:
        first = arrays[0]
        # Other requests may be of other sizes, but mostly are not.
        if first.nbytes * len(arrays) <= _SMALL_BYTES or first.dtype == np.object_:
            return np.concatenate(arrays)
        shape = (sum(array.shape[0] for array in arrays), *first.shape[1:])
        size_bytes = prod(shape) * first.itemsize
        if size_bytes > _LARGEST_BYTES:
            return np.concatenate(arrays)
        key = (name, self._second)
        buffer = self._buffers.get(key)
        if buffer is None or buffer.nbytes < size_bytes:
            # Not by and by, if batches grow.
            buffer = self._buffers[key] = np.empty(1 << (size_bytes - 1).bit_length(), np.uint8)
        self._looks[key] = 0
        batch: Array = buffer[:size_bytes].view(first.dtype).reshape(shape)
        np.concatenate(arrays, out=batch)
        return batch
