"""Inference over HTTP with tensors as binary data behind the JSON."""

import struct
from typing import Any, Final

from tests.conformance.case import Case, bytes_element, case, dump, infer_binary, post, tensor

_ROW: Final = struct.pack("<16i", *range(16))
_ONES: Final = struct.pack("<16i", *([1] * 16))
_BOTH: Final = {
    "inputs": [
        tensor("INPUT0", "INT32", [1, 16], binary_data_size=64),
        tensor("INPUT1", "INT32", [1, 16], binary_data_size=64),
    ]
}
_BINARY: Final = {"parameters": {"binary_data_output": True}}
_FLOATS: Final = struct.pack("<2f", 1.5, -2)


def _one(model: str, datatype: str, shape: list[Any], tail: bytes, size: Any = None, **more: Any) -> Any:
    length = more.pop("length", None)
    entry = tensor("INPUT0", datatype, shape, binary_data_size=len(tail) if size is None else size)
    return infer_binary(model, {"inputs": [entry], **more}, tail, length=length)


_MIXED: Final = {
    "inputs": [
        tensor("INPUT0", "FP32", [2], binary_data_size=8),
        tensor("INPUT1", "BYTES", [1], ["json"]),
        tensor("INPUT2", "INT64", [1], binary_data_size=8),
        tensor("INPUT3", "BOOL", [1], [True]),
    ]
}

CASES: Final[tuple[Case, ...]] = (
    case("both", infer_binary("simple", _BOTH, _ROW + _ONES)),
    case("both, answered as binary", infer_binary("simple", _BOTH | _BINARY, _ROW + _ONES)),
    case("some as JSON", infer_binary("mixed", _MIXED, _FLOATS + struct.pack("<q", -5))),
    case("some as JSON, answered as binary", infer_binary("mixed", _MIXED | _BINARY, _FLOATS + struct.pack("<q", -5))),
    case("strings", _one("id_bytes", "BYTES", [2], bytes_element(b"ab", b""), **_BINARY)),
    case("strings that are not UTF-8, answered as binary", _one("id_bytes", "BYTES", [1], bytes_element(b"\xff"), **_BINARY)),
    case("strings that are not UTF-8, answered as JSON", _one("id_bytes", "BYTES", [1], bytes_element(b"a\xffb"))),
    case("no element", _one("id_fp32", "FP32", [0], b"", **_BINARY)),
    case("no element and no size", infer_binary("id_fp32", {"inputs": [tensor("INPUT0", "FP32", [0])], **_BINARY}, b"")),
    case("NaN and infinities as JSON", _one("id_fp32", "FP32", [3], struct.pack("<3f", float("nan"), 1e999, -1e999))),
    case("NaN and infinities of FP64 as JSON", _one("id_fp64", "FP64", [3], struct.pack("<3d", float("nan"), 1e999, -1e999))),
    case("floats as JSON", _one("id_fp32", "FP32", [6], struct.pack("<6f", 8.1, 4, 1e20, 1e-7, -0.0, 3.4e38))),
    case("small floats as JSON", _one("id_fp32", "FP32", [4], struct.pack("<4f", 1e-45, 1e-5, 123456789, 1e21))),
    case("doubles as JSON", _one("id_fp64", "FP64", [6], struct.pack("<6d", 0.1, 1e22, 5e-324, 1.7e308, 1e15, 123456.5))),
    case("a bool of 2", _one("id_bool", "BOOL", [3], b"\x00\x02\xff")),
    case("one byte short", _one("id_fp32", "FP32", [2], _FLOATS[:-1])),
    case("one byte long", _one("id_fp32", "FP32", [2], _FLOATS + b"x")),
    case("a size beyond the body", _one("id_fp32", "FP32", [2], _FLOATS, 12)),
    case("a size within the body", _one("id_fp32", "FP32", [2], _FLOATS, 4)),
    case("a size of 0", _one("id_fp32", "FP32", [2], b"", 0)),
    case("a negative size", _one("id_fp32", "FP32", [2], _FLOATS, -1)),
    case("a size that is a string", _one("id_fp32", "FP32", [2], _FLOATS, "8")),
    case("a size that is a float", _one("id_fp32", "FP32", [2], _FLOATS, 8.0)),
    case("a size that is true", _one("id_fp32", "FP32", [2], _FLOATS, True)),
    case("a size of null", infer_binary("id_fp32", {"inputs": [tensor("INPUT0", "FP32", [2], binary_data_size=None)]}, _FLOATS)),
    case("a huge size", _one("id_fp32", "FP32", [2], _FLOATS, 2**63)),
    case("a size beyond 64 bits", _one("id_fp32", "FP32", [2], _FLOATS, 2**64)),
    case("bytes that nobody claims", infer_binary("simple", _BOTH, _ROW + _ONES + b"more")),
    case("the second is missing", infer_binary("simple", _BOTH, _ROW)),
    case("data and a size", infer_binary("id_fp32", {"inputs": [tensor("INPUT0", "FP32", [2], [1, 2], binary_data_size=8)]}, _FLOATS)),
    case("a string cut in its length", _one("id_bytes", "BYTES", [1], b"\x05\x00")),
    case("a string cut in its text", _one("id_bytes", "BYTES", [1], b"\x05\x00\x00\x00ab")),
    case("a string too few", _one("id_bytes", "BYTES", [2], bytes_element(b"ab"))),
    case("a string too many", _one("id_bytes", "BYTES", [1], bytes_element(b"ab", b"c"))),
    case("a string of a huge length", _one("id_bytes", "BYTES", [1], b"\xff\xff\xff\xffab")),
    case("length of the JSON too large", _one("id_fp32", "FP32", [2], _FLOATS, length="1000")),
    case("length of the JSON negative", _one("id_fp32", "FP32", [2], _FLOATS, length="-1")),
    case("length of the JSON one too small", infer_binary("id_fp32", b'{"inputs":[]}', b"", length="12")),
    case("length of the JSON is no number", _one("id_fp32", "FP32", [2], _FLOATS, length="abc")),
    case("length of the JSON ends in letters", _one("id_fp32", "FP32", [2], _FLOATS, length="10abc")),
    case("length of the JSON is empty", _one("id_fp32", "FP32", [2], _FLOATS, length="")),
    case("length of the JSON beyond 64 bits", _one("id_fp32", "FP32", [2], _FLOATS, length="99999999999999999999999")),
    case("header name in lower case", post("/v2/models/id_fp32/infer", dump({"inputs": [
        tensor("INPUT0", "FP32", [2], binary_data_size=8)]}) + _FLOATS,
        inference_header_content_length=str(len(dump({"inputs": [tensor("INPUT0", "FP32", [2], binary_data_size=8)]}))))),
    case("length of the JSON is all", infer_binary("id_fp32", {"inputs": [tensor("INPUT0", "FP32", [1], [1])]}, b"")),
)  # fmt: skip
