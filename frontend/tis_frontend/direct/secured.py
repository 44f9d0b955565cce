"""A direct client's connection whose frames travel in CURVE's boxes; whatever is in them is as on any other connection.

What is refused there and read to its end ends the connection here: whether a frame is a message's last is inside its box.
"""

from typing import Final

from tis_frontend.direct.curve import DENIED, OVERHEAD_BYTES, Curve, DeniedError, ServerKeys
from tis_frontend.direct.zmtp import (
    COMMAND,
    LONG,
    LONGEST_COMMAND_BYTES,
    MORE,
    Budget,
    Connection,
    Incoming,
    Limits,
    as_frame,
    metadata,
)
from tis_frontend.direct.zmtp_error import ZmtpError

#: The flag of a command inside a box, which is not that of a frame.
_INNER_COMMAND: Final = 2


class SecuredConnection(Connection):
    """A connection of a client that has shown that it has a known key."""

    mechanism = b"CURVE"
    _is_open = False

    def __init__(self, limits: Limits, budget: Budget, keys: ServerKeys) -> None:
        super().__init__(limits, budget)
        self._curve: Final = Curve(keys)
        self._is_welcomed = False

    def wire(self, head: bytes, parts: list[bytes | memoryview]) -> bytes:
        """A message as it is to be written."""
        last = len(parts)
        return b"".join(
            as_frame(0, self._curve.sealed(MORE if at < last else 0, each)) for at, each in enumerate((head, *parts))
        )

    def _first_words(self) -> bytes:
        return b""

    def _admit(self, flags: int, frame_bytes: int) -> bool:
        if not self._is_ready:
            if flags & ~(COMMAND | LONG) or not flags & COMMAND or frame_bytes > LONGEST_COMMAND_BYTES:
                raise ZmtpError(f"a frame with the flags {flags:#x} and {frame_bytes} bytes before READY")
            return True
        if flags & MORE:
            raise ZmtpError("a part of a MESSAGE")
        # libzmq sends MESSAGE without the flag of a command, others with it.
        if not super()._admit(flags & ~COMMAND, max(0, frame_bytes - OVERHEAD_BYTES)):
            raise ZmtpError(self._refusal.message if self._refusal is not None else "beyond the limits")
        return True

    def _take(self, _flags: int, frame: bytes | bytearray, messages: list[Incoming]) -> None:
        if not self._is_ready:
            self._shake_hands(bytes(frame))
            return
        inner, body = self._curve.opened(frame)
        if inner & _INNER_COMMAND:
            # It is no part of a message that is coming in.
            self._give_back(len(body))
            self._command(body)
        else:
            super()._take(inner & MORE, body, messages)

    def _shake_hands(self, body: bytes) -> None:
        if not self._is_welcomed:
            self.out += as_frame(COMMAND, self._curve.hello(body))
            self._is_welcomed = True
            return
        try:
            theirs, ready = self._curve.initiate(body)
        except DeniedError:
            self.out += as_frame(COMMAND, DENIED)
            raise
        self._check_peer(theirs)
        self.out += as_frame(COMMAND, ready(metadata()))
        self._is_ready = True

    def _answer_command(self, body: bytes) -> None:
        self.out += as_frame(0, self._curve.sealed(_INNER_COMMAND, body))
