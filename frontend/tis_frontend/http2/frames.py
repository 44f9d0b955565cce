"""HTTP/2 frames: their kinds, flags, settings and errors, and how they are written (RFC 9113, 4.1, 6 and 7). No state."""

import struct
from enum import IntEnum
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_BYTES: Final = 9

DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
HAS_PRIORITY: Final = 0x20

HEADER_TABLE_SIZE: Final = 1
ENABLE_PUSH: Final = 2
MAX_CONCURRENT_STREAMS: Final = 3
INITIAL_WINDOW_SIZE: Final = 4
MAX_FRAME_SIZE: Final = 5
MAX_HEADER_LIST_SIZE: Final = 6

#: What holds until a peer's settings say otherwise (6.5.2), and the largest window there may be (6.9.1).
DEFAULT_WINDOW_BYTES: Final = 65_535
DEFAULT_FRAME_BYTES: Final = 16_384
MOST_FRAME_BYTES: Final = (1 << 24) - 1
MOST_WINDOW_BYTES: Final = (1 << 31) - 1

#: The upper 16 and the lower 8 bits of the length, kind, flags, stream.
HEAD: Final = struct.Struct(">HBBBI")
SETTING: Final = struct.Struct(">HI")
WORD: Final = struct.Struct(">I")


class Error(IntEnum):
    """Error codes (7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class ProtocolError(Exception):
    """The peer has broken the protocol in a way that ends the connection (5.4.1)."""

    def __init__(self, code: Error, text: str) -> None:
        super().__init__(text)
        self.code: Final = code
        self.text: Final = text


def head(size_bytes: int, kind: int, flags: int, stream: int) -> bytes:
    """The head of a frame."""
    return HEAD.pack(size_bytes >> 8, size_bytes & 0xFF, kind, flags, stream)


def settings(values: dict[int, int]) -> bytes:
    """A SETTINGS frame."""
    return head(len(values) * SETTING.size, SETTINGS, 0, 0) + b"".join(SETTING.pack(*each) for each in values.items())


SETTINGS_ACK: Final = head(0, SETTINGS, ACK, 0)


def ping(payload: bytes, *, ack: bool) -> bytes:
    """A PING frame; the payload has 8 bytes."""
    return head(8, PING, ACK if ack else 0, 0) + payload


def reset(stream: int, code: int) -> bytes:
    """A RST_STREAM frame."""
    return head(4, RST_STREAM, 0, stream) + WORD.pack(code)


def window_update(stream: int, increment_bytes: int) -> bytes:
    """A WINDOW_UPDATE frame."""
    return head(4, WINDOW_UPDATE, 0, stream) + WORD.pack(increment_bytes)


def goaway(last_stream: int, code: int, text: str = "") -> bytes:
    """A GOAWAY frame."""
    debug = text.encode()
    return head(8 + len(debug), GOAWAY, 0, 0) + WORD.pack(last_stream) + WORD.pack(code) + debug
