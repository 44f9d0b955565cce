"""ModelInfer with typed contents: which field goes with which datatype, and what does not."""

import struct
from typing import Any, Final

from tests.conformance.case import Case, case, grpc_infer

_FIELDS: Final[dict[str, list[Any]]] = {
    "bool_contents": [True, False],
    "int_contents": [-1, 2],
    "int64_contents": [-(2**40), 2],
    "uint_contents": [1, 2**31],
    "uint64_contents": [1, 2**63],
    "fp32_contents": [1.5, -2],
    "fp64_contents": [1.5, -1e300],
    "bytes_contents": [b"a", "é".encode()],
}
_MATCHING: Final = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def _ask(datatype: str, contents: dict[str, Any], shape: list[int] | None = None, raw: tuple[bytes, ...] = ()) -> Any:
    given = {"name": "INPUT0", "datatype": datatype, "shape": shape or [2], "contents": contents}
    return grpc_infer(f"id_{datatype.lower()}", [given], raw)


CASES: Final[tuple[Case, ...]] = (
    *(case(f"{datatype} with {field}", _ask(datatype, {field: _FIELDS[field]})) for datatype, field in _MATCHING.items()),
    *(case(f"FP16 with {field}", _ask("FP16", {field: value})) for field, value in _FIELDS.items()),
    *(case(f"FP32 with {field}", _ask("FP32", {field: value})) for field, value in _FIELDS.items() if field != "fp32_contents"),
    *(case(f"INT8 with {field}", _ask("INT8", {field: value})) for field, value in _FIELDS.items() if field != "int_contents"),
    *(case(f"BYTES with {field}", _ask("BYTES", {field: value})) for field, value in _FIELDS.items() if field != "bytes_contents"),
    case("BF16 with fp32_contents", _ask("BF16", {"fp32_contents": [1, 2]})),
    case("too few", _ask("FP32", {"fp32_contents": [1]})),
    case("too many", _ask("FP32", {"fp32_contents": [1, 2, 3]})),
    case("strings too few", _ask("BYTES", {"bytes_contents": [b"a"]})),
    case("strings too many", _ask("BYTES", {"bytes_contents": [b"a", b"b", b"c"]})),
    case("empty", _ask("FP32", {})),
    case("empty and an empty field", _ask("FP32", {"fp32_contents": []})),
    case("two fields", _ask("FP32", {"fp32_contents": [1, 2], "fp64_contents": [1, 2]})),
    case("two wrong fields", _ask("FP32", {"int_contents": [1, 2], "fp64_contents": [1, 2]})),
    case("contents and raw", _ask("FP32", {"fp32_contents": [1, 2]}, raw=(struct.pack("<2f", 1, 2),))),
    case("empty contents and raw", _ask("FP32", {}, raw=(struct.pack("<2f", 1, 2),))),
    case("an integer too large for INT8", _ask("INT8", {"int_contents": [300, -300]})),
    case("an integer too large for UINT8", _ask("UINT8", {"uint_contents": [300, 256]})),
    case("an integer too large for INT16", _ask("INT16", {"int_contents": [70000, 1]})),
    case("an unknown datatype", grpc_infer("id_fp32", [
        {"name": "INPUT0", "datatype": "X", "shape": [2], "contents": {"fp32_contents": [1, 2]}}])),
    case("contents of one, raw of another", grpc_infer("plain", [
        {"name": "INPUT0", "datatype": "FP32", "shape": [2, 2], "contents": {"fp32_contents": [1, 2, 3, 4]}},
        {"name": "INPUT1", "datatype": "FP32", "shape": [2, 2]}], [bytes(16)])),
    case("contents of one, nothing of another", grpc_infer("plain", [
        {"name": "INPUT0", "datatype": "FP32", "shape": [2, 2], "contents": {"fp32_contents": [1, 2, 3, 4]}},
        {"name": "INPUT1", "datatype": "FP32", "shape": [2, 2]}])),
)  # fmt: skip
