"""Compressed messages: gzip and deflate, and which of them a response gets. Pure."""

import gzip
import zlib
from typing import Final

from tis.settings import CompressionLevel
from tis_frontend.grpc.native.status import CallError, Status

#: From the weakest to the strongest, as gRPC's C library ranks them when it chooses one for a level.
_RANKED: Final = ("gzip", "deflate")
_RANK: Final[dict[CompressionLevel, float]] = {"low": 0.0, "medium": 0.5, "high": 1.0}
_LEVEL: Final = 6


def chosen(level: CompressionLevel, accepts: frozenset[str]) -> str:
    """How to compress responses for a client that takes these: a name for `grpc-encoding`."""
    usable = [name for name in _RANKED if name in accepts]
    if level == "none" or not usable:
        return "identity"
    return usable[min(int(_RANK[level] * len(usable)), len(usable) - 1)]


def compressed(data: bytes, encoding: str) -> bytes:
    """A message in a form that a client takes."""
    return gzip.compress(data, _LEVEL) if encoding == "gzip" else zlib.compress(data, _LEVEL)


def decompressed(data: bytes, encoding: str, most_bytes: int) -> bytes:
    """A message whose flag says that it is compressed.

    Raises:
        CallError: the encoding is not known, the data are not of it, or the message is too large.
    """
    if encoding not in _RANKED:
        raise CallError(Status.INTERNAL if encoding == "identity" else Status.UNIMPLEMENTED, _unknown(encoding))
    unpacker = zlib.decompressobj(wbits=31 if encoding == "gzip" else 15)
    try:
        message = unpacker.decompress(data, most_bytes)
    except zlib.error as error:
        raise CallError(
            Status.INTERNAL, f"Unexpected error decompressing data for algorithm {encoding}: {error}"
        ) from None
    if unpacker.unconsumed_tail:
        raise CallError(Status.RESOURCE_EXHAUSTED, f"Received message larger than max ({most_bytes}) when decompressed")
    if not unpacker.eof:
        raise CallError(Status.INTERNAL, f"Unexpected error decompressing data for algorithm {encoding}: it ends early")
    return message


def _unknown(encoding: str) -> str:
    if encoding == "identity":
        return "a message says that it is compressed, and the call does not say how"
    return f"Compression algorithm '{encoding}' is unknown; identity, deflate and gzip are taken"
