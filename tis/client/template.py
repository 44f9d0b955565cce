"""A request's message, packed once: what changes when it is asked again is filled in."""

import os
import struct
from collections.abc import Sequence
from typing import Any, Final

import msgpack

from tis.client.messages import Head
from tis.client.zmtp import JOINED_BYTES, MORE, frame_head

#: MessagePack's sign of an integer of eight bytes, as all that is filled in is written.
_UINT64: Final = b"\xcf"


class Blank:
    """What stands for an integer that is filled in: a number that no text contains the bytes of, since none is UTF-8."""

    def __init__(self) -> None:
        self.value: Final = int.from_bytes(b"\xff\xfe" + os.urandom(6), "big")
        self.bytes: Final = self.value.to_bytes(8, "big")


class Template:
    """A message with blanks, in the order of their places, and frames of known sizes behind its head.

    The last key of the head is its `id`, and that the last blank: the server knows a head by what is before it.
    """

    def __init__(self, head: Head, blanks: Sequence[Blank], frame_sizes: Sequence[int], *, is_plain: bool) -> None:
        """`is_plain`: `filled` is to give the whole message as it is on the wire, where no frame is too large for that."""
        packed: bytes = msgpack.packb(head)
        self.is_whole: Final = is_plain and all(size <= JOINED_BYTES for size in frame_sizes)
        form = ">"
        before = frame_head(MORE if frame_sizes else 0, len(packed)) if self.is_whole else b""
        constants: list[bytes] = []
        for blank in blanks:
            at = packed.index(_UINT64 + blank.bytes) + 1
            constants.append(before + packed[:at])
            form += f"{len(constants[-1])}sQ"
            before, packed = b"", packed[at + 8 :]
        if packed:
            raise ValueError("there is something behind the last blank")
        if self.is_whole:
            for number, size in enumerate(frame_sizes, 1):
                constants.append(frame_head(MORE if number < len(frame_sizes) else 0, size))
                form += f"{len(constants[-1])}s{size}s"
        self._pack: Final = struct.Struct(form).pack
        self._arguments: Final[list[Any]] = [None] * (2 * len(constants))
        self._arguments[::2] = constants

    def filled(self, values: Sequence[int], frames: Sequence[Any]) -> bytes:
        """The message with these values; `frames` of `bytes` are part of it where it is a whole one, else it is a head."""
        arguments = self._arguments
        arguments[1::2] = [*values, *frames] if self.is_whole else values
        return self._pack(*arguments)
