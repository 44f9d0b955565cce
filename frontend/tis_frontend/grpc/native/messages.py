"""Messages out of a call's bytes: each has a flag and a length of four bytes before it ("Length-Prefixed-Message"). Pure."""

from typing import Final

from tis_frontend.grpc.native.compression import decompressed
from tis_frontend.grpc.native.status import CallError, Status

PREFIX_BYTES: Final = 5
#: Triton's limit, which is the protocol library's own.
MOST_MESSAGE_BYTES: Final = (1 << 31) - 1


def prefix(size_bytes: int) -> bytes:
    """What goes before a message that is not compressed."""
    return b"\0" + size_bytes.to_bytes(4, "big")


def prefixed(data: bytes, *, is_compressed: bool = False) -> bytes:
    """A message as it travels."""
    return b"%c%b%b" % (is_compressed, len(data).to_bytes(4, "big"), data)


def large_size(view: memoryview) -> int:
    """The size of the message that begins here, where it is not compressed and says so in one piece; else 0."""
    if len(view) < PREFIX_BYTES or view[0]:
        return 0
    size = int.from_bytes(view[1:PREFIX_BYTES], "big")
    return size if size <= MOST_MESSAGE_BYTES else 0


def only_message(view: memoryview) -> bytes | None:
    """The message that these bytes are, where they are just one that is whole and not compressed."""
    size = len(view) - PREFIX_BYTES
    if size < 0 or view[0] or int.from_bytes(view[1:PREFIX_BYTES], "big") != size:
        return None
    return bytes(view[PREFIX_BYTES:])


class MessageReader:
    """Puts messages together."""

    def __init__(
        self, encoding: str, most_bytes: int = MOST_MESSAGE_BYTES, most_unpacked_bytes: int = MOST_MESSAGE_BYTES
    ) -> None:
        """`most_unpacked_bytes`: how large a compressed message may become."""
        self._encoding = encoding
        self._most_bytes = most_bytes
        self._most_unpacked_bytes = most_unpacked_bytes
        self._prefix = bytearray()
        self._size = 0
        self._is_compressed = False
        self._data = bytearray()
        self._got = 0

    @property
    def held_bytes(self) -> int:
        """Bytes of a message that is not whole yet."""
        return self._got

    @property
    def is_between(self) -> bool:
        """Whether no message has begun that is not whole."""
        return not self._prefix

    def feed(self, view: memoryview) -> list[bytes]:
        """Bytes have come; gives the messages that are whole with them.

        Raises:
            CallError: a message is too large or cannot be decompressed.
        """
        messages: list[bytes] = []
        at, end = 0, len(view)
        while True:
            missing = PREFIX_BYTES - len(self._prefix)
            if missing:
                self._prefix += view[at : at + missing]
                at += missing
                if len(self._prefix) < PREFIX_BYTES:
                    return messages
                self._begin()
            taken = min(self._size - self._got, end - at)
            piece = view[at : at + taken]
            self._got += taken
            at += taken
            if self._got < self._size:
                # Not a list of pieces: those may be of a byte each, which would take many times the memory.
                self._data += piece
                return messages
            messages.append(self._whole(piece))

    def _begin(self) -> None:
        flag = self._prefix[0]
        self._size = int.from_bytes(self._prefix[1:], "big")
        if flag > 1:
            raise CallError(Status.INTERNAL, f"a message has the flag {flag}; 0 and 1 are known")
        if self._size > self._most_bytes:
            raise CallError(
                Status.RESOURCE_EXHAUSTED, f"Received message larger than max ({self._size} vs. {self._most_bytes})"
            )
        self._is_compressed = bool(flag)

    def _whole(self, last: memoryview) -> bytes:
        message = b"".join((self._data, last)) if self._data else bytes(last)
        self._data = bytearray()
        self._got = 0
        self._prefix = bytearray()
        return decompressed(message, self._encoding, self._most_unpacked_bytes) if self._is_compressed else message
