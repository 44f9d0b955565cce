"""A DATA frame that is coming in: its bytes are passed on as they arrive, its padding is not (RFC 9113, 6.1)."""

from tis_frontend.http2 import frames as f
from tis_frontend.http2.frames import Error, ProtocolError
from tis_frontend.http2.stream import Stream


class DataFrame:
    """How much of it is still to come."""

    __slots__ = ("ends", "left", "padding", "stream")

    def __init__(self) -> None:
        self.left = 0
        self.padding = 0
        #: The request ends with it.
        self.ends = False
        #: None where nobody wants it any more.
        self.stream: Stream | None = None

    @property
    def is_open(self) -> bool:
        """Whether bytes of it are still to come."""
        return bool(self.left or self.padding)

    def begin(self, data: bytes | memoryview, at: int, size: int, flags: int) -> int:
        """Its head has been read; gives where its data begin.

        Raises:
            ProtocolError: its padding is none.
        """
        self.left = size
        self.padding = 0
        self.ends = bool(flags & f.END_STREAM)
        if not flags & f.PADDED:
            return at
        if not size:
            raise ProtocolError(Error.FRAME_SIZE_ERROR, "a padded frame without the length of its padding (6.1)")
        self.padding = data[at]
        self.left -= 1 + self.padding
        if self.left < 0:
            raise ProtocolError(Error.PROTOCOL_ERROR, "more padding than the frame is long (6.1)")
        return at + 1

    def skip_padding(self, at: int, end: int) -> int:
        """Where the bytes go on after as much of the padding as has come."""
        skipped = min(self.padding, end - at)
        self.padding -= skipped
        return at + skipped
