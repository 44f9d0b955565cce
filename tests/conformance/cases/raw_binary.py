"""Raw binary requests over HTTP: the whole body is the one input (a header length of 0)."""

import struct
from typing import Final

from tests.conformance.case import Case, bytes_element, case, infer_binary

_FOUR: Final = struct.pack("<4f", 1, 2, 3, 4)


def _raw(model: str, body: bytes, length: str = "0") -> Case:
    name = f"{model}, {len(body)} bytes, length {length}"
    return case(name, infer_binary(model, b"", body, length=length))


CASES: Final[tuple[Case, ...]] = (
    _raw("id_fp32", _FOUR),
    _raw("id_fp32", b""),
    _raw("id_fp32", _FOUR[:7]),
    _raw("id_uint8", b"abc"),
    _raw("id_bf16", b"\x80\x3f\x00\xc0"),
    _raw("id_bool", b"\0\1"),
    _raw("id_fp32", _FOUR, "00"),
    _raw("id_fp32", _FOUR, "abc"),
    _raw("batched", _FOUR),
    _raw("batched", _FOUR * 2),
    _raw("batched", _FOUR[:8]),
    _raw("variable", _FOUR),
    _raw("variable", _FOUR[:4]),
    _raw("variables", _FOUR),
    _raw("one_string", b"hello"),
    _raw("one_string", b""),
    _raw("one_string", bytes_element(b"hello", b"you")),
    _raw("id_bytes", b"hello"),
    _raw("strings", b"hello"),
    _raw("simple", bytes(128)),
    _raw("plain", _FOUR),
    _raw("nobody", _FOUR),
)
