"""Header blocks: decoded by the `hpack` library, each once as long as the peer repeats it, and written without a table.

A client sends the same block for every call of a kind: one byte per field after the first time. What such a block means
changes only with the dynamic table, so decoded blocks are remembered while that stands still (RFC 7541, 2.3.2).

What is sent goes without the dynamic table (RFC 7541, 6.2.2), so a block is a constant that any peer understands.
"""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

import hpack

from tis_frontend.http2.frames import Error, ProtocolError

Fields = list[tuple[bytes, bytes]]

#: Blocks remembered at most: a client with a changing field, such as a timeout, must not fill the memory.
_MOST_REMEMBERED: Final = 64
_LONGEST_REMEMBERED_BYTES: Final = 1024
#: Nor must a few bytes that name large fields of the dynamic table.
_MOST_REMEMBERED_BYTES: Final = 32 << 10
_STATUS_200: Final = b"\x88"

_T = TypeVar("_T")


class HeaderBlocks(Generic[_T]):
    """The peer's header blocks of one connection, as whatever `read` makes of their fields."""

    def __init__(self, read: Callable[[Fields], _T], most_bytes: int) -> None:
        self._read = read
        self._decoder = hpack.Decoder(max_header_list_size=most_bytes)
        self._table = self._decoder.header_table.dynamic_entries
        self._remembered: dict[bytes, tuple[_T, int]] = {}
        self._remembered_bytes = 0

    def decode(self, block: bytes) -> tuple[_T, int]:
        """What a block means, and how many bytes its fields have.

        Raises:
            ProtocolError: it is no block, or larger than allowed; either ends the connection (RFC 9113, 4.3).
        """
        known = self._remembered.get(block)
        if known is not None:
            return known
        table = self._table
        before = len(table), table[0] if table else None
        size = self._decoder.header_table_size
        try:
            fields = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)]
        except hpack.OversizedHeaderListError:
            raise ProtocolError(Error.ENHANCE_YOUR_CALM, "the header list is too long") from None
        except hpack.HPACKError as error:
            raise ProtocolError(Error.COMPRESSION_ERROR, f"the header block cannot be decoded: {error}") from None
        size_bytes = sum(len(name) + len(value) for name, value in fields)
        meaning = self._read(fields), size_bytes
        after = len(table), table[0] if table else None
        if after[0] != before[0] or after[1] is not before[1] or self._decoder.header_table_size != size:
            self._forget()
        elif len(block) <= _LONGEST_REMEMBERED_BYTES:
            if (
                len(self._remembered) >= _MOST_REMEMBERED
                or self._remembered_bytes + size_bytes > _MOST_REMEMBERED_BYTES
            ):
                self._forget()
            self._remembered[block] = meaning
            self._remembered_bytes += size_bytes
        return meaning

    def _forget(self) -> None:
        self._remembered.clear()
        self._remembered_bytes = 0


def response_block(fields: Fields) -> bytes:
    """The block of a response with status 200 and these further fields."""
    return _STATUS_200 + trailer_block(fields)


def trailer_block(fields: Fields) -> bytes:
    """The block of trailers."""
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields)


def _text(text: bytes) -> bytes:
    """A string literal without Huffman coding (RFC 7541, 5.2)."""
    size = len(text)
    if size < 127:
        return bytes((size,)) + text
    size -= 127
    head = bytearray(b"\x7f")
    while size >= 128:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + text
