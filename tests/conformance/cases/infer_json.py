"""Inference over HTTP with JSON tensors that fit: forms, nesting, ids, batches."""

from typing import Any, Final

from tests.conformance.case import Case, case, infer, tensor

_ROW: Final = list(range(16))
_ONES: Final = [1] * 16


def _simple(shape: list[int], one: Any, two: Any) -> dict[str, Any]:
    return {"inputs": [tensor("INPUT0", "INT32", shape, one), tensor("INPUT1", "INT32", shape, two)]}


_GOOD: Final = _simple([1, 16], _ROW, _ONES)
_FP32: Final = {"inputs": [tensor("INPUT0", "FP32", [2], [1.5, 2])]}


def _plain(data: Any) -> dict[str, Any]:
    return {"inputs": [tensor("INPUT0", "FP32", [2, 2], data), tensor("INPUT1", "FP32", [2, 2], [1, 1, 1, 1])]}


CASES: Final[tuple[Case, ...]] = (
    case("one row", infer("simple", _GOOD)),
    case("nested", infer("simple", _simple([1, 16], [_ROW], [_ONES]))),
    case("two rows", infer("simple", _simple([2, 16], _ROW * 2, [_ONES, _ROW]))),
    case("the most rows", infer("simple", _simple([8, 16], _ROW * 8, _ONES * 8))),
    case("nested deeply", infer("simple", _simple([1, 16], [[[[_ROW]]]], _ONES))),
    case("nested unevenly", infer("plain", _plain([[1, 2, 3], 4]))),
    case("nested as columns", infer("plain", _plain([[1], [2], [3], [4]]))),
    case("nested with empty arrays", infer("plain", _plain([[1, 2], [], [3, 4]]))),
    case("inputs in another order", infer("simple", {"inputs": list(reversed(_GOOD["inputs"]))})),
    case("with an id", infer("simple", _GOOD | {"id": "my id"})),
    case("with an id to escape", infer("simple", _GOOD | {"id": 'a"b\\c\n\té\u0001'})),
    case("with an empty id", infer("simple", _GOOD | {"id": ""})),
    case("with an id beyond the plane", infer("simple", _GOOD | {"id": "😀/"})),
    case("unknown keys", infer("simple", _GOOD | {"more": {"x": [1]}, "model_name": "other"})),
    case("unknown keys in an input", infer("id_fp32", {"inputs": [_FP32["inputs"][0] | {"more": 1}]})),
    case("version", infer("versioned", {"inputs": [tensor("INPUT0", "INT32", [1, 4], [1, 2, 3, 4])]}, version="1")),
    case("latest version", infer("versioned", {"inputs": [tensor("INPUT0", "INT32", [1, 4], [1, 2, 3, 4])]})),
    case("variable dimension", infer("variable", {"inputs": [tensor("INPUT0", "FP32", [2, 3], [1, 2, 3, 4, 5, 6])]})),
    case("variable dimension of 1", infer("variable", {"inputs": [tensor("INPUT0", "FP32", [2, 1], [1, 2])]})),
    case("two variable dimensions", infer("variables", {"inputs": [tensor("INPUT0", "FP32", [3, 1], [1, 2, 3])]})),
    case("no element", infer("id_fp32", {"inputs": [tensor("INPUT0", "FP32", [0], [])]})),
    case("no element and no data", infer("id_fp32", {"inputs": [tensor("INPUT0", "FP32", [0])]})),
    case("no element in two dimensions", infer("variable", {"inputs": [tensor("INPUT0", "FP32", [2, 0], [])]})),
    case("several datatypes", infer("mixed", {"inputs": [
        tensor("INPUT0", "FP32", [2], [0.1, -2]),
        tensor("INPUT1", "BYTES", [2], ["a", "bé"]),
        tensor("INPUT2", "INT64", [1], [-9223372036854775808]),
        tensor("INPUT3", "BOOL", [3], [True, False, True]),
    ]})),
    case("spaces in the JSON", infer("id_fp32", b' {\n "inputs" : [ {"name":"INPUT0" ,"datatype":"FP32",\t"shape":[ 2 ],'
                                      b'"data": [1 , 2.5] } ] } \n')),
    case("a comment", infer("id_fp32", b'{"inputs":[{"name":"INPUT0","datatype":"FP32","shape":[1],"data":[1]}]/*x*/}')),
    case("a comma too many", infer("id_fp32", b'{"inputs":[{"name":"INPUT0","datatype":"FP32","shape":[1],"data":[1],}]}')),
    case("a key twice", infer("id_fp32", b'{"inputs":[{"name":"INPUT0","datatype":"FP32","shape":[1],"shape":[2],'
                                         b'"data":[1]}]}')),
    case("escapes in names", infer("id_fp32", b'{"inputs":[{"na\\u006de":"INPU\\u00540","datatype":"FP32","shape":[1],'
                                              b'"data":[1]}]}')),
    case("a content type", infer("id_fp32", _FP32, Content_Type="application/json")),
    case("another content type", infer("id_fp32", _FP32, Content_Type="text/html")),
    case("data of null", infer("id_fp32", {"inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [1], "data": None}]})),
    case("parameters of null", infer("id_fp32", _FP32 | {"parameters": None})),
    case("outputs of null", infer("id_fp32", _FP32 | {"outputs": None})),
    case("data behind the JSON", infer("id_fp32", b'{"inputs":[{"name":"INPUT0","datatype":"FP32","shape":[1],"data":[1]}]} x')),
)  # fmt: skip
