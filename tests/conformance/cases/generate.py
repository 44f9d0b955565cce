"""The generate extension over HTTP, with models that answer once."""

from typing import Any, Final

from tests.conformance.case import Case, case, get, post

_ROW: Final = list(range(16))
_BODIES: Final[dict[str, tuple[str, Any]]] = {
    "a number": ("id_fp32", {"INPUT0": 1.5}),
    "an array": ("id_fp32", {"INPUT0": [1, 2.5]}),
    "an array of one": ("id_fp32", {"INPUT0": [1]}),
    "an empty array": ("id_fp32", {"INPUT0": []}),
    "a nested array": ("id_fp32", {"INPUT0": [[1, 2]]}),
    "a string": ("id_bytes", {"INPUT0": "hello"}),
    "strings": ("id_bytes", {"INPUT0": ["a", "b"]}),
    "a string with quotes": ("id_bytes", {"INPUT0": 'a"\\\né'}),
    "a bool": ("id_bool", {"INPUT0": True}),
    "an integer": ("id_int32", {"INPUT0": -3}),
    "a large integer": ("id_uint64", {"INPUT0": 2**64 - 1}),
    "a float for an integer": ("id_int32", {"INPUT0": 1.5}),
    "a string for a number": ("id_fp32", {"INPUT0": "x"}),
    "a number for a string": ("id_bytes", {"INPUT0": 1}),
    "null": ("id_fp32", {"INPUT0": None}),
    "an object": ("id_fp32", {"INPUT0": {"x": 1}}),
    "FP16": ("id_fp16", {"INPUT0": 1}),
    "BF16": ("id_bf16", {"INPUT0": 1}),
    "two inputs": ("simple", {"INPUT0": _ROW, "INPUT1": _ROW}),
    "two rows": ("simple", {"INPUT0": _ROW * 2, "INPUT1": _ROW * 2}),
    "a shape that does not fit": ("simple", {"INPUT0": _ROW[:5], "INPUT1": _ROW}),
    "one input of two": ("simple", {"INPUT0": _ROW}),
    "no input": ("id_fp32", {}),
    "a fixed shape": ("plain", {"INPUT0": [1, 2, 3, 4], "INPUT1": [1, 1, 1, 1]}),
    "a variable shape": ("variable", {"INPUT0": [1, 2, 3, 4]}),
    "a variable shape that does not fit": ("variable", {"INPUT0": [1, 2, 3]}),
    "two variable dimensions": ("variables", {"INPUT0": [1, 2, 3]}),
    "strings with batching": ("strings", {"INPUT0": ["a", "b"]}),
    "one string": ("one_string", {"INPUT0": "text"}),
    "several datatypes": ("mixed", {"INPUT0": 1, "INPUT1": "s", "INPUT2": [5, 6], "INPUT3": [True]}),
    "an id": ("id_fp32", {"INPUT0": 1, "id": "my-id"}),
    "an id that is a number": ("id_fp32", {"INPUT0": 1, "id": 3}),
    "a parameter": ("id_fp32", {"INPUT0": 1, "temperature": 0.5}),
    "parameters": ("id_fp32", {"INPUT0": 1, "parameters": {"x": 1, "y": "z"}}),
    "an input in parameters": ("id_fp32", {"parameters": {"INPUT0": 1}}),
    "parameters a string": ("id_fp32", {"INPUT0": 1, "parameters": "x"}),
    "a parameter of null": ("id_fp32", {"INPUT0": 1, "x": None}),
    "a parameter that is an array": ("id_fp32", {"INPUT0": 1, "x": [1]}),
    "a parameter that is an object": ("id_fp32", {"INPUT0": 1, "x": {"y": 1}}),
    "a reserved parameter": ("id_fp32", {"INPUT0": 1, "priority": 1, "timeout": 5}),
    "a reserved parameter of a wrong type": ("id_fp32", {"INPUT0": 1, "sequence_start": 3}),
    "a parameter of Triton's own prefix": ("id_fp32", {"INPUT0": 1, "triton_x": 3}),
    "no JSON": ("id_fp32", b"hello"),
    "an empty body": ("id_fp32", b""),
    "an array as body": ("id_fp32", b"[]"),
    "an unknown model": ("nobody", {"INPUT0": 1}),
    "an unknown model and no JSON": ("nobody", b"x"),
}

CASES: Final[tuple[Case, ...]] = (
    *(case(name, post(f"/v2/models/{model}/generate", body)) for name, (model, body) in _BODIES.items()),
    *(
        case(f"stream: {name}", post(f"/v2/models/{model}/generate_stream", body))
        for name, (model, body) in _BODIES.items()
    ),
    case("a version", post("/v2/models/versioned/versions/1/generate", {"INPUT0": [1, 2, 3, 4]})),
    case("an unknown version", post("/v2/models/simple/versions/7/generate", {"INPUT0": 1})),
    case("a version that is no number", post("/v2/models/simple/versions/x/generate", {"INPUT0": 1})),
    case("with GET", get("/v2/models/id_fp32/generate")),
    case("stream with GET", get("/v2/models/id_fp32/generate_stream")),
    case("gzip", post("/v2/models/id_fp32/generate", {"INPUT0": 1}, Content_Encoding="gzip")),
    case("identity", post("/v2/models/id_fp32/generate", {"INPUT0": 1}, Content_Encoding="identity")),
    case("accepting gzip", post("/v2/models/id_fp32/generate", {"INPUT0": 1}, Accept_Encoding="gzip")),
    case("an execution that fails", post("/v2/models/gather/generate", {"INDEX": 99}), masks=["message of the model"]),
)
