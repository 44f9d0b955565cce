"""The ROUTER's end of ZeroMQ's wire protocol, ZMTP 3.1 with the NULL mechanism, for one connection. Touches no socket.

`secured` has the same for the CURVE mechanism.

https://rfc.zeromq.org/spec/37 is the specification. What arrives is read straight to where it stays: a long frame into a
buffer of its own, everything else through a room that all connections share.
"""

from typing import Final, NamedTuple

from tis.errors import TisError, invalid, unavailable
from tis_frontend.direct.zmtp_error import ZmtpError

_SIGNATURE: Final = b"\xff" + b"\x00" * 8 + b"\x7f"
_GREETING_BYTES: Final = 64
MORE, LONG, COMMAND = 1, 2, 4  # flags of a frame
_SHORT_BYTES: Final = 255
LONGEST_COMMAND_BYTES: Final = 1024
_LONGEST_PING_CONTEXT_BYTES: Final = 16
_SHORT_HEAD_BYTES: Final = 2
_LONG_HEAD_BYTES: Final = 9
#: Frames that are longer get a buffer of their own.
_OWN_BUFFER_BYTES: Final = 64 << 10
_READY: Final = b"\x05READY"
_PING: Final = b"\x04PING"
_SOCKET_TYPE: Final = b"socket-type"
_CLIENT_TYPES: Final = (b"DEALER",)

#: Of all connections: what is read into it is used before the event loop turns.
_ROOM: Final = memoryview(bytearray(256 << 10))


class Limits(NamedTuple):
    """What one message may have."""

    head_bytes: int
    message_bytes: int
    frames: int


class Incoming(NamedTuple):
    """A whole message. `refusal`: why its frames but the first were thrown away; None where they are all there."""

    frames: list[bytes | bytearray]
    refusal: TisError | None = None


class Budget:
    """How much messages that are still coming in may take, of all connections together."""

    def __init__(self, size_bytes: int) -> None:
        self._left_bytes = size_bytes

    def take(self, size_bytes: int) -> bool:
        """False where there is no room."""
        if size_bytes > self._left_bytes:
            return False
        self._left_bytes -= size_bytes
        return True

    def give_back(self, size_bytes: int) -> None:
        """A message is whole, or will never be."""
        self._left_bytes += size_bytes


class Connection:
    """What one peer has sent, and what it is to be sent besides messages."""

    #: ZMTP's name of how peers show who they are.
    mechanism = b"NULL"
    #: Whether a frame is what its sender meant, and not a box.
    _is_open = True

    def __init__(self, limits: Limits, budget: Budget) -> None:
        self._limits: Final = limits
        self._budget: Final = budget
        #: To be written to the peer.
        self.out = bytearray(_greeting(self.mechanism) + self._first_words())
        self._is_greeted = False
        self._is_ready = False
        #: The beginning of a frame whose end has not come yet.
        self._rest = b""
        #: A frame that is being read into its own buffer: its flags, and how much of it is there.
        self._long: bytearray | None = None
        self._long_flags = 0
        self._long_bytes = 0
        #: Bytes of a refused frame that are still to come.
        self._skipped_bytes = 0
        #: The message that is coming in.
        self._frames: list[bytes | bytearray] = []
        self._count = 0
        self._message_bytes = 0
        self._budgeted_bytes = 0
        self._refusal: TisError | None = None

    @property
    def is_ready(self) -> bool:
        """True once the handshake is over."""
        return self._is_ready

    def room(self) -> memoryview:
        """Where the next bytes are to go."""
        return _ROOM if self._long is None else memoryview(self._long)[self._long_bytes :]

    def received(self, size_bytes: int) -> list[Incoming]:
        """So many bytes have been put into the room; gives the messages that are whole now.

        Raises:
            ZmtpError: close the connection.
        """
        messages: list[Incoming] = []
        if self._long is not None:
            self._long_bytes += size_bytes
            if self._long_bytes == len(self._long):
                frame, self._long = self._long, None
                self._take(self._long_flags, frame, messages)
            return messages
        head_bytes = _LONG_HEAD_BYTES if _ROOM[0] else _SHORT_HEAD_BYTES
        if (
            _ROOM[0] in (0, LONG)
            and not (self._rest or self._count or self._skipped_bytes)
            and size_bytes > head_bytes
            and int.from_bytes(_ROOM[1:head_bytes], "big") == size_bytes - head_bytes <= self._limits.head_bytes
            and self._is_ready
            and self._is_open
        ):
            # One message of one frame and nothing else, as most requests are.
            messages.append(Incoming([bytes(_ROOM[head_bytes:size_bytes])]))
            return messages
        data = self._rest + bytes(_ROOM[:size_bytes])
        at = 0
        if not self._is_greeted:
            if len(data) < _GREETING_BYTES:
                if not _SIGNATURE.startswith(data[:1]):
                    raise ZmtpError("not ZeroMQ")
                self._rest = data
                return messages
            _check_greeting(data, self.mechanism)
            self._is_greeted = True
            at = _GREETING_BYTES
        self._rest = data[self._parse(data, at, messages) :]
        return messages

    def _parse(self, data: bytes, at: int, messages: list[Incoming]) -> int:
        """Take the whole frames of `data`; gives where the first one begins that is not whole."""
        size = len(data)
        while at < size:
            if self._skipped_bytes:
                skipped = min(self._skipped_bytes, size - at)
                self._skipped_bytes -= skipped
                at += skipped
                if not self._skipped_bytes:
                    self._take(self._long_flags, b"", messages)
                continue
            flags = data[at]
            head_bytes = 9 if flags & LONG else 2
            if size - at < head_bytes:
                return at
            frame_bytes = int.from_bytes(data[at + 1 : at + head_bytes], "big")
            begin, end = at + head_bytes, at + head_bytes + frame_bytes
            if not self._admit(flags, frame_bytes):
                self._long_flags = flags
                self._skipped_bytes = frame_bytes
                at = begin
                if not frame_bytes:
                    self._take(flags, b"", messages)
            elif end <= size:
                self._take(flags, data[begin:end], messages)
                at = end
            elif frame_bytes > _OWN_BUFFER_BYTES:
                self._long = bytearray(frame_bytes)
                self._long_flags = flags
                self._long_bytes = size - begin
                self._long[: size - begin] = data[begin:]
                return size
            else:
                return at
        return at

    def _admit(self, flags: int, frame_bytes: int) -> bool:
        """False where a frame is to be thrown away.

        Raises:
            ZmtpError: it cannot even be told which message is refused.
        """
        if flags & ~(MORE | LONG | COMMAND):
            raise ZmtpError(f"a frame with the flags {flags:#x}")
        if flags & COMMAND:
            if frame_bytes > LONGEST_COMMAND_BYTES:
                raise ZmtpError(f"a command of {frame_bytes} bytes")
            return True
        if not self._is_ready:
            raise ZmtpError("a message before READY")
        limits = self._limits
        if self._refusal is not None:
            return False
        if not self._count:
            if frame_bytes > limits.head_bytes:
                raise ZmtpError(f"a head of {frame_bytes} bytes")
        elif self._message_bytes + frame_bytes > limits.message_bytes:
            self._refusal = invalid(
                f"a message has at most {limits.message_bytes} bytes; larger tensors travel in regions"
            )
        elif self._count > limits.frames:
            self._refusal = invalid(f"a message has at most {limits.frames} frames behind its head")
        elif not self._budget.take(frame_bytes):
            self._refusal = unavailable("too many large messages are coming in at the same time; try again")
        else:
            self._budgeted_bytes += frame_bytes
        return self._refusal is None

    def abandon(self) -> None:
        """The peer has gone: what has come of its message is of no use."""
        self._give_back(self._budgeted_bytes)

    def _give_back(self, size_bytes: int) -> None:
        self._budget.give_back(size_bytes)
        self._budgeted_bytes -= size_bytes

    def _take(self, flags: int, frame: bytes | bytearray, messages: list[Incoming]) -> None:
        if flags & COMMAND:
            self._command(bytes(frame))
            return
        self._count += 1
        self._message_bytes += len(frame)
        if self._refusal is not None:
            # What came before it is of no use either.
            del self._frames[1:]
        else:
            self._frames.append(frame)
        if not flags & MORE:
            messages.append(Incoming(self._frames, self._refusal))
            self._frames, self._count, self._message_bytes, self._refusal = [], 0, 0, None
            # Whoever gets the message is done with it before the next one is read.
            self.abandon()

    def _command(self, body: bytes) -> None:
        if body.startswith(_READY) and not self._is_ready:
            self._check_peer(body[len(_READY) :])
            self._is_ready = True
        elif body.startswith(_PING) and self._is_ready:
            # Its time to live, two bytes, is the peer's own affair: a connection that ends is noticed as it is.
            context = body[len(_PING) + 2 :]
            if len(context) > _LONGEST_PING_CONTEXT_BYTES:
                raise ZmtpError("a PING with too long a context")
            self._answer_command(b"\x04PONG" + context)
        elif not self._is_ready:
            raise ZmtpError("a handshake without READY")

    # ---- what depends on the mechanism -----------------------------------------------------------------------------

    def wire(self, head: bytes, parts: list[bytes | memoryview]) -> bytes:
        """A message as it is to be written."""
        return b"".join(message(head, parts))

    def _first_words(self) -> bytes:
        """What is said right behind the greeting."""
        return as_frame(COMMAND, _READY + metadata())

    def _answer_command(self, body: bytes) -> None:
        self.out += as_frame(COMMAND, body)

    def _check_peer(self, data: bytes) -> None:
        """See from its metadata whether the peer is a client."""
        if _properties(data).get(_SOCKET_TYPE) not in _CLIENT_TYPES:
            raise ZmtpError("the peer is no DEALER")


def frame_head(flags: int, size_bytes: int) -> bytes:
    """What goes before a frame's bytes."""
    if size_bytes <= _SHORT_BYTES:
        return bytes((flags, size_bytes))
    return bytes((flags | LONG,)) + size_bytes.to_bytes(8, "big")


def message(head: bytes, parts: list[bytes | memoryview]) -> list[bytes | memoryview]:
    """The pieces, one after another, of a message of these frames."""
    pieces: list[bytes | memoryview] = [frame_head(MORE if parts else 0, len(head)) + head]
    last = len(parts) - 1
    for position, part in enumerate(parts):
        pieces += (frame_head(MORE if position < last else 0, len(part)), part)
    return pieces


def as_frame(flags: int, body: bytes) -> bytes:
    """A frame with its head."""
    return frame_head(flags, len(body)) + body


def metadata() -> bytes:
    """What a server says of itself."""
    return b"".join(
        len(name).to_bytes(1, "big") + name + len(value).to_bytes(4, "big") + value
        for name, value in ((b"Socket-Type", b"ROUTER"), (b"Identity", b""))
    )


def _properties(data: bytes) -> dict[bytes, bytes]:
    """The metadata of a READY command; names are the same in any case."""
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        name_end = at + 1 + data[at]
        value_at = name_end + 4
        value_end = value_at + int.from_bytes(data[name_end:value_at], "big")
        if value_end > len(data) or value_at > len(data):
            raise ZmtpError("a READY that ends inside a property")
        found[data[at + 1 : name_end].lower()] = data[value_at:value_end]
        at = value_end
    return found


def _greeting(mechanism: bytes) -> bytes:
    """Version 3.1; who is the server is said in that of CURVE, where it matters."""
    return _SIGNATURE + b"\x03\x01" + mechanism.ljust(20, b"\x00") + bytes((mechanism != b"NULL",)) + b"\x00" * 31


def _check_greeting(greeting: bytes, mechanism: bytes) -> None:
    if (
        greeting[0] != 0xFF
        or not greeting[9] & 1
        or greeting[10] < 3
        or greeting[12:32] != mechanism.ljust(20, b"\x00")
    ):
        raise ZmtpError(f"not a ZMTP 3 greeting with the {mechanism.decode()} mechanism")
