"""Decoupled models, which give any number of responses: `repeat` one for each element, `square` as many as the number says.

Of the responses of `square_failing` the last one is not sent and the one before is an error; `one_response` gives one, which
is the last.
"""

import struct
from collections.abc import Mapping
from typing import Any, Final

from tests.conformance.case import Case, GrpcStream, Http, case, get, grpc_infer, grpc_request, infer, post, tensor

_MASKS: Final = ("durations", "last inference")
_EMPTY_FINAL: Final[dict[str, Any]] = {"parameters": {"triton_enable_empty_final_response": {"bool_param": True}}}
_NO_EMPTY_FINAL: Final[dict[str, Any]] = {"parameters": {"triton_enable_empty_final_response": {"bool_param": False}}}
_STRICT: Final = (("triton_grpc_error", "true"),)
_ONE: Final = [{"name": "IN", "datatype": "INT32", "shape": [1]}]


def _square(number: int, model: str = "square", **fields: Any) -> dict[str, Any]:
    return grpc_request(model, _ONE, [struct.pack("<i", number)], **fields)


def _repeat(*elements: int, delays: int | None = None, **fields: Any) -> dict[str, Any]:
    count, others = len(elements), len(elements) if delays is None else delays
    inputs = [
        {"name": "IN", "datatype": "INT32", "shape": [count]},
        {"name": "DELAY", "datatype": "UINT32", "shape": [others]},
        {"name": "WAIT", "datatype": "UINT32", "shape": [1]},
    ]
    return grpc_request("repeat", inputs, [struct.pack(f"<{count}i", *elements), bytes(4 * others), bytes(4)], **fields)


def _plain(**fields: Any) -> dict[str, Any]:
    inputs = [{"name": "INPUT0", "datatype": "FP32", "shape": [1]}]
    return grpc_request("one_response", inputs, [struct.pack("<f", 1.5)], **fields)


def _stream(*requests: Mapping[str, Any], metadata: tuple[tuple[str, str], ...] = ()) -> GrpcStream:
    return GrpcStream(requests, metadata, at_once=True)


def _generate(model: str, body: Any, *, stream: bool = False) -> Http:
    return post(f"/v2/models/{model}/generate{'_stream' if stream else ''}", body)


_STREAMS: Final[dict[str, GrpcStream]] = {
    "no response": _stream(_square(0, id="1")),
    "no response, with an empty final one": _stream(_square(0, id="1", **_EMPTY_FINAL)),
    "no response, without an empty final one": _stream(_square(0, id="1", **_NO_EMPTY_FINAL)),
    "one": _stream(_square(1, id="1")),
    "one, with an empty final one": _stream(_square(1, id="1", **_EMPTY_FINAL)),
    "three": _stream(_square(3, id="1")),
    "three without an id": _stream(_square(3)),
    "three of a version, with an empty final one": _stream(_square(3, model_version="1", **_EMPTY_FINAL)),
    "several requests": _stream(_square(2, id="1"), _square(0, id="2"), _square(1, id="3", **_EMPTY_FINAL)),
    "elements": _stream(_repeat(4, 2, 0, 1, id="1")),
    "no elements, with an empty final one": _stream(_repeat(id="1", **_EMPTY_FINAL)),
    "one output of two": _stream(_repeat(4, 2, id="1", outputs=[{"name": "IDX"}])),
    "best classes": _stream(
        _repeat(4, 2, outputs=[{"name": "OUT", "parameters": {"classification": {"int64_param": 1}}}])
    ),
    "a response that is the last": _stream(_plain(id="1")),
    "a response that is the last, with an empty final one": _stream(_plain(id="1", **_EMPTY_FINAL)),
    "an error instead": _stream(_repeat(1, 2, delays=3, id="1")),
    "an error instead, with an empty final one": _stream(_repeat(1, 2, delays=3, id="1", **_EMPTY_FINAL)),
    "an error in the midst": _stream(_square(4, "square_failing", id="1", **_EMPTY_FINAL)),
    "an error first": _stream(_square(2, "square_failing", id="1")),
    "errors as status, an error in the midst": _stream(_square(4, "square_failing", id="1"), metadata=_STRICT),
    "errors as status, none": _stream(_square(2, id="1"), metadata=_STRICT),
    "an unknown output": _stream(_square(1, id="1", outputs=[{"name": "NOPE"}])),
    "no input": _stream(grpc_request("square", [], id="1")),
    "an empty final one of the wrong kind": _stream(
        _square(1, id="1", parameters={"triton_enable_empty_final_response": {"int64_param": 1}})
    ),
}
_BODIES: Final[dict[str, tuple[str, Any]]] = {
    "no response": ("square", {"IN": 0}),
    "one": ("square", {"IN": 1}),
    "one with an id": ("square", {"IN": 1, "id": "x"}),
    "three": ("square", {"IN": 3}),
    "elements": ("repeat", {"IN": [4, 2], "DELAY": [0, 0], "WAIT": 0}),
    "an error instead": ("repeat", {"IN": [4, 2], "DELAY": [0], "WAIT": 0}),
    "an error first": ("square_failing", {"IN": 2}),
    "an error in the midst": ("square_failing", {"IN": 3}),
    "only what is not sent": ("square_failing", {"IN": 1}),
    "a response that is the last": ("one_response", {"INPUT0": 1.5}),
    "no input": ("square", {}),
}
_INFER: Final = {"inputs": [tensor("IN", "INT32", [1], [1])]}
_STATISTICS: Final = "/v2/models/square/stats"

CASES: Final[tuple[Case, ...]] = (
    # First, since it counts.
    case(
        "what counts",
        _stream(_square(0), _square(1), _square(5)),
        Http("GET", _STATISTICS, settles=True),
        infer("square", _INFER),
        grpc_infer("square", _ONE, [struct.pack("<i", 1)]),
        Http("GET", _STATISTICS, settles=True),
        masks=_MASKS,
        server="decoupled",
    ),
    case(
        "errors count as success",
        _stream(_square(4, "square_failing")),
        Http("GET", "/v2/models/square_failing/stats", settles=True),
        masks=_MASKS,
        server="decoupled",
    ),
    *(case(f"stream: {name}", step, server="decoupled") for name, step in _STREAMS.items()),
    *(case(f"generate: {name}", _generate(*each), server="decoupled") for name, each in _BODIES.items()),
    *(
        case(f"generate_stream: {name}", _generate(*each, stream=True), server="decoupled")
        for name, each in _BODIES.items()
    ),
    case("infer", infer("square", _INFER), server="decoupled"),
    case("infer of a version", infer("square", _INFER, version="1"), server="decoupled"),
    case("infer with no JSON", infer("square", b"hello"), server="decoupled"),
    case("infer with an unknown input", infer("square", {"inputs": [tensor("X", "INT32", [1], [1])]}), server="decoupled"),
    case("gRPC: infer", grpc_infer("square", _ONE, [struct.pack("<i", 1)], id="1"), server="decoupled"),
    case("gRPC: infer with no input", grpc_infer("square", [], id="1"), server="decoupled"),
    case("metadata", get("/v2/models/repeat"), masks=["backend"], server="decoupled"),
    case("config", get("/v2/models/square/config"), masks=["backend"], server="decoupled"),
)  # fmt: skip
