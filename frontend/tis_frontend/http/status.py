"""The table from error codes to HTTP statuses, and the one form that errors have in a body."""

from typing import Final

import msgspec

from tis.errors import Code, TisError

STATUS: Final[dict[Code, int]] = {
    Code.UNKNOWN: 400,
    Code.INTERNAL: 500,
    Code.NOT_FOUND: 404,
    Code.INVALID_ARG: 400,
    Code.UNAVAILABLE: 503,
    Code.UNSUPPORTED: 501,
    Code.ALREADY_EXISTS: 400,
    Code.CANCELLED: 400,
}


def error_body(error: TisError) -> bytes:
    """`{"error":"<text>"}`."""
    return msgspec.json.encode({"error": error.message})
