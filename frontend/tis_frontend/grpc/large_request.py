"""A large ModelInferRequest on its way in: tensors go from the socket's bytes to their places in the pool as they come.

The message is read field by field. `raw_input_contents` (field 7) are copied once, each to an aligned place of the block;
all else is small and kept for the protobuf library. Knows no transport.
"""

from typing import Final

from tis.errors import internal, invalid
from tis_frontend.core import Core
from tis_frontend.grpc.wire import varint
from tis_shm.pool import Block

#: Messages from this size on are worth it.
LARGE_BYTES: Final = 64 << 10

_RAW_CONTENTS: Final = 7
_ALIGNMENT_BYTES: Final = 64
_MOST_TENSORS: Final = 1024
#: What else than tensors a message may hold: names, shapes, parameters, typed contents.
_MOST_HEAD_BYTES: Final = 64 << 20
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT: Final = 10


class LargeRequest:
    """Takes a block for a message of a known size, and fills it."""

    __slots__ = ("_at", "_core", "_head", "_left", "_number", "_shift", "_size", "_state", "_target", "block", "places")

    def __init__(self, core: Core, size_bytes: int) -> None:
        """Raises TisError where there is no room, as `Core.take`."""
        self._core = core
        self._size = size_bytes + _ALIGNMENT_BYTES * _MOST_TENSORS
        self.block: Block = core.take(self._size)
        #: Start and size in bytes of each of `raw_input_contents`, in order.
        self.places: list[tuple[int, int]] = []
        self._head = bytearray()
        self._at = 0
        # What the next byte belongs to: a tag, a varint that is a value or a length, or bytes that are copied.
        self._state = self._read_tag
        self._number = 0
        self._shift = 0
        self._left = 0
        self._target: memoryview | None = None

    @property
    def head(self) -> bytes:
        """The message without the tensors.

        Raises:
            TisError: INTERNAL, as gRPC says it, where the message has ended inside a field.
        """
        if self._left or self._shift or self._state != self._read_tag:
            raise internal("Unable to parse request")
        return bytes(self._head)

    def discard(self) -> None:
        """The message is not wanted any more."""
        self._core.discard(self.block)

    def feed(self, view: memoryview) -> None:
        """Bytes have come.

        Raises:
            TisError: they are no protobuf message, or one that is too odd to be a request.
        """
        at, end = 0, len(view)
        while at < end:
            if not self._left:
                self._state(view[at])
                at += 1
                continue
            taken = min(self._left, end - at)
            target = self._target
            if target is None:
                self._head += view[at : at + taken]
            else:
                start = len(target) - self._left
                target[start : start + taken] = view[at : at + taken]
            self._left -= taken
            at += taken
        if len(self._head) > _MOST_HEAD_BYTES:
            raise invalid(f"a request may hold {_MOST_HEAD_BYTES} bytes beside its tensors in raw_input_contents")

    def room(self) -> memoryview | None:
        """The rest of the tensor that is coming, whose bytes may be written there as they are; None between tensors."""
        return self._target[len(self._target) - self._left :] if self._left and self._target is not None else None

    def filled(self, size_bytes: int) -> None:
        """So many bytes have been written to `room`."""
        self._left -= size_bytes

    # ---- one byte ----------------------------------------------------------------------------------------------------

    def _varint(self, byte: int) -> bool:
        """Take a byte of a varint; True with its last one."""
        self._number |= (byte & 0x7F) << self._shift
        self._shift += 7
        if byte & 0x80:
            if self._shift >= 7 * _LONGEST_VARINT:
                raise internal("Unable to parse request")
            return False
        self._shift = 0
        return True

    def _read_tag(self, byte: int) -> None:
        if not self._varint(byte):
            return
        tag, self._number = self._number, 0
        kind = tag & 7
        if tag >> 3 == _RAW_CONTENTS and kind == _DELIMITED:
            self._state = self._read_raw_length
            return
        self._head += varint(tag)
        self._target = None
        if kind == _VARINT:
            self._state = self._read_value
        elif kind == _DELIMITED:
            self._state = self._read_length
        elif kind in (_FIXED32, _FIXED64):
            self._left = 4 if kind == _FIXED32 else 8
        else:
            raise internal("Unable to parse request")

    def _read_value(self, byte: int) -> None:
        self._head.append(byte)
        if self._varint(byte):
            self._number = 0
            self._state = self._read_tag

    def _read_length(self, byte: int) -> None:
        self._head.append(byte)
        if self._varint(byte):
            self._left, self._number = self._number, 0
            self._state = self._read_tag

    def _read_raw_length(self, byte: int) -> None:
        if not self._varint(byte):
            return
        size, self._number = self._number, 0
        start = -(-self._at // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
        if len(self.places) == _MOST_TENSORS or start + size > self._size:
            raise internal("Unable to parse request")
        self.places.append((start, size))
        self._at = start + size
        self._left = size
        self._target = self._core.writable(self.block, start, size)
        self._state = self._read_tag
