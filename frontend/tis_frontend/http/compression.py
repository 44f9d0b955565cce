"""Content-Encoding and Accept-Encoding of infer calls: gzip and deflate (which is zlib's format) in both directions."""

import zlib
from collections.abc import Iterable
from typing import Final

from tis.errors import TisError, invalid, unsupported

_GZIP_BITS: Final = 16 + zlib.MAX_WBITS
#: Tells gzip and zlib apart by their first bytes, whichever the header names; Triton does the same.
_EITHER_BITS: Final = 32 + zlib.MAX_WBITS
_BITS: Final = {b"gzip": _GZIP_BITS, b"deflate": zlib.MAX_WBITS}

UNSUPPORTED: Final = "Unsupported compression type"


def is_compressed(encoding: bytes | None) -> bool:
    """Whether a body with this Content-Encoding is to be decompressed.

    Raises:
        TisError: UNSUPPORTED for anything but gzip, deflate and identity, exactly so written.
    """
    if encoding is None or encoding == b"identity":
        return False
    if encoding not in _BITS:
        raise unsupported(UNSUPPORTED)
    return True


def decompressed(body: bytes | bytearray, most_bytes: int) -> bytearray:
    """The body's content.

    Raises:
        TisError: INVALID_ARG for a body that is empty, broken, cut short or larger than allowed.
    """
    if not body:
        raise invalid("nothing to be decompressed")
    content = bytearray()
    engine = zlib.decompressobj(_EITHER_BITS)
    try:
        # One byte more than allowed tells a body of the allowed size from a larger one.
        content += engine.decompress(body, most_bytes + 1)
    except zlib.error as error:
        raise invalid(f"failed to decompress the request body: {error}") from None
    if len(content) > most_bytes:
        raise too_large(most_bytes)
    if not engine.eof:
        raise invalid("failed to decompress the request body: it ends too early")
    return content


def too_large(most_bytes: int) -> TisError:
    """A body whose content is larger than allowed."""
    return invalid(
        f"Decompressed data size exceeds the maximum allowed value of {most_bytes} bytes. Use --http-max-input-size to "
        "increase the limit."
    )


def chosen(accept: bytes) -> bytes:
    """The encoding of a response by an Accept-Encoding header: gzip, deflate, or empty for none.

    The highest weight wins, of equal ones the first; what is unknown is skipped.
    """
    best, best_weight = b"", 0.0
    for entry in accept.split(b","):
        name, *options = (part.strip() for part in entry.split(b";"))
        weight = 1.0
        if options:
            weight = _weight(options[0])
        if weight > best_weight and (name == b"identity" or name in _BITS):
            best, best_weight = name, weight
    return b"" if best == b"identity" else best


def _weight(option: bytes) -> float:
    name, _, value = option.partition(b"=")
    try:
        return float(value) if name == b"q" else 0.0
    except ValueError:
        return 0.0


def compressed(parts: Iterable[bytes | memoryview], encoding: bytes) -> bytes:
    """The parts of a response as one compressed body."""
    engine = zlib.compressobj(wbits=_BITS[encoding])
    pieces = [engine.compress(part) for part in parts]
    pieces.append(engine.flush())
    return b"".join(pieces)
