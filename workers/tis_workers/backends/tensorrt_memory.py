"""Memory of a GPU and pinned memory beside it for the tensors of a TensorRT engine, both from PyTorch, kept between batches.

Pinned memory is what a GPU copies from and to while other work goes on. A batch of several requests is put together right
there; a result is read there before the next batch overwrites it.
"""

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class DeviceBuffer:
    """Room for one tensor on both sides, which grows with what it has to hold."""

    def __init__(self, torch: Any, dtype: "np.dtype[Any]") -> None:
        self._torch = torch
        self._dtype = dtype
        self._room_bytes = 0
        self._pinned: Any = None
        self._device: Any = None

    @property
    def address(self) -> int:
        """Where the tensor lies on the GPU; never 0."""
        self._make_room(0)
        address: int = self._device.data_ptr()
        return address

    def host(self, shape: tuple[int, ...]) -> Array:
        """An array of a shape in pinned memory, good until the next one is asked for."""
        size_bytes = prod(shape) * self._dtype.itemsize
        self._make_room(size_bytes)
        found: Array = self._pinned.numpy()[:size_bytes].view(self._dtype).reshape(shape)
        return found

    def upload(self, array: Array) -> None:
        """Begin to copy an array to the GPU, on the current stream; one of `host` is not copied on this side."""
        size_bytes = array.nbytes
        self._make_room(size_bytes)
        place = self._pinned.numpy()[:size_bytes]
        if size_bytes and array.ctypes.data != place.ctypes.data:
            np.copyto(place.view(self._dtype).reshape(array.shape), array)
        self._device[:size_bytes].copy_(self._pinned[:size_bytes], non_blocking=True)

    def reserve(self, shape: tuple[int, ...]) -> None:
        """Make room for a result of a shape."""
        self._make_room(prod(shape) * self._dtype.itemsize)

    def reserve_bytes(self, size_bytes: int) -> int:
        """Make room for a result whose shape is not known yet, and say where."""
        self._make_room(size_bytes)
        return self.address

    def download(self, shape: tuple[int, ...]) -> Array:
        """Begin to copy a result from the GPU; what is returned holds it once the stream has been waited for."""
        size_bytes = prod(shape) * self._dtype.itemsize
        array = self.host(shape)
        self._pinned[:size_bytes].copy_(self._device[:size_bytes], non_blocking=True)
        return array

    def _make_room(self, size_bytes: int) -> None:
        if self._device is not None and size_bytes <= self._room_bytes:
            return
        # A power of two, so that batches that grow bit by bit do not allocate each time.
        self._room_bytes = 1 << max(size_bytes - 1, 511).bit_length()
        uint8 = self._torch.uint8
        self._pinned = self._torch.empty(self._room_bytes, dtype=uint8, pin_memory=True)
        self._device = self._torch.empty(self._room_bytes, dtype=uint8, device="cuda")
