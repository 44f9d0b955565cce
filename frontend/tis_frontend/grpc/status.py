"""The table from error codes to gRPC status codes, as numbers, so that no transport is needed to know it."""

from typing import Final

from tis.errors import Code

STATUS: Final[dict[Code, int]] = {
    Code.CANCELLED: 1,
    Code.UNKNOWN: 2,
    Code.INVALID_ARG: 3,
    Code.NOT_FOUND: 5,
    Code.ALREADY_EXISTS: 6,
    Code.UNSUPPORTED: 12,
    Code.INTERNAL: 13,
    Code.UNAVAILABLE: 14,
}
