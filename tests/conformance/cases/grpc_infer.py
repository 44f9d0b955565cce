"""ModelInfer with requests that fit."""

import struct
from typing import Any, Final

from tests.conformance.case import Case, bytes_element, case, grpc_infer

_RAW: Final[dict[str, bytes]] = {
    "BOOL": b"\0\1",
    "UINT8": b"\x00\xff",
    "UINT16": struct.pack("<2H", 0, 65535),
    "UINT32": struct.pack("<2I", 0, 2**32 - 1),
    "UINT64": struct.pack("<2Q", 0, 2**64 - 1),
    "INT8": b"\x80\x7f",
    "INT16": struct.pack("<2h", -32768, 32767),
    "INT32": struct.pack("<2i", -(2**31), 2**31 - 1),
    "INT64": struct.pack("<2q", -(2**63), 2**63 - 1),
    "FP16": struct.pack("<2e", 1.5, -2),
    "BF16": b"\x80\x3f\x00\xc0",
    "FP32": struct.pack("<2f", 8.1, float("inf")),
    "FP64": struct.pack("<2d", 8.1, -1e300),
    "BYTES": bytes_element(b"", "é".encode() + b"\0a"),
}
_ROW: Final = struct.pack("<16i", *range(16))


def _in(name: str, shape: list[int], datatype: str = "INT32") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}


_BOTH: Final = [_in("INPUT0", [1, 16]), _in("INPUT1", [1, 16])]
_FP32: Final = [_in("INPUT0", [2], "FP32")]
_TWO: Final = _RAW["FP32"]


def _parameter(name: str, **value: Any) -> Case:
    (kind,) = value
    title = f"parameter {name} as {kind} of {value[kind]!r}"
    return case(title, grpc_infer("id_fp32", _FP32, [_TWO], parameters={name: value}))


CASES: Final[tuple[Case, ...]] = (
    *(
        case(f"{datatype} raw", grpc_infer(f"id_{datatype.lower()}", [_in("INPUT0", [2], datatype)], [raw]))
        for datatype, raw in _RAW.items()
    ),
    case("two inputs", grpc_infer("simple", _BOTH, [_ROW, _ROW])),
    case("two inputs the other way", grpc_infer("simple", _BOTH[::-1], [_ROW, _ROW])),
    case("two rows", grpc_infer("simple", [_in("INPUT0", [2, 16]), _in("INPUT1", [2, 16])], [_ROW * 2, _ROW * 2])),
    case("an id", grpc_infer("id_fp32", _FP32, [_TWO], id="my id é")),
    case("a version", grpc_infer("versioned", [_in("INPUT0", [1, 4])], [_ROW[:16]], model_version="1")),
    case("the latest version", grpc_infer("versioned", [_in("INPUT0", [1, 4])], [_ROW[:16]])),
    case("one output", grpc_infer("simple", _BOTH, [_ROW, _ROW], outputs=[{"name": "OUTPUT1"}])),
    case("outputs the other way", grpc_infer("simple", _BOTH, [_ROW, _ROW], outputs=[{"name": "OUTPUT1"}, {"name": "OUTPUT0"}])),
    case("an output twice", grpc_infer("simple", _BOTH, [_ROW, _ROW], outputs=[{"name": "OUTPUT1"}, {"name": "OUTPUT1"}])),
    case("no element", grpc_infer("id_fp32", [_in("INPUT0", [0], "FP32")], [b""])),
    case("no element and nothing raw", grpc_infer("id_fp32", [_in("INPUT0", [0], "FP32")])),
    case("no element and empty contents", grpc_infer("id_fp32", [{**_in("INPUT0", [0], "FP32"), "contents": {}}])),
    case("more raw than inputs", grpc_infer("id_fp32", _FP32, [_TWO, b"more"])),
    case("variable", grpc_infer("variable", [_in("INPUT0", [2, 1], "FP32")], [_TWO])),
    case("several datatypes", grpc_infer("mixed", [
        _in("INPUT0", [2], "FP32"), _in("INPUT1", [2], "BYTES"), _in("INPUT2", [2], "INT64"), _in("INPUT3", [2], "BOOL")],
        [_RAW["FP32"], _RAW["BYTES"], _RAW["INT64"], _RAW["BOOL"]])),
    case("best classes", grpc_infer("labelled_flat", [_in("INPUT0", [2], "FP32")], [struct.pack("<2f", 1, 2)],
                                    outputs=[{"name": "OUTPUT0", "parameters": {"classification": {"int64_param": 2}}}])),
    case("classes of the wrong kind", grpc_infer("id_fp32", _FP32, [_TWO], outputs=[
        {"name": "OUTPUT0", "parameters": {"classification": {"string_param": "2"}}}])),
    case("0 classes", grpc_infer("id_fp32", _FP32, [_TWO], outputs=[
        {"name": "OUTPUT0", "parameters": {"classification": {"int64_param": 0}}}])),
    case("negative classes", grpc_infer("id_fp32", _FP32, [_TWO], outputs=[
        {"name": "OUTPUT0", "parameters": {"classification": {"int64_param": -1}}}])),
    case("parameters of an output", grpc_infer("id_fp32", _FP32, [_TWO], outputs=[
        {"name": "OUTPUT0", "parameters": {"x": {"int64_param": 2}}}])),
    case("binary_data of an output", grpc_infer("id_fp32", _FP32, [_TWO], outputs=[
        {"name": "OUTPUT0", "parameters": {"binary_data": {"bool_param": True}}}])),
    case("parameters of an input", grpc_infer("id_fp32", [_FP32[0] | {"parameters": {"x": {"int64_param": 2}}}], [_TWO])),
    _parameter("x", string_param="y"),
    _parameter("x", int64_param=-3),
    _parameter("x", bool_param=True),
    _parameter("x", double_param=1.5),
    _parameter("x", uint64_param=7),
    _parameter("", string_param="y"),
    _parameter("triton_x", int64_param=3),
    _parameter("triton_enable_empty_final_response", bool_param=True),
    _parameter("triton_enable_empty_final_response", int64_param=1),
    _parameter("sequence_id", int64_param=5),
    _parameter("sequence_id", string_param="five"),
    _parameter("sequence_id", bool_param=True),
    _parameter("sequence_id", uint64_param=5),
    _parameter("sequence_start", bool_param=True),
    _parameter("sequence_start", int64_param=1),
    _parameter("sequence_end", string_param="x"),
    _parameter("priority", int64_param=1),
    _parameter("priority", uint64_param=1),
    _parameter("priority", int64_param=-1),
    _parameter("priority", string_param="1"),
    _parameter("timeout", int64_param=1000),
    _parameter("timeout", int64_param=-1),
    _parameter("timeout", uint64_param=1000),
    _parameter("timeout", string_param="1000"),
    _parameter("headers", string_param="x"),
    _parameter("binary_data_output", bool_param=True),
    case("parameter without a value", grpc_infer("id_fp32", _FP32, [_TWO], parameters={"x": {}})),
)  # fmt: skip
