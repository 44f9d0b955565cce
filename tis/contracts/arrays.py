"""Tensor datatypes as numpy has them, and the wire form of BYTES. Their names are in `datatypes`, which needs no numpy."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

#: numpy dtypes of fixed-size datatypes as they lie on the wire (little-endian). BF16 has no numpy form of its own:
#: its bits are seen as uint16.
NUMPY: Final[dict[str, np.dtype[Any]]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}

_LENGTH_BYTES: Final = 4


def encode_bytes(elements: "npt.NDArray[np.object_]") -> bytes:
    """BYTES wire form of an array: per element a little-endian uint32 length, then the bytes.

    Elements are bytes; anything else is taken by its `str`, as UTF-8.
    """
    parts: list[bytes] = []
    for element in elements.ravel():
        data = element if isinstance(element, bytes) else str(element).encode()
        parts.append(len(data).to_bytes(_LENGTH_BYTES, "little"))
        parts.append(data)
    return b"".join(parts)


def decode_bytes(view: memoryview | bytes, shape: tuple[int, ...]) -> "npt.NDArray[np.object_]":
    """Array of `bytes` objects of the given shape from BYTES wire form. The bytes are copied out of `view`.

    Raises:
        ValueError: the data hold another number of elements than the shape, or end inside one.
    """
    return decode_bytes_flat(view).reshape(shape)


def decode_bytes_flat(view: memoryview | bytes) -> "npt.NDArray[np.object_]":
    """The same without a shape.

    Raises:
        ValueError: the data end inside an element.
    """
    data = bytes(view)
    elements: list[bytes] = []
    at = 0
    while at < len(data):
        start = at + _LENGTH_BYTES
        end = start + int.from_bytes(data[at:start], "little")
        if start > len(data) or end > len(data):
            raise ValueError("a BYTES tensor ends inside an element")
        elements.append(data[start:end])
        at = end
    array = np.empty(len(elements), dtype=np.object_)
    array[:] = elements
    return array
