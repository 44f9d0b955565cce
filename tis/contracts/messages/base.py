"""What all messages are made of, and the limits that keep a packet inside one datagram."""

from functools import cache
from typing import Final

import msgspec

#: Raised when a message changes shape; a child of another version is refused at its hello.
PROTOCOL_VERSION: Final = 13

#: The body of one request may have this many bytes, and the bodies of a batch together twice as many, so that a batch
#: always fits one packet of the carrier.
MOST_BODY_BYTES: Final = 64 << 10
MOST_BATCH_BODY_BYTES: Final = 2 * MOST_BODY_BYTES


#: Requests in one batch at most, whatever their sizes.
MOST_REQUESTS: Final = 512

#: Tensors of a request, or of a response, that have no more bytes than this together travel in the message: a place in the
#: pool costs its owner and its reader more than the copies that are saved. With 4 KB in the message 6 to 10 % more requests
#: were served at 8 and 64 clients; from 16 KB on there is no difference.
INLINE_BYTES: Final = 8192
#: What the body of a request has besides its tensors, mostly.
_ENVELOPE_BYTES: Final = 128


@cache
def inline_bytes(max_batch_size: int) -> int:
    """The same for requests of a model with such batches: so few that its fullest batch still fits one packet."""
    requests = min(max(max_batch_size, 1), MOST_REQUESTS)
    return min(INLINE_BYTES, MOST_BATCH_BODY_BYTES // requests - _ENVELOPE_BYTES)


class Message(msgspec.Struct, array_like=True, gc=False):
    """Base of all messages."""


class BlockRef(Message):
    """A block of the pool: where it starts and which life of it is meant."""

    offset: int
    generation: int
