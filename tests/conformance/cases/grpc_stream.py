"""ModelStreamInfer with models that answer once."""

import struct
from typing import Any, Final

from tests.conformance.case import Case, GrpcStream, case, grpc_request

_TWO: Final = struct.pack("<2f", 1.5, -2)


def _ask(shape: list[int] | None = None, model: str = "id_fp32", raw: bytes = _TWO, **more: Any) -> dict[str, Any]:
    return grpc_request(model, [{"name": "INPUT0", "datatype": "FP32", "shape": shape or [2]}], [raw], **more)


def _parameters(**value: Any) -> dict[str, Any]:
    return {"parameters": value}


CASES: Final[tuple[Case, ...]] = (
    case("nothing", GrpcStream(())),
    case("one", GrpcStream((_ask(),))),
    case("one with an id", GrpcStream((_ask(id="7"),))),
    case("three", GrpcStream((_ask(id="1"), _ask(id="2"), _ask(id="3")))),
    case("unknown model", GrpcStream((_ask(model="nobody", id="1"),))),
    case("unknown model, then a good one", GrpcStream((_ask(model="nobody", id="1"), _ask(id="2")))),
    case("unknown version", GrpcStream((_ask(model_version="9", id="1"),))),
    case("a version that is no number", GrpcStream((_ask(model_version="x", id="1"),))),
    case("a version", GrpcStream((_ask(model_version="1", id="1"),))),
    case("wrong shape", GrpcStream((_ask([3], id="1"), _ask(id="2")))),
    case("no data", GrpcStream((grpc_request("id_fp32", [{"name": "INPUT0", "datatype": "FP32", "shape": [2]}], id="1"),))),
    case("an unknown output", GrpcStream((_ask(outputs=[{"name": "NOPE"}], id="1"),))),
    case("an empty request", GrpcStream(({},))),
    case("an execution that fails", GrpcStream((grpc_request(
        "gather", [{"name": "INDEX", "datatype": "INT64", "shape": [1, 1]}], [struct.pack("<q", 99)], id="1"),)),
        masks=["message of the model in a stream"]),
    case("with an empty final response", GrpcStream((_ask(**_parameters(triton_enable_empty_final_response={"bool_param": True})),))),
    case("without an empty final response", GrpcStream((_ask(**_parameters(triton_enable_empty_final_response={"bool_param": False})),))),
    case("an empty final response of the wrong kind", GrpcStream((_ask(**_parameters(triton_enable_empty_final_response={"int64_param": 1})),))),
    case("a parameter", GrpcStream((_ask(**_parameters(x={"string_param": "y"})),))),
    case("a parameter of Triton's own prefix", GrpcStream((_ask(**_parameters(triton_x={"string_param": "y"})),))),
    case("a sequence", GrpcStream((_ask(**_parameters(sequence_id={"int64_param": 5}, sequence_start={"bool_param": True})),))),
    case("errors as status", GrpcStream((_ask(id="1"),), (("triton_grpc_error", "true"),))),
    case("errors as status, unknown model", GrpcStream((_ask(model="nobody", id="1"),), (("triton_grpc_error", "true"),))),
    case("errors as status, wrong shape", GrpcStream((_ask([3], id="1"),), (("triton_grpc_error", "true"),))),
    case("errors as status, after a good one", GrpcStream((_ask(id="1"), _ask([3], id="2")), (("triton_grpc_error", "true"),))),
    case("errors as status, an execution that fails", GrpcStream((grpc_request(
        "gather", [{"name": "INDEX", "datatype": "INT64", "shape": [1, 1]}], [struct.pack("<q", 99)], id="1"),),
        (("triton_grpc_error", "true"),)), masks=["message of the model"]),
    case("errors as status off", GrpcStream((_ask([3], id="1"),), (("triton_grpc_error", "false"),))),
    case("best classes", GrpcStream((_ask(outputs=[{"name": "OUTPUT0", "parameters": {"classification": {"int64_param": 1}}}]),))),
    case("two models", GrpcStream((_ask(id="1"), grpc_request(
        "id_int32", [{"name": "INPUT0", "datatype": "INT32", "shape": [1], "contents": {"int_contents": [4]}}], id="2")))),
)  # fmt: skip
