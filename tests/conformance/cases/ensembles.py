"""Ensembles over HTTP and gRPC: answers, errors of steps, adaption of shapes, and what cannot be loaded."""

import struct
from typing import Any, Final

from tests.conformance.case import SHM_PREFIX as PREFIX
from tests.conformance.case import (
    Case,
    Grpc,
    GrpcStream,
    Http,
    ShmRead,
    Step,
    bytes_element,
    case,
    get,
    grpc_infer,
    grpc_request,
    infer,
    infer_binary,
    post,
    tensor,
)

_MODEL_ERROR: Final = ("message of the model", "content type")
_STATISTICS: Final = ("durations", "last inference")
_FOUR: Final = [1.0, 2.0, 3.0, 4.0]
_RAW: Final = struct.pack("<4f", *_FOUR)
_PAIR: Final = [tensor("INPUT0", "FP32", [1, 4], _FOUR), tensor("INPUT1", "FP32", [1, 4], [10, 20, 30, 40])]
_LATER: Final = Http("GET", "/v2/models/counted_chain/stats", settles=True)


def _case(name: str, *steps: Step, **more: Any) -> Case:
    return case(name, *steps, server="ensembles", **more)


def _one(model: str, shape: list[int], data: list[Any], datatype: str = "FP32", **more: Any) -> Http:
    return infer(model, {"inputs": [tensor("I", datatype, shape, data)], **more})


def _pairs(model: str, *outputs: str, **more: Any) -> Http:
    wanted: dict[str, Any] = {"outputs": [{"name": name} for name in outputs]} if outputs else {}
    return infer(model, {"inputs": _PAIR, **wanted, **more})


def _region(name: str, size: int) -> Http:
    body = {"key": f"/{PREFIX}-{name}", "offset": 0, "byte_size": size}
    return post(f"/v2/systemsharedmemory/region/{name}/register", body)


def _gone(name: str) -> Http:
    return post(f"/v2/systemsharedmemory/region/{name}/unregister")


def _in_region(name: str, region: str, size: int, offset: int = 0) -> dict[str, Any]:
    parameters = {"shared_memory_region": region, "shared_memory_byte_size": size}
    return {"name": name, "parameters": parameters | {"shared_memory_offset": offset}}


CASES: Final[tuple[Case, ...]] = (
    _case("two steps", _one("line_line", [1, 4], _FOUR)),
    _case("with an id", _one("line_line", [2, 3], [1, 2, 3, 4, 5, 6], id="mine")),
    _case(
        "binary",
        infer_binary(
            "line_line",
            {
                "inputs": [tensor("I", "FP32", [1, 4], binary_data_size=16)],
                "outputs": [{"name": "O", "parameters": {"binary_data": True}}],
            },
            _RAW,
        ),
    ),
    _case("two outputs", _pairs("chain")),
    _case("two outputs in the other order", _pairs("chain", "OUTPUT1", "OUTPUT0")),
    _case("one of two outputs", _pairs("chain", "OUTPUT0"), _pairs("chain", "OUTPUT1")),
    _case("three outputs", _pairs("diamond")),
    _case("an output behind another one", _pairs("diamond", "C"), _pairs("diamond", "A")),
    _case("an output whose step makes another one, too", _pairs("diamond", "B")),
    _case("inside another one", _pairs("nested", "OUTPUT0"), _pairs("nested", "OUTPUT1")),
    _case("an unknown output", _pairs("chain", "nobody")),
    _case("a missing input", infer("chain", {"inputs": _PAIR[:1]})),
    _case("a tensor between steps as an output", _pairs("chain", "sum")),
    _case("a wrong shape", _one("line_line", [4], _FOUR)),
    _case("a wrong datatype", _one("line_line", [1, 4], [1, 2, 3, 4], "INT32")),
    _case("too many items", _one("line_line", [9, 1], [1.0] * 9)),
    _case("an optional input left out", _one("optional", [1, 4], _FOUR)),
    _case(
        "an optional input given",
        infer("optional", {"inputs": [tensor(name, "FP32", [1, 4], _FOUR) for name in ("I", "J")]}),
    ),
    _case("an optional input of a step that is not mapped", _one("not_mapped", [1, 4], _FOUR)),
    _case("an input left out that its step needs", _one("required", [1, 4], _FOUR, id="mine")),
    _case("through a model without batching", _one("to_flat", [1, 4], _FOUR)),
    _case("a batch through a model without batching", _one("to_flat", [2, 2], _FOUR)),
    _case("through a model with batching", _one("to_batch", [4], _FOUR)),
    _case("a batch where there is none", _one("to_batch", [1, 4], _FOUR)),
    _case("a shape that fits the second step", _one("shapes", [1, 2], [1, 2])),
    _case(
        "a shape that does not fit the second step",
        _one("shapes", [1, 4], _FOUR, id="mine"),
        _one("shapes", [2, 3], [1.0] * 6),
    ),
    _case("indices that both steps take", _one("gathers", [2, 1], [0, 0], "INT64")),
    _case("an error in the first step", _one("gathers", [1, 1], [99], "INT64"), masks=_MODEL_ERROR),
    _case("an error in the second step", _one("gathers", [1, 1], [3], "INT64"), masks=_MODEL_ERROR),
    _case("strings", _one("words", [1, 3], ["one", "", "zwölf"], "BYTES")),
    _case(
        "a sequence's parameters",
        _one("line_line", [1, 4], _FOUR, parameters={"sequence_id": 5, "sequence_start": True}),
    ),
    _case(
        "a sequence's parameters, with a string",
        _one("line_line", [1, 4], _FOUR, parameters={"sequence_id": "abc", "sequence_end": True}),
    ),
    _case(
        "priority and timeout",
        _one("line_line", [1, 4], _FOUR, parameters={"priority": 1, "timeout": 10**7, "own": "x"}),
    ),
    _case("steps of different versions", _one("versions", [1, 4], [0, 0, 0, 0], "INT32")),
    _case(
        "classes with the labels of the step",
        infer(
            "classes",
            {
                "inputs": [
                    tensor("I", "FP32", [1, 4], [0.1, 0.4, 0.2, 0.3]),
                    tensor("J", "INT32", [1, 4], [1, 2, 3, 4]),
                    tensor("K", "BYTES", [1, 4], ["a", "b", "c", "d"]),
                ],
                "outputs": [{"name": "O", "parameters": {"classification": 3}}],
            },
        ),
    ),
    _case("gRPC", grpc_infer("line_line", [tensor("I", "FP32", [1, 4])], [_RAW], id="mine")),
    _case(
        "gRPC: strings",
        grpc_infer("words", [tensor("I", "BYTES", [1, 2])], [bytes_element(b"a", b"\xff")[:5] + bytes_element(b"bc")]),
    ),
    _case(
        "gRPC: a shape that does not fit the second step", grpc_infer("shapes", [tensor("I", "FP32", [1, 4])], [_RAW])
    ),
    _case(
        "gRPC: an error in the second step",
        grpc_infer("gathers", [tensor("I", "INT64", [1, 1])], [struct.pack("<q", 3)]),
        masks=("message of the model",),
    ),
    _case(
        "gRPC: a stream",
        GrpcStream(
            (
                grpc_request("line_line", [tensor("I", "FP32", [1, 4])], [_RAW], id="1"),
                grpc_request("shapes", [tensor("I", "FP32", [1, 4])], [_RAW], id="2"),
            )
        ),
    ),
    _case("ready", get("/v2/models/chain/ready"), get("/v2/models/nested/versions/1/ready")),
    _case("metadata", get("/v2/models/chain"), get("/v2/models/optional"), get("/v2/models/to_batch")),
    _case("gRPC: metadata", Grpc("ModelMetadata", {"name": "nested"})),
    _case("configuration", get("/v2/models/line_line/config")),
    _case("gRPC: configuration", Grpc("ModelConfig", {"name": "line_line"})),
    _case("index", post("/v2/repository/index"), post("/v2/repository/index", {"ready": True})),
    *[
        _case(
            f"not loaded: {name}",
            get(f"/v2/models/{name}/ready"),
            get(f"/v2/models/{name}"),
            get(f"/v2/models/{name}/config"),
            get(f"/v2/models/{name}/stats"),
            _one(name, [1, 4], _FOUR),
        )
        for name in ("misses", "misfits", "too_large", "circle", "on_misfits", "unused_input", "other_version")
    ],
    _case(
        "statistics",
        get("/v2/models/counted_chain/stats"),
        _one("counted_chain", [1, 4], _FOUR),
        _LATER,
        _one("counted_chain", [3, 1], [1, 2, 3]),
        _LATER,
        _one("counted_chain", [9, 1], [1.0] * 9),
        _LATER,
        Grpc("ModelStatistics", {"name": "counted_chain"}),
        masks=_STATISTICS,
    ),
    _case(
        "shared memory",
        _region("in", 16),
        _region("out", 32),
        infer(
            "line_line",
            {
                "inputs": [tensor("I", "FP32", [1, 4]) | _in_region("I", "in", 16)],
                "outputs": [_in_region("O", "out", 20, 8)],
            },
        ),
        ShmRead("out", 0, 32),
        _gone("in"),
        _gone("out"),
        regions={"in": _RAW, "out": bytes(32)},
    ),
    _case(
        "shared memory: an output over the input",
        _region("both", 16),
        infer(
            "chain",
            {
                "inputs": [tensor("INPUT0", "FP32", [1, 4]) | _in_region("INPUT0", "both", 16), _PAIR[1]],
                "outputs": [_in_region("OUTPUT0", "both", 16)],
            },
        ),
        ShmRead("both", 0, 16),
        _gone("both"),
        regions={"both": _RAW},
    ),
    _case(
        "shared memory: an output that another step reads",
        _region("out", 64),
        infer("diamond", {"inputs": _PAIR, "outputs": [_in_region("A", "out", 16), _in_region("C", "out", 16, 32)]}),
        ShmRead("out", 0, 64),
        _gone("out"),
        regions={"out": bytes(64)},
    ),
    _case(
        "shared memory: too small",
        _region("out", 16),
        infer("line_line", {"inputs": [tensor("I", "FP32", [1, 4], _FOUR)], "outputs": [_in_region("O", "out", 8)]}),
        _gone("out"),
        regions={"out": bytes(16)},
    ),
)
