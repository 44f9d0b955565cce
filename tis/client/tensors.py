"""Tensors as programs have them, and their bytes on the wire: numpy arrays, and what speaks DLPack."""

import sys
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

#: numpy dtypes by datatype. BF16 has none of its own: its bits are seen as uint16.
DTYPES: Final[dict[str, np.dtype[Any]]] = {
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
#: Datatypes by numpy dtype.
DATATYPES: Final = {dtype: name for name, dtype in DTYPES.items() if name != "BF16"}
_LENGTH_BYTES: Final = 4
_BFLOAT16: Final = "torch.bfloat16"


def as_array(name: str, value: Any) -> tuple[Array, str]:
    """An input as a contiguous array and its datatype; BYTES come as their encoded bytes with the shape of the elements.

    `value`: an array, something with `__dlpack__` in the machine's memory, or (array, datatype).

    Raises:
        TypeError: nothing can be made of it.
    """
    datatype = ""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], str):
        value, datatype = value
    if not isinstance(value, np.ndarray):
        value, datatype = _foreign(value, datatype)
    array = value if value.flags.c_contiguous else np.ascontiguousarray(value)
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    if not datatype:
        datatype = "BYTES" if array.dtype.kind in "OSU" else DATATYPES.get(array.dtype, "")
    if not datatype:
        raise TypeError(f"input '{name}' has the numpy type '{array.dtype}', which no datatype stands for")
    if datatype != "BYTES" and DTYPES.get(datatype) != array.dtype:
        raise TypeError(f"input '{name}' has the numpy type '{array.dtype}', which is not that of {datatype}")
    return array, datatype


def _foreign(value: Any, datatype: str) -> tuple[Array, str]:
    if str(getattr(value, "dtype", "")) == _BFLOAT16:
        # numpy has no such type. Whoever holds such a tensor has imported torch.
        return _foreign(value.detach().view(sys.modules["torch"].int16), "BF16")
    if hasattr(value, "detach"):
        # A tensor that wants gradients gives its memory to nobody.
        value = value.detach()
    if hasattr(value, "__dlpack__"):
        array: Array = np.from_dlpack(value)
        return (array.view(np.uint16), datatype) if datatype == "BF16" else (array, datatype)
    return np.asarray(value), datatype


def as_target(name: str, value: Any) -> Array:
    """What an output is to be put into, as a contiguous array over the same memory; other libraries' by DLPack.

    Raises:
        TypeError: nothing can be written to it as it lies.
    """
    array: Array = value
    if not isinstance(value, np.ndarray):
        if not hasattr(value, "__dlpack__"):
            raise TypeError(f"output '{name}' is to go to a {type(value).__name__}, which is no array")
        array, _ = _foreign(value, "")
        if array.flags.c_contiguous and not array.flags.writeable:
            # Numpy does not write to what others have made unless they say that it may; who asks for this has said so.
            array = np.asarray(_Writable(array))
    if not array.flags.c_contiguous or not array.flags.writeable:
        raise TypeError(f"output '{name}' is to go to what is no contiguous array that may be written to")
    return array


class _Writable:
    """Another library's memory, for numpy to write to."""

    def __init__(self, array: Array) -> None:
        self._array: Final = array
        interface = array.__array_interface__
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}


def encode_bytes(array: Array) -> bytes:
    """BYTES of an array of strings: each element's length in four bytes, and its bytes."""
    parts: list[bytes] = []
    for element in array.ravel():
        data = element if isinstance(element, bytes) else str(element).encode()
        parts += (len(data).to_bytes(_LENGTH_BYTES, "little"), data)
    return b"".join(parts)


def decode(data: Any, datatype: str, shape: list[int]) -> Array:
    """An array over the bytes of a tensor; of BYTES one of `bytes` objects, which are copies.

    Raises:
        ValueError: the bytes do not fit the shape.
    """
    if datatype != "BYTES":
        return np.frombuffer(data, DTYPES[datatype], count=prod(shape)).reshape(shape)
    raw = bytes(data)
    elements: list[bytes] = []
    at = 0
    while at < len(raw):
        end = at + _LENGTH_BYTES + int.from_bytes(raw[at : at + _LENGTH_BYTES], "little")
        elements.append(raw[at + _LENGTH_BYTES : end])
        at = end
    array = np.empty(len(elements), dtype=np.object_)
    array[:] = elements
    return array.reshape(shape)
