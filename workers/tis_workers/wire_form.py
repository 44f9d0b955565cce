"""Arrays as they go over the wire: a datatype of the protocol, and bytes."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tis.contracts.arrays import NUMPY, encode_bytes
from tis.errors import internal

#: From here on it pays to copy an array that is not contiguous to where it goes, element by element.
LARGE_STRIDED_BYTES: Final = 16 << 10
NOTHING: Final = memoryview(b"")
_DATATYPES: Final = {dtype: name for name, dtype in NUMPY.items() if name != "BF16"}


def wire_form(name: str, array: npt.NDArray[Any], configured: str) -> tuple[str, memoryview]:
    """An output's datatype and its bytes as they go over the wire; no copy for contiguous arrays of fixed-size elements.

    Raises:
        TisError: the array has no datatype of the protocol.
    """
    datatype, part = wire_part(name, array, configured)
    return datatype, in_one_piece(part)


def wire_part(name: str, array: npt.NDArray[Any], configured: str) -> tuple[str, "memoryview | npt.NDArray[Any]"]:
    """The same, but a large array that is not contiguous comes as it is, to be copied once only."""
    if array.dtype.kind in "OSU":
        return "BYTES", memoryview(encode_bytes(array.astype(np.object_, copy=False)))
    if configured == "BF16" and array.dtype == NUMPY["BF16"]:
        datatype: str | None = "BF16"
    else:
        datatype = _DATATYPES.get(array.dtype)
    if datatype is None:
        raise internal(f"output '{name}' has the numpy type '{array.dtype}', which no protocol datatype stands for")
    if not array.size:
        return datatype, NOTHING
    if array.flags.c_contiguous:
        return datatype, array.data.cast("B")
    return datatype, array if array.nbytes >= LARGE_STRIDED_BYTES else np.ascontiguousarray(array).data.cast("B")


def in_one_piece(part: "memoryview | npt.NDArray[Any]") -> memoryview:
    """The bytes, copied where they do not lie one behind the other."""
    return part if isinstance(part, memoryview) else np.ascontiguousarray(part).data.cast("B")
