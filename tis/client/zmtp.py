"""A client's end of ZeroMQ's wire protocol, ZMTP 3.1 with the mechanism NULL: bytes to messages and back. Touches no socket.

libzmq sends and receives in a thread of its own, which is woken for each message and wakes the program again: for a small
request that is half of the time. https://rfc.zeromq.org/spec/37 is the specification.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from tis.client.errors import RefusedError

_GREETING: Final = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
_READY: Final = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
_PING: Final = b"\x04PING"
MORE, _LONG, _COMMAND = 1, 2, 4  # flags of a frame
_SHORT_BYTES: Final = 255
_ROOM_BYTES: Final = 64 << 10
#: Frames up to this size are put together, so that they go in one packet.
JOINED_BYTES: Final = 16 << 10


class Incoming:
    """What a server has said on one connection."""

    def __init__(self) -> None:
        self._room: Final = memoryview(bytearray(_ROOM_BYTES))
        #: What has been read and is not used yet.
        self._rest = bytearray()
        #: A frame that is being read to where it stays: how much of it is there, and its flags.
        self._long: bytearray | None = None
        self._long_bytes = 0
        self._long_flags = 0
        #: The frames of the message that is coming in.
        self._frames: list[bytearray] = []
        self._is_greeted = False
        #: True once messages may be sent; one before the server's READY is an error to libzmq's servers.
        self.is_ready = False
        #: Whole messages, oldest first.
        self.messages: deque[list[bytearray]] = deque()
        #: What is to be written to the server besides messages.
        self.out = b""

    def room(self) -> memoryview:
        """Where the next bytes are to go."""
        return self._room if self._long is None else memoryview(self._long)[self._long_bytes :]

    def received(self, size_bytes: int) -> None:
        """So many bytes, at least one, have been put into the room.

        Raises:
            RefusedError: that is not ZeroMQ.
        """
        if self._long is not None:
            self._long_bytes += size_bytes
            if self._long_bytes == len(self._long):
                frame, self._long = self._long, None
                self._take(self._long_flags, frame)
            return
        room = self._room
        if room[0] == 0 and room[1] == size_bytes - 2 and self.is_ready and not (self._rest or self._frames):
            # A message of one short frame and nothing else, as most answers are.
            self.messages.append([bytearray(room[2:size_bytes])])
            return
        self._rest += room[:size_bytes]
        self._parse()

    def _parse(self) -> None:
        rest = self._rest
        at = 0
        if not self._is_greeted:
            if len(rest) < len(_GREETING):
                return
            if rest[0] != 0xFF or rest[12:32] != _GREETING[12:32]:
                raise RefusedError("what is at this address does not speak ZeroMQ without keys")
            self._is_greeted = True
            at = len(_GREETING)
        while len(rest) - at >= 2:
            flags = rest[at]
            begin = at + (9 if flags & _LONG else 2)
            if len(rest) < begin:
                break
            size_bytes = int.from_bytes(rest[at + 1 : begin], "big")
            have_bytes = len(rest) - begin
            if have_bytes >= size_bytes:
                frame = rest[begin : begin + size_bytes]
                at = begin + size_bytes
                self._take(flags, frame)
            elif size_bytes > _ROOM_BYTES:
                # The rest of a long one goes to where it stays.
                self._long = bytearray(size_bytes)
                self._long[:have_bytes] = memoryview(rest)[begin:]
                self._long_bytes, self._long_flags = have_bytes, flags
                at = len(rest)
            else:
                break
        del rest[:at]

    def _take(self, flags: int, frame: bytearray) -> None:
        if flags & _COMMAND:
            self.is_ready = self.is_ready or frame.startswith(_READY[:6])
            if frame.startswith(_PING):
                answer = b"\x04PONG" + frame[len(_PING) + 2 :]
                self.out += frame_head(_COMMAND, len(answer)) + answer
            return
        self._frames.append(frame)
        if not flags & MORE:
            self.messages.append(self._frames)
            self._frames = []


def frame_head(flags: int, size_bytes: int) -> bytes:
    """What goes before a frame's bytes."""
    if size_bytes <= _SHORT_BYTES:
        return bytes((flags, size_bytes))
    return bytes((flags | _LONG,)) + size_bytes.to_bytes(8, "big")


def wire(frames: Sequence[Any]) -> list[Any]:
    """The pieces, one after another, of a message of these frames; large ones are not copied."""
    pieces: list[Any] = []
    joined = b""
    last = len(frames) - 1
    for at, frame in enumerate(frames):
        size_bytes = memoryview(frame).nbytes
        head = frame_head(MORE if at < last else 0, size_bytes)
        if size_bytes <= JOINED_BYTES:
            joined = b"".join((joined, head, frame))
        else:
            pieces += (joined + head, frame)
            joined = b""
    if joined:
        pieces.append(joined)
    return pieces


#: What a client says first, before it has heard anything.
FIRST_WORDS: Final = _GREETING + frame_head(_COMMAND, len(_READY)) + _READY
