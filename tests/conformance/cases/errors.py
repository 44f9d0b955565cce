"""Requests over HTTP that do not fit: JSON of the wrong form, inputs, shapes and batches that the model does not take."""

from typing import Any, Final

from tests.conformance.case import Case, Http, case, get, infer, post, tensor

_ROW: Final = [1] * 16


def _in(name: str, shape: list[Any], datatype: str = "INT32", data: Any = None) -> dict[str, Any]:
    count = 1
    for dim in shape:
        count *= dim
    return tensor(name, datatype, shape, [1] * count if data is None else data)


def _simple(*inputs: dict[str, Any], **more: Any) -> Http:
    return infer("simple", {"inputs": list(inputs), **more})


_A: Final = _in("INPUT0", [1, 16])
_B: Final = _in("INPUT1", [1, 16])
_FP32: Final = tensor("INPUT0", "FP32", [1], [1])

_BODIES: Final = {
    "empty": b"",
    "spaces": b"   ",
    "no JSON": b"hello",
    "half": b'{"inputs": [',
    "an array": b"[]",
    "a number": b"3",
    "a string": b'"x"',
    "null": b"null",
    "an empty object": b"{}",
    "single quotes": b"{'inputs': []}",
    "not UTF-8": b'{"id":"\xff","inputs":[]}',
    "a zero byte": b'{"inputs":[]}\0',
    "deep": b"[" * 1000 + b"]" * 1000,
    "no colon": b'{"inputs" []}',
    "a bad escape": b'{"id":"\\x"}',
    "a control character": b'{"id":"a\nb","inputs":[]}',
    "no name of a member": b'{"inputs":[],}',
    "no value": b'{"inputs":}',
    "a bad literal": b'{"inputs":nul}',
    "a bad number": b'{"inputs":1.}',
    "an exponent without digits": b'{"inputs":1e}',
    "a string without end": b'{"inputs":"abc',
    "a bad surrogate": b'{"id":"\\ud83dx"}',
    "a byte order mark": b'\xef\xbb\xbf{"inputs":[]}',
}

_DOCUMENTS: Final[dict[str, Any]] = {
    "inputs empty": {"inputs": []},
    "inputs an object": {"inputs": {}},
    "inputs a string": {"inputs": "x"},
    "inputs null": {"inputs": None},
    "inputs of numbers": {"inputs": [1]},
    "inputs of null": {"inputs": [None]},
    "inputs of arrays": {"inputs": [[]]},
    "inputs of an empty object": {"inputs": [{}]},
    "id a number": {"id": 3, "inputs": [_FP32]},
    "id null": {"id": None, "inputs": [_FP32]},
    "parameters an array": {"parameters": [], "inputs": [_FP32]},
    "parameters a string": {"parameters": "x", "inputs": [_FP32]},
    "outputs an object": {"inputs": [_FP32], "outputs": {}},
    "outputs of strings": {"inputs": [_FP32], "outputs": ["OUTPUT0"]},
    "outputs of an empty object": {"inputs": [_FP32], "outputs": [{}]},
    "an output whose name is a number": {"inputs": [_FP32], "outputs": [{"name": 1}]},
    "no name": {"inputs": [{"datatype": "FP32", "shape": [1], "data": [1]}]},
    "no datatype": {"inputs": [{"name": "INPUT0", "shape": [1], "data": [1]}]},
    "no shape": {"inputs": [{"name": "INPUT0", "datatype": "FP32", "data": [1]}]},
    "no data": {"inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [1]}]},
    "a name that is a number": {"inputs": [{"name": 1, "datatype": "FP32", "shape": [1], "data": [1]}]},
    "an empty name": {"inputs": [tensor("", "FP32", [1], [1])]},
    "a shape that is a number": {"inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": 1, "data": [1]}]},
    "a shape of strings": {"inputs": [tensor("INPUT0", "FP32", ["1"], [1])]},
    "a shape of floats": {"inputs": [tensor("INPUT0", "FP32", [1.0], [1])]},
    "a negative shape": {"inputs": [tensor("INPUT0", "FP32", [-1], [1])]},
    "a shape of true": {"inputs": [tensor("INPUT0", "FP32", [True], [1])]},
    "a shape of null": {"inputs": [tensor("INPUT0", "FP32", [None], [1])]},
    "an empty shape": {"inputs": [tensor("INPUT0", "FP32", [], [1])]},
    "a huge shape": {"inputs": [tensor("INPUT0", "FP32", [2**62], [1])]},
    "a shape whose product overflows": {"inputs": [tensor("INPUT0", "FP32", [2**33, 2**33], [1])]},
    "a shape beyond 64 bits": {"inputs": [tensor("INPUT0", "FP32", [2**64], [1])]},
    "two dimensions for one": {"inputs": [tensor("INPUT0", "FP32", [1, 1], [1])]},
    "data a number": {"inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [1], "data": 1}]},
    "data a string": {"inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [1], "data": "x"}]},
    "data an object": {"inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [1], "data": {}}]},
    "parameters of an input an array": {"inputs": [_FP32 | {"parameters": []}]},
    "parameters of an input empty": {"inputs": [_FP32 | {"parameters": {}}]},
    "parameters of an input unknown": {"inputs": [_FP32 | {"parameters": {"x": 1}}]},
    "a region that is a number": {"inputs": [tensor("INPUT0", "FP32", [1], shared_memory_region=1)]},
    "a region and no size": {"inputs": [tensor("INPUT0", "FP32", [1], shared_memory_region="r")]},
    "data and a region": {"inputs": [tensor("INPUT0", "FP32", [1], [1], shared_memory_region="r")]},
    "a region and a binary size": {"inputs": [tensor("INPUT0", "FP32", [1], shared_memory_region="r", binary_data_size=4)]},
    "all three sources": {"inputs": [tensor("INPUT0", "FP32", [1], [1], shared_memory_region="r", binary_data_size=4)]},
    "an unknown input": {"inputs": [tensor("NOPE", "FP32", [1], [1])]},
    "an input too many": {"inputs": [_FP32, tensor("MORE", "FP32", [1], [1])]},
    "an input twice": {"inputs": [_FP32, _FP32]},
    "an unknown output": {"inputs": [_FP32], "outputs": [{"name": "NOPE"}]},
    "an output twice": {"inputs": [_FP32], "outputs": [{"name": "OUTPUT0"}, {"name": "OUTPUT0"}]},
    "an input's name as output": {"inputs": [_FP32], "outputs": [{"name": "INPUT0"}]},
}  # fmt: skip

CASES: Final[tuple[Case, ...]] = (
    *(case(f"body: {name}", infer("id_fp32", body)) for name, body in _BODIES.items()),
    *(case(f"body: {name}", infer("id_fp32", document)) for name, document in _DOCUMENTS.items()),
    case("the second input is missing", _simple(_A)),
    case("the first input is missing", _simple(_B)),
    case("both inputs are missing", _simple()),
    case("both inputs have other names", _simple(_in("X", [1, 16]), _in("Y", [1, 16]))),
    case("one input has another name", _simple(_A, _in("Y", [1, 16]))),
    case("three inputs for two", _simple(_A, _B, _in("Z", [1, 16]))),
    case("the first input twice", _simple(_A, _A)),
    case("with an id", _simple(_A, id="r-1")),
    case("no batch dimension", _simple(_in("INPUT0", [16]), _in("INPUT1", [16]))),
    case("too large a batch", _simple(_in("INPUT0", [9, 16]), _in("INPUT1", [9, 16]))),
    case("a batch of 0", _simple(_in("INPUT0", [0, 16]), _in("INPUT1", [0, 16]))),
    case("another dimension", _simple(_in("INPUT0", [1, 8]), _in("INPUT1", [1, 8]))),
    case("a dimension too many", _simple(_in("INPUT0", [1, 16, 1]), _in("INPUT1", [1, 16, 1]))),
    case("another datatype of one", _simple(_A, _in("INPUT1", [1, 16], "FP32"))),
    case("batches of two sizes", _simple(_in("INPUT0", [2, 16]), _B)),
    case("batches of two sizes, the other way", _simple(_A, _in("INPUT1", [3, 16]))),
    case("batch of one float", infer("batched", {"inputs": [_in("INPUT0", [1, 5], "FP32")]})),
    case("rank of 0 with batching", infer("batched", {"inputs": [tensor("INPUT0", "FP32", [], [1])]})),
    case("fixed dimension of a variable model", infer("variable", {"inputs": [_in("INPUT0", [3, 3], "FP32")]})),
    case("rank of a variable model", infer("variable", {"inputs": [_in("INPUT0", [6], "FP32")]})),
    case("fixed shape without batching", infer("plain", {"inputs": [_in("INPUT0", [4], "FP32"), _in("INPUT1", [2, 2], "FP32")]})),
    case("unknown model", infer("nobody", {"inputs": [_A]})),
    case("unknown model with no JSON", infer("nobody", b"hello")),
    case("unknown version", infer("simple", {"inputs": [_A, _B]}, version="7")),
    case("a version that is left out", infer("versioned", {"inputs": [_A, _B]}, version="2")),
    case("a version that is no number", infer("simple", {"inputs": [_A, _B]}, version="x")),
    case("a negative version", infer("simple", {"inputs": [_A, _B]}, version="-1")),
    case("a version of 0", infer("simple", {"inputs": [_A, _B]}, version="0")),
    case("a version that ends in letters", infer("simple", {"inputs": [_A, _B]}, version="1a")),
    case("infer with GET", get("/v2/models/simple/infer")),
    case("infer with PUT", Http("PUT", "/v2/models/simple/infer", (), b"{}")),
    case("infer of an unknown model with GET", get("/v2/models/nobody/infer")),
    case("infer with a slash behind", post("/v2/models/simple/infer/", b"{}")),
    case("infer with a query", post("/v2/models/id_fp32/infer?a=b", {"inputs": [_FP32]})),
    case("an execution that fails", infer("gather", {"inputs": [_in("INDEX", [1, 1], "INT64", [99])]}), masks=["message of the model"]),
    case("an execution that works", infer("gather", {"inputs": [_in("INDEX", [1, 1], "INT64", [9])]})),
)  # fmt: skip
