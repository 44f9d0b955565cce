"""What clients of HTTP make this process hold outside the pool: bodies that are collected whole. Bounded over all of them.

Each is bounded by `--http-max-input-size`, which is not enough where thousands of clients come. gRPC has a budget of its own
(`tis_frontend.grpc.native.budget`).
"""

from collections.abc import Iterable
from typing import Final

from tis.log import get_logger
from tis_frontend.http.protocol import InferProtocol

MOST_BYTES: Final = 2 << 30

_log = get_logger(__name__)


def give_up_largest(connections: Iterable[InferProtocol], most_bytes: int = MOST_BYTES) -> InferProtocol | None:
    """To be called now and then: cut off who makes this process hold most, where all together hold too much."""
    total_bytes = largest_bytes = 0
    largest: InferProtocol | None = None
    for each in connections:
        held_bytes = each.held_bytes
        total_bytes += held_bytes
        if held_bytes > largest_bytes:
            largest_bytes, largest = held_bytes, each
    if largest is None or total_bytes <= most_bytes:
        return None
    _log.warning(
        "an HTTP client is cut off: bodies that are not complete take %d bytes, and its own %d",
        total_bytes,
        largest_bytes,
    )
    largest.give_up()
    return largest
