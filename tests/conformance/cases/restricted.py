"""Restricted APIs, over HTTP and gRPC."""

from typing import Any, Final

from tests.conformance.case import Case, Grpc, case, get, infer, post, tensor

_DOCUMENT: Final = {"inputs": [tensor("INPUT0", "FP32", [1], [1])]}
_MESSAGE: Final = {"model_name": "id_fp32", "inputs": [
    {"name": "INPUT0", "datatype": "FP32", "shape": [1], "contents": {"fp32_contents": [1]}}]}  # fmt: skip


def _case(name: str, step: Any, **more: Any) -> Case:
    return case(name, step, server="restricted", **more)


def _grpc(method: str, fields: Any = None, **metadata: str) -> Grpc:
    given = tuple((name.replace("_", "-"), value) for name, value in metadata.items())
    return Grpc(method, fields or {}, metadata=given)


CASES: Final[tuple[Case, ...]] = (
    _case("infer without a key", infer("id_fp32", _DOCUMENT)),
    _case("infer with the key", infer("id_fp32", _DOCUMENT, h_infer="secret")),
    _case("infer with another key", infer("id_fp32", _DOCUMENT, h_infer="wrong")),
    _case("infer with the key of another", infer("id_fp32", _DOCUMENT, h_look="open")),
    _case("infer with the name in capitals", infer("id_fp32", _DOCUMENT, H_INFER="secret")),
    _case("infer of an unknown model without a key", infer("nobody", _DOCUMENT)),
    _case("infer with GET without a key", get("/v2/models/id_fp32/infer")),
    _case("generate without a key", post("/v2/models/id_fp32/generate", {"INPUT0": 1})),
    _case("metadata without a key", get("/v2")),
    _case("metadata with the key", get("/v2", h_look="open")),
    _case("metadata of a model without a key", get("/v2/models/id_fp32")),
    _case("metadata of a model with the key", get("/v2/models/id_fp32", h_look="open"), masks=["backend"]),
    _case("statistics without a key", get("/v2/models/stats")),
    _case("statistics of a model without a key", get("/v2/models/id_fp32/stats")),
    _case("config without a key", get("/v2/models/id_fp32/config"), masks=["backend"]),
    _case("live without a key", get("/v2/health/live")),
    _case("live with the key", get("/v2/health/live", h_health="well")),
    _case("live with POST without a key", post("/v2/health/live")),
    _case("ready without a key", get("/v2/health/ready")),
    _case("ready of a model without a key", get("/v2/models/id_fp32/ready")),
    _case("ready of a model with the key", get("/v2/models/id_fp32/ready", h_health="well")),
    _case("an unknown route", get("/v2/nothing")),
    _case("gRPC: infer without a key", _grpc("ModelInfer", _MESSAGE)),
    _case("gRPC: infer with the key", _grpc("ModelInfer", _MESSAGE, triton_grpc_protocol_g_infer="secret")),
    _case("gRPC: infer with another key", _grpc("ModelInfer", _MESSAGE, triton_grpc_protocol_g_infer="x")),
    _case("gRPC: infer with the bare name", _grpc("ModelInfer", _MESSAGE, g_infer="secret")),
    _case("gRPC: live without a key", _grpc("ServerLive")),
    _case("gRPC: live with the key", _grpc("ServerLive", triton_grpc_protocol_g_health="well")),
    _case("gRPC: ready without a key", _grpc("ServerReady")),
    _case("gRPC: ready of a model without a key", _grpc("ModelReady", {"name": "id_fp32"})),
    _case("gRPC: metadata without a key", _grpc("ServerMetadata")),
    _case("gRPC: metadata of a model without a key", _grpc("ModelMetadata", {"name": "id_fp32"})),
    _case("gRPC: statistics without a key", _grpc("ModelStatistics")),
    _case("gRPC: config without a key", _grpc("ModelConfig", {"name": "id_fp32"}), masks=["backend"]),
)
