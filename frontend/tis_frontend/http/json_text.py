"""JSON as Triton reads and writes it: RapidJSON's grammar (NaN and Infinity are numbers) and its error texts.

The fast path is msgspec; RapidJSON itself (which tritonclient brings) is asked only where msgspec refuses.
"""

import re
from typing import Any, Final

import msgspec
import rapidjson

from tis.errors import internal

_decode: Final = msgspec.json.Decoder().decode
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
        return rapidjson.loads(bytes(text))
    except rapidjson.JSONDecodeError as error:
        found = _RAPIDJSON_ERROR.match(str(error))
        reason = f"{found[2]} at {found[1]}" if found else str(error)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        reason = str(error)
    raise internal(f"{what}: {reason}")


def numbers(values: list[float]) -> bytes:
    """A JSON array of doubles, shortest form that reads back the same, NaN and Infinity as bare words."""
    text: str = rapidjson.dumps(values)
    return text.encode()
