"""Protobuf messages from bytes and to bytes, with gRPC's own words for bytes that are none."""

from typing import Any, Final

from google.protobuf.message import DecodeError

from tis.errors import internal

_ONE_BYTE: Final = [bytes((number,)) for number in range(0x80)]


def parse(kind: Any, data: bytes) -> Any:
    """The message of a kind that these bytes are.

    Raises:
        TisError: INTERNAL where they are none, as gRPC itself says it.
    """
    try:
        return kind.FromString(data)
    except DecodeError:
        raise internal("Unable to parse request") from None


def serialized(message: Any) -> bytes:
    """The bytes of a message."""
    data: bytes = message.SerializeToString()
    return data


def varint(number: int) -> bytes:
    """A number that is not negative, as protobuf writes lengths and tags."""
    if number <= 0x7F:
        return _ONE_BYTE[number]
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)
    return bytes(data)
