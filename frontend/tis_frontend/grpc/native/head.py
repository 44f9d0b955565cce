"""The head of a call: what the fields of its HEADERS say, by the gRPC-over-HTTP/2 document ("Requests"). Pure."""

import base64
import binascii
import re
from typing import Final

from tis_frontend.http2.headers import Fields

_UNITS_S: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_MOST_TIMEOUT_DIGITS: Final = 8
#: A field of binary values holds one for each of its commas.
_MOST_METADATA: Final = 512
_PSEUDO: Final = frozenset({b":method", b":scheme", b":path", b":authority"})
#: Fields of HTTP/1.1 connections (RFC 9113, 8.2.2).
_FORBIDDEN: Final = frozenset({b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"})
_CONTENT_TYPE: Final = re.compile(rb"application/grpc([+;].*)?", re.IGNORECASE)
#: Characters of names, and those that values have not (RFC 9113, 8.2.1).
_NAME: Final = re.compile(rb"[a-z0-9!#$%&'*+\-.^_`|~]+")
_NO_VALUE: Final = re.compile(rb"[\0\r\n]")

Metadata = tuple[tuple[str, str | bytes], ...]


class Head:
    """A call that is no malformed HTTP/2 request; it may still be one that gRPC refuses."""

    __slots__ = ("accepts", "encoding", "is_grpc", "metadata", "path", "timeout_s")

    def __init__(self, path: str) -> None:
        self.path = path
        #: False for a request of something else than gRPC.
        self.is_grpc = True
        #: Time that the client gives the call; None for ever.
        self.timeout_s: float | None = None
        #: How messages are compressed that say that they are.
        self.encoding = "identity"
        #: How the client takes responses to be compressed.
        self.accepts: frozenset[str] = frozenset()
        #: The client's own fields; values of names that end with `-bin` are bytes.
        self.metadata: Metadata = ()

    def value(self, name: str) -> str | None:
        """The first value of a field in text."""
        return next((value for key, value in self.metadata if key == name and isinstance(value, str)), None)


def read_head(fields: Fields) -> Head | None:
    """What header fields say; None where they are no well-formed request (RFC 9113, 8.3.1)."""
    pseudo: dict[bytes, bytes] = {}
    regular: Fields = []
    for name, value in fields:
        if name[:1] == b":":
            if regular or name in pseudo or name not in _PSEUDO:
                return None
            pseudo[name] = value
        elif (
            not _NAME.fullmatch(name)
            or _NO_VALUE.search(value)
            or name in _FORBIDDEN
            or (name == b"te" and value != b"trailers")
        ):
            return None
        else:
            regular.append((name, value))
    path = pseudo.get(b":path", b"")
    if b":method" not in pseudo or b":scheme" not in pseudo or not path:
        return None
    head = Head(path.decode("latin-1"))
    content_type = b""
    metadata: list[tuple[str, str | bytes]] = []
    for name, value in regular:
        if name == b"content-type":
            content_type = value
        elif name == b"grpc-timeout":
            head.timeout_s = _timeout_s(value.decode("latin-1"))
            if head.timeout_s is None:
                return None
        elif name == b"grpc-encoding":
            head.encoding = value.decode("latin-1")
        elif name == b"grpc-accept-encoding":
            head.accepts = frozenset(each.strip() for each in value.decode("latin-1").split(","))
        elif name != b"te" and not name.startswith(b"grpc-"):
            metadata += _metadata(name.decode("latin-1"), value)
    if len(metadata) > _MOST_METADATA:
        return None
    head.is_grpc = pseudo[b":method"] == b"POST" and _CONTENT_TYPE.fullmatch(content_type) is not None
    head.metadata = tuple(metadata)
    return head


def _timeout_s(text: str) -> float | None:
    """The value of `grpc-timeout`, such as `250m`; None where it is none."""
    digits, unit = text[:-1], text[-1:]
    if not digits.isdecimal() or len(digits) > _MOST_TIMEOUT_DIGITS or unit not in _UNITS_S:
        return None
    return int(digits) * _UNITS_S[unit]


def _metadata(name: str, value: bytes) -> list[tuple[str, str | bytes]]:
    if not name.endswith("-bin"):
        return [(name, value.decode("latin-1"))]
    values: list[tuple[str, str | bytes]] = []
    for each in value.split(b",", _MOST_METADATA):
        try:
            values.append((name, base64.b64decode(each.strip() + b"==")))
        except binascii.Error:
            continue
    return values
