"""Versions of models as clients and models write them."""

import re
from typing import Final

from tis.errors import invalid

_VERSION: Final = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]{1,40})", re.ASCII)
_INT64_END: Final = 1 << 63


def parse_version(text: str) -> int | None:
    """A version as text, as in gRPC: empty for the newest.

    Raises:
        TisError: INVALID_ARG in Triton's words.
    """
    if not text:
        return None
    # What follows the digits is ignored, as C's strtol does.
    found = _VERSION.match(text)
    version = int(found[1]) if found else _INT64_END
    if not -_INT64_END <= version < _INT64_END:
        raise invalid(
            f"failed to get model version from specified version string '{text}' (details: stol), version should be an "
            "integral value > 0"
        )
    if version < 0:
        raise invalid(f"invalid model version specified '{text}' , version should be an integral value > 0")
    return version
