"""JSON as Triton reads and writes it: RapidJSON's grammar (NaN and Infinity are numbers) and its error texts.

The fast path is msgspec; RapidJSON itself (which tritonclient brings) is asked only where msgspec refuses.
"""

import re
from decimal import Decimal
from math import inf
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import rapidjson

from tis.errors import internal

_decode: Final = msgspec.json.Decoder().decode
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_RAPIDJSON_ERROR: Final = re.compile(r"Parse error at offset (\d+): (.*)", re.DOTALL)


def parse(text: bytes | bytearray | memoryview, what: str) -> Any:
    """The value of a JSON text.

    Raises:
        TisError: INTERNAL, as Triton has it, with RapidJSON's text and offset; `what` begins the text.
    """
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return rapidjson.loads(bytes(text).removeprefix(_BYTE_ORDER_MARK))
    except rapidjson.JSONDecodeError as error:
        found = _RAPIDJSON_ERROR.match(str(error))
        reason = f"{found[2]} at {found[1]}" if found else str(error)
        # What newer versions of RapidJSON say of control characters, as Triton's says it.
        reason = reason.replace("Invalid encoding in string.", "Invalid escape character in string.")
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        reason = str(error)
    raise internal(f"{what}: {reason}")


def numbers(values: "npt.NDArray[np.float64]") -> bytes:
    """A JSON array of doubles as RapidJSON writes them: the shortest form that reads back the same.

    Exponents stand only beyond 21 digits before the point or 6 zeros behind it; NaN and Infinity are bare words.
    """
    sizes = np.abs(values)
    unlike = ~np.isfinite(values) | ((sizes >= 1e16) & (sizes < 1e21)) | ((sizes >= 1e-6) & (sizes < 1e-5))
    if not unlike.any():
        return msgspec.json.encode(values.tolist())
    return f"[{','.join(map(number, values.tolist()))}]".encode()


def number(value: float) -> str:
    """One double; see `numbers`."""
    if value != value:
        return "NaN"
    size = abs(value)
    if size == inf:
        return "Infinity" if value > 0 else "-Infinity"
    if 1e16 <= size < 1e21 or 1e-6 <= size < 1e-5:
        text = format(Decimal(repr(value)), "f")
        return text if "." in text else text + ".0"
    return msgspec.json.encode(value).decode()
