"""gRPC requests that do not fit, calls that are none, and messages that are none."""

import struct
from typing import Any, Final

from tests.conformance.case import Case, Grpc, bytes_element, case, grpc_infer

_ROW: Final = struct.pack("<16i", *range(16))


def _in(name: str, shape: list[int], datatype: str = "INT32") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}


def _simple(*inputs: dict[str, Any], raw: tuple[bytes, ...] = (_ROW, _ROW), **more: Any) -> Grpc:
    return grpc_infer("simple", inputs, raw, **more)


def _fp32(shape: list[int], raw: bytes, **more: Any) -> Grpc:
    return grpc_infer("id_fp32", [_in("INPUT0", shape, "FP32")], [raw], **more)


_A: Final = _in("INPUT0", [1, 16])
_B: Final = _in("INPUT1", [1, 16])

CASES: Final[tuple[Case, ...]] = (
    case("unknown model", Grpc("ModelInfer", {"model_name": "nobody"})),
    case("no model", Grpc("ModelInfer")),
    case("unknown version", _simple(_A, _B, model_version="7")),
    case("a version that is left out", grpc_infer("versioned", [_A], [_ROW], model_version="2")),
    case("a version that is no number", _simple(_A, _B, model_version="x")),
    case("a version that ends in letters", _simple(_A, _B, model_version="1a")),
    case("a version of 0", _simple(_A, _B, model_version="0")),
    case("a negative version", _simple(_A, _B, model_version="-1")),
    case("a version beyond 64 bits", _simple(_A, _B, model_version="99999999999999999999")),
    case("a version with spaces", _simple(_A, _B, model_version=" 1")),
    case("no input", _simple(raw=())),
    case("an input is missing", _simple(_A, raw=(_ROW,))),
    case("an input too many", _simple(_A, _B, _in("INPUT2", [1, 16]), raw=(_ROW, _ROW, _ROW))),
    case("another name", _simple(_A, _in("X", [1, 16]))),
    case("an empty name", _simple(_A, _in("", [1, 16]))),
    case("an input twice", _simple(_A, _A)),
    case("an unknown output", _simple(_A, _B, outputs=[{"name": "NOPE"}])),
    case("an output without a name", _simple(_A, _B, outputs=[{}])),
    case("another datatype", _simple(_A, _in("INPUT1", [1, 16], "FP32"))),
    case("an unknown datatype", _simple(_A, _in("INPUT1", [1, 16], "X"))),
    case("no datatype", _simple(_A, _in("INPUT1", [1, 16], ""))),
    case("a datatype of the config", _simple(_A, _in("INPUT1", [1, 16], "TYPE_INT32"))),
    case("no batch dimension", _simple(_in("INPUT0", [16]), _in("INPUT1", [16]))),
    case("too large a batch", _simple(_in("INPUT0", [9, 16]), _in("INPUT1", [9, 16]), raw=(_ROW * 9, _ROW * 9))),
    case("a batch of 0", _simple(_in("INPUT0", [0, 16]), _in("INPUT1", [0, 16]), raw=(b"", b""))),
    case("another dimension", _simple(_in("INPUT0", [1, 8]), _in("INPUT1", [1, 8]), raw=(_ROW[:32], _ROW[:32]))),
    case("a negative dimension", _simple(_in("INPUT0", [1, -1]), _in("INPUT1", [1, -1]))),
    case("a negative batch", _simple(_in("INPUT0", [-1, 16]), _in("INPUT1", [-1, 16]))),
    case("no shape with batching", _simple(_in("INPUT0", []), _in("INPUT1", []))),
    case("no shape", _fp32([], bytes(4))),
    case("two dimensions for one", _fp32([1, 1], bytes(4))),
    case("a dimension below -1", _fp32([-2], bytes(4))),
    case("a huge shape", _fp32([2**62], bytes(4))),
    case("a shape whose product overflows", grpc_infer("variables", [_in("INPUT0", [2**33, 2**33], "FP32")], [bytes(4)])),
    case("batches of two sizes", _simple(_in("INPUT0", [2, 16]), _B, raw=(_ROW * 2, _ROW))),
    case("too few bytes", _fp32([2], bytes(7))),
    case("too many bytes", _fp32([2], bytes(9))),
    case("no byte", _fp32([2], b"")),
    case("nothing raw", grpc_infer("id_fp32", [_in("INPUT0", [2], "FP32")])),
    case("raw for the first only", _simple(_A, _B, raw=(_ROW,))),
    case("with an id", _fp32([2], bytes(7), id="r-9")),
    case("strings too few", grpc_infer("id_bytes", [_in("INPUT0", [2], "BYTES")], [bytes_element(b"a")])),
    case("strings too many", grpc_infer("id_bytes", [_in("INPUT0", [1], "BYTES")], [bytes_element(b"a", b"b")])),
    case("a string cut in its length", grpc_infer("id_bytes", [_in("INPUT0", [1], "BYTES")], [b"\1\0"])),
    case("a string cut in its text", grpc_infer("id_bytes", [_in("INPUT0", [1], "BYTES")], [b"\5\0\0\0ab"])),
    case("an execution that fails", grpc_infer("gather", [_in("INDEX", [1, 1], "INT64")], [struct.pack("<q", 99)]),
         masks=["message of the model"]),
    case("not a message", Grpc("ModelInfer", raw=b"\xff\xff\xff")),
    case("half a message", Grpc("ModelInfer", raw=b"\x0a\x10simple")),
    case("an empty message", Grpc("ModelInfer", raw=b"")),
    case("an unknown field", Grpc("ServerLive", raw=b"\xa2\x06\x03abc")),
    case("not a message of ServerLive", Grpc("ServerLive", raw=b"\xff\xff")),
    case("an unknown call", Grpc("NoSuchCall", raw=b"")),
    case("a name that is not UTF-8", Grpc("ModelInfer", raw=b"\x0a\x01\xff")),
    case("unknown metadata", Grpc("ServerLive", metadata=(("x-unknown", "1"),))),
)  # fmt: skip
