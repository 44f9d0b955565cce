"""Every datatype over HTTP: as JSON and as binary, at the edges, and values that do not fit."""

import struct
from typing import Any, Final

from tests.conformance.case import Case, case, infer, infer_binary, tensor

#: Elements that fit, as JSON and as `struct` has them.
_VALUES: Final[dict[str, tuple[str, list[Any]]]] = {
    "BOOL": ("?", [True, False]),
    "UINT8": ("B", [0, 255]),
    "UINT16": ("H", [0, 65535]),
    "UINT32": ("I", [0, 4294967295]),
    "UINT64": ("Q", [0, 18446744073709551615]),
    "INT8": ("b", [-128, 127]),
    "INT16": ("h", [-32768, 32767]),
    "INT32": ("i", [-2147483648, 2147483647]),
    "INT64": ("q", [-9223372036854775808, 9223372036854775807]),
    "FP16": ("e", [1.5, -2.0]),
    "FP32": ("f", [8.1, -2.0]),
    "FP64": ("d", [8.1, -1e300]),
}
_INTEGERS: Final = ("UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64")
_ODD: Final = {
    "a float": 1.5,
    "a whole float": 1.0,
    "a string": "1",
    "true": True,
    "null": None,
    "an object": {"x": 1},
    "one too large": 300,
    "minus one": -1,
    "beyond 64 bits": 2**64,
    "beyond signed 64 bits": 2**63,
    "beyond 32 bits": 2**32 + 1,
}


def _json(datatype: str, data: list[Any], shape: list[int] | None = None) -> Any:
    document = {"inputs": [tensor("INPUT0", datatype, shape or [len(data)], data)]}
    return infer(f"id_{datatype.lower()}", document)


def _binary(datatype: str, tail: bytes, *, binary: bool) -> Any:
    document: dict[str, Any] = {"inputs": [tensor("INPUT0", datatype, [2], binary_data_size=len(tail))]}
    if binary:
        document["parameters"] = {"binary_data_output": True}
    return infer_binary(f"id_{datatype.lower()}", document, tail)


def _cases() -> list[Case]:
    cases = []
    for datatype, (code, values) in _VALUES.items():
        tail = struct.pack(f"<2{code}", *values)
        cases += [
            case(f"{datatype} as JSON", _json(datatype, values)),
            case(f"{datatype} as binary", _binary(datatype, tail, binary=True)),
            case(f"{datatype} as binary, answered as JSON", _binary(datatype, tail, binary=False)),
        ]
    cases += [
        case("BF16 as JSON", _json("BF16", [1.5])),
        case("BF16 as binary", _binary("BF16", b"\x80\x3f\x00\xc0", binary=True)),
        case("BF16 as binary, answered as JSON", _binary("BF16", b"\x80\x3f\x00\xc0", binary=False)),
        case("BYTES as JSON", _json("BYTES", ["", 'a"b\\é\n\u0000😀'])),
    ]
    for datatype in ("UINT8", "UINT64", "INT8", "INT32", "INT64", "FP32", "FP64", "BOOL", "BYTES"):
        cases += [case(f"{datatype} given {name}", _json(datatype, [value])) for name, value in _ODD.items()]
    for datatype in ("FP32", "FP64"):
        for text in (
            "NaN",
            "Infinity",
            "-Infinity",
            "Inf",
            "nan",
            "1e999",
            "-0.0",
            "1e-400",
            "3.5e38",
            "0x10",
            "01",
            "+1",
        ):
            body = f'{{"inputs":[{{"name":"INPUT0","datatype":"{datatype}","shape":[1],"data":[{text}]}}]}}'
            cases.append(case(f"{datatype} given the literal {text}", infer(f"id_{datatype.lower()}", body.encode())))
    for datatype in _INTEGERS:
        cases.append(case(f"{datatype} given too few", _json(datatype, [1], [2])))
        cases.append(case(f"{datatype} given too many", _json(datatype, [1, 2, 3], [2])))
    return cases


CASES: Final[tuple[Case, ...]] = (
    *_cases(),
    case("BYTES given too few", _json("BYTES", ["a"], [2])),
    case("BYTES given too many", _json("BYTES", ["a", "b", "c"], [2])),
    case("FP32 given too few", _json("FP32", [1], [2])),
    case("FP32 given too many", _json("FP32", [1, 2, 3], [2])),
    case("BOOL given too few", _json("BOOL", [True], [2])),
    case("BYTES with a lone surrogate", infer("id_bytes", b'{"inputs":[{"name":"INPUT0","datatype":"BYTES","shape":[1],'
                                                         b'"data":["\\ud800"]}]}')),
    case("BYTES with a pair of surrogates", infer("id_bytes", b'{"inputs":[{"name":"INPUT0","datatype":"BYTES","shape":'
                                                             b'[1],"data":["\\ud83d\\ude00"]}]}')),
    case("BYTES that are not UTF-8", infer("id_bytes", b'{"inputs":[{"name":"INPUT0","datatype":"BYTES","shape":[1],'
                                                      b'"data":["\xff"]}]}')),
    case("a datatype that is none", infer("id_fp32", {"inputs": [tensor("INPUT0", "FLOAT", [1], [1])]})),
    case("a datatype of the config", infer("id_fp32", {"inputs": [tensor("INPUT0", "TYPE_FP32", [1], [1])]})),
    case("an empty datatype", infer("id_fp32", {"inputs": [tensor("INPUT0", "", [1], [1])]})),
    case("a datatype in lower case", infer("id_fp32", {"inputs": [tensor("INPUT0", "fp32", [1], [1])]})),
    case("another datatype", infer("id_fp32", {"inputs": [tensor("INPUT0", "INT32", [1], [1])]})),
    case("another datatype of the same size", infer("id_int64", {"inputs": [tensor("INPUT0", "FP64", [1], [1])]})),
    case("a datatype that is a number", infer("id_fp32", {"inputs": [tensor("INPUT0", 3, [1], [1])]})),  # type: ignore[arg-type]
    case("a datatype that is none, as binary", infer_binary("id_fp32", {"inputs": [tensor("INPUT0", "X", [1], binary_data_size=4)]}, bytes(4))),
)  # fmt: skip
