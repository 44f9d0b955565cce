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

_REASONS: Final = {
    200: b"OK",
    400: b"Bad Request",
    404: b"Not Found",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    503: b"Service Unavailable",
}
#: The first lines of responses that are written without a framework.
STATUS_LINES: Final = {status: b"HTTP/1.1 %d %s\r\n" % (status, reason) for status, reason in _REASONS.items()}


def error_body(error: TisError) -> bytes:
    """`{"error":"<text>"}`."""
    return msgspec.json.encode({"error": error.message})
