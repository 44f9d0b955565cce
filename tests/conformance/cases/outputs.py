"""Which outputs are wanted and how they come, over HTTP."""

import struct
from typing import Any, Final

from tests.conformance.case import Case, case, infer, infer_binary, tensor

_ROW: Final = list(range(16))
_INPUTS: Final = [tensor("INPUT0", "INT32", [1, 16], _ROW), tensor("INPUT1", "INT32", [1, 16], [1] * 16)]
_MIXED: Final = [
    tensor("INPUT0", "FP32", [2], [0.5, -2]),
    tensor("INPUT1", "BYTES", [2], ["a", "bc"]),
    tensor("INPUT2", "INT64", [1], [7]),
    tensor("INPUT3", "BOOL", [1], [True]),
]


def _wanted(name: str, **parameters: Any) -> dict[str, Any]:
    return {"name": name, "parameters": parameters} if parameters else {"name": name}


_OUTPUTS: Final[dict[str, list[dict[str, Any]]]] = {
    "none": [],
    "the first": [_wanted("OUTPUT0")],
    "the second": [_wanted("OUTPUT1")],
    "both": [_wanted("OUTPUT0"), _wanted("OUTPUT1")],
    "both the other way": [_wanted("OUTPUT1"), _wanted("OUTPUT0")],
    "the first as binary": [_wanted("OUTPUT0", binary_data=True)],
    "both as binary": [_wanted("OUTPUT0", binary_data=True), _wanted("OUTPUT1", binary_data=True)],
    "both as binary the other way": [_wanted("OUTPUT1", binary_data=True), _wanted("OUTPUT0", binary_data=True)],
    "one as binary": [_wanted("OUTPUT0"), _wanted("OUTPUT1", binary_data=True)],
    "not as binary": [_wanted("OUTPUT0", binary_data=False)],
    "binary_data a number": [_wanted("OUTPUT0", binary_data=1)],
    "binary_data a string": [_wanted("OUTPUT0", binary_data="true")],
    "binary_data null": [_wanted("OUTPUT0", binary_data=None)],
    "one twice": [_wanted("OUTPUT0"), _wanted("OUTPUT0", binary_data=True)],
    "an unknown one": [_wanted("OUTPUT0"), _wanted("OUTPUT9")],
    "with data": [{"name": "OUTPUT0", "data": [1]}],
}
_DEFAULT: Final = {"parameters": {"binary_data_output": True}}

CASES: Final[tuple[Case, ...]] = (
    *(case(name, infer("simple", {"inputs": _INPUTS, "outputs": outputs})) for name, outputs in _OUTPUTS.items()),
    case("all as binary", infer("simple", {"inputs": _INPUTS, **_DEFAULT})),
    case("all as binary, but one is listed", infer("simple", {"inputs": _INPUTS, "outputs": [_wanted("OUTPUT0")], **_DEFAULT})),
    case("all as binary, but one is listed as JSON", infer("simple", {
        "inputs": _INPUTS, "outputs": [_wanted("OUTPUT0", binary_data=False), _wanted("OUTPUT1", binary_data=True)], **_DEFAULT})),
    case("several datatypes", infer("mixed", {"inputs": _MIXED})),
    case("several datatypes as binary", infer("mixed", {"inputs": _MIXED, **_DEFAULT})),
    case("several datatypes, some as binary", infer("mixed", {
        "inputs": _MIXED, "outputs": [_wanted("OUTPUT3"), _wanted("OUTPUT1", binary_data=True), _wanted("OUTPUT0")]})),
    case("no element as binary", infer("id_fp32", {"inputs": [tensor("INPUT0", "FP32", [0], [])], **_DEFAULT})),
    case("no element as binary beside others", infer("mixed", {
        "inputs": [tensor("INPUT0", "FP32", [0], []), *_MIXED[1:]], **_DEFAULT})),
    case("FP16 as JSON beside a binary one", infer_binary("id_fp16", {
        "inputs": [tensor("INPUT0", "FP16", [1], binary_data_size=2)], "outputs": [_wanted("OUTPUT0")]}, struct.pack("<e", 1))),
    case("empty strings as binary", infer("id_bytes", {"inputs": [tensor("INPUT0", "BYTES", [2], ["", ""])], **_DEFAULT})),
    case("an id with binary", infer("id_fp32", {"id": "7", "inputs": [tensor("INPUT0", "FP32", [1], [1])], **_DEFAULT})),
)  # fmt: skip
