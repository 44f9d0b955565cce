"""Loading and unloading models, over HTTP and gRPC."""

import json
from typing import Any, Final

from tests.conformance.case import Case, Grpc, Http, case, get, post

_READY: Final = get("/v2/models/id_fp32/ready")
_INDEX: Final = post("/v2/repository/index")


def _load(model: str = "id_fp32", body: Any = b"") -> Http:
    return post(f"/v2/repository/models/{model}/load", body)


def _unload(model: str = "id_fp32", body: Any = b"", *, wait: bool = True) -> tuple[Http, ...]:
    asked = post(f"/v2/repository/models/{model}/unload", body)
    gone = Http("GET", f"/v2/models/{model}/ready", settles=True)
    return (asked, gone) if wait else (asked,)


def _grpc(method: str, model: str, **fields: Any) -> Grpc:
    return Grpc(f"RepositoryModel{method}", {"model_name": model, **fields})


def _explicit(name: str, *steps: Any, **more: Any) -> Case:
    return case(name, *steps, server="explicit", **more)


CASES: Final[tuple[Case, ...]] = (
    case("load where that is off", _load()),
    case("unload where that is off", *_unload(wait=False)),
    case("load of an unknown model where that is off", _load("nobody")),
    case("gRPC: load where that is off", _grpc("Load", "id_fp32")),
    case("gRPC: unload where that is off", _grpc("Unload", "id_fp32")),
    _explicit("not loaded at the start", _READY, get("/v2/models/id_fp32"), get("/v2/health/ready")),
    _explicit("load and unload", _load(), _READY, _INDEX, *_unload(), _INDEX),
    _explicit("load twice", _load(), _load(), *_unload()),
    _explicit("unload of what is not loaded", *_unload("id_bytes")),
    _explicit("unload of an unknown model", *_unload("nobody", wait=False)),
    _explicit("load of an unknown model", _load("nobody")),
    _explicit("infer on an unloaded model", post("/v2/models/id_bytes/infer", {"inputs": []})),
    _explicit("gRPC: infer on an unloaded model", Grpc("ModelInfer", {"model_name": "id_bytes"})),
    _explicit("metadata of an unloaded model", get("/v2/models/id_bytes"), get("/v2/models/id_bytes/config")),
    _explicit("statistics of an unloaded model", get("/v2/models/id_bytes/stats")),
    _explicit("load with no parameters", _load(body={"parameters": {}}), *_unload()),
    _explicit("load with an unknown parameter", _load(body={"parameters": {"foo": "x"}})),
    _explicit("load with a number", _load(body={"parameters": {"config": 3}})),
    _explicit("load with a config that is no JSON", _load(body={"parameters": {"config": "x"}})),
    _explicit("load with an unknown field", _load(body={"parameters": {"config": json.dumps({"nope": 1})}})),
    _explicit("load with a file and no config", _load(body={"parameters": {"file:1/model.py": "QQ=="}})),
    _explicit("load with no JSON", _load(body=b"hello")),
    _explicit("load with an array", _load(body=b"[]"), *_unload()),
    _explicit("load with parameters a string", _load(body={"parameters": "x"})),
    _explicit("load from a named repository", post("/v2/repository/x/models/id_fp32/load")),
    _explicit("unload from a named repository", post("/v2/repository/x/models/id_fp32/unload")),
    _explicit("load with GET", get("/v2/repository/models/id_fp32/load")),
    _explicit("unload with GET", get("/v2/repository/models/id_fp32/unload")),
    _explicit("unload with dependents", _load(), *_unload(body={"parameters": {"unload_dependents": True}})),
    _explicit("unload with dependents a string", _load(), *_unload(body={"parameters": {"unload_dependents": "x"}})),
    _explicit("unload with no JSON", *_unload("id_bytes", b"hello")),
    _explicit("unload with an unknown parameter", *_unload("id_bytes", {"parameters": {"x": 1}})),
    _explicit("gRPC: load and unload", _grpc("Load", "id_fp32"), _READY, _grpc("Unload", "id_fp32"), *_unload()),
    _explicit("gRPC: load of an unknown model", _grpc("Load", "nobody")),
    _explicit("gRPC: unload of an unknown model", _grpc("Unload", "nobody")),
    _explicit("gRPC: load from a named repository", _grpc("Load", "id_fp32", repository_name="x")),
    _explicit("gRPC: unload from a named repository", _grpc("Unload", "id_fp32", repository_name="x")),
    _explicit("gRPC: load of no name", _grpc("Load", "")),
    _explicit("gRPC: load with an unknown parameter", _grpc("Load", "id_fp32", parameters={"foo": {"string_param": "x"}})),
    _explicit("gRPC: load with a config of the wrong kind", _grpc("Load", "id_fp32", parameters={"config": {"int64_param": 1}})),
    _explicit("gRPC: load with a file of the wrong kind", _grpc("Load", "id_fp32", parameters={"file:1/model.py": {"string_param": "x"}})),
    _explicit("gRPC: load with a file and no config", _grpc("Load", "id_fp32", parameters={"file:1/model.py": {"bytes_param": b"x"}})),
    _explicit("gRPC: unload with dependents", _grpc("Unload", "id_bytes", parameters={"unload_dependents": {"bool_param": True}})),
    _explicit("gRPC: unload with dependents of the wrong kind", _grpc("Unload", "id_bytes", parameters={"unload_dependents": {"int64_param": 1}})),
    _explicit("gRPC: unload with an unknown parameter", _grpc("Unload", "id_bytes", parameters={"x": {"int64_param": 1}})),
)  # fmt: skip
