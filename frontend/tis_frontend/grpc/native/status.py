"""gRPC's status codes, and how a call's end is told in trailers ("Responses" in the gRPC-over-HTTP/2 document). Pure."""

from enum import IntEnum
from typing import Final

from tis_frontend.http2.headers import response_block, trailer_block

#: Python's clients refuse trailers at random from 8 KiB on, which would hide the status as well.
_MOST_TEXT_BYTES: Final = 7000
_KEPT: Final = frozenset(range(0x20, 0x7F)) - {0x25}


class Status(IntEnum):
    """The codes by their numbers."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class CallError(Exception):
    """A call ends with this status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status: Final = Status(status)
        self.text: Final = text


_TYPE: Final = (b"content-type", b"application/grpc")


def opening(encoding: str) -> bytes:
    """The header block that a response with messages begins with."""
    return response_block([_TYPE] if encoding == "identity" else [_TYPE, (b"grpc-encoding", encoding.encode())])


#: The blocks of a response without compression, and of the trailers of one that has succeeded.
OPENING: Final = opening("identity")
SUCCESS: Final = trailer_block([(b"grpc-status", b"0")])
#: What a request gets that is none of gRPC's.
NOT_GRPC: Final = trailer_block([(b":status", b"415")])


def trailers(status: int, text: str) -> bytes:
    """The trailers of a response that has begun."""
    return trailer_block(_fields(status, text))


def trailers_only(status: int, text: str) -> bytes:
    """A response that is nothing but its end."""
    return response_block([_TYPE, *_fields(status, text)])


def _fields(status: int, text: str) -> list[tuple[bytes, bytes]]:
    fields = [(b"grpc-status", b"%d" % status)]
    if text:
        fields.append((b"grpc-message", percent_encoded(text)))
    return fields


def percent_encoded(text: str) -> bytes:
    """A text as the value of `grpc-message`; the end of a long one is left out, since clients take 8 KiB of trailers."""
    data = text.encode(errors="replace")
    parts = [bytes((each,)) if each in _KEPT else b"%%%02X" % each for each in data[:_MOST_TEXT_BYTES]]
    size = sum(map(len, parts))
    if size <= _MOST_TEXT_BYTES and len(data) <= _MOST_TEXT_BYTES:
        return b"".join(parts)
    while parts and (size > _MOST_TEXT_BYTES or _inside_character(data, len(parts))):
        size -= len(parts.pop())
    return b"".join(parts) + b"..."


def _inside_character(data: bytes, at: int) -> bool:
    return at < len(data) and data[at] & 0xC0 == 0x80
