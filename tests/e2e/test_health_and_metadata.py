"""Health, metadata, config and statistics, through each of NVIDIA's clients."""

import json
from typing import Any

import numpy as np
import pytest

from tests.harness.faces import Call, Face
from tests.harness.raw_http import Connection
from tests.harness.server import Server
from tests.harness.waiting import eventually
from tis import TRITON_VERSION


def tensor(name: str, datatype: str, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}


def with_integers(metadata: dict[str, Any]) -> dict[str, Any]:
    """Metadata with the shapes as numbers; the gRPC client's plain form has texts."""
    for side in ("inputs", "outputs"):
        for each in metadata[side]:
            each["shape"] = [int(dim) for dim in each["shape"]]
    return metadata


def test_a_server_that_serves_is_live_and_ready(face: Face) -> None:
    for method in ("is_server_live", "is_server_ready"):
        answer = face.ask(method)
        assert answer is True


def test_a_model_is_ready_by_name_and_by_version(face: Face) -> None:
    assert face.ask("is_model_ready", "simple") is True
    assert face.ask("is_model_ready", "versioned", "3") is True
    assert face.ask("is_model_ready", "versioned", "2") is False
    assert face.ask("is_model_ready", "nobody") is False


def test_server_metadata_names_the_server(face: Face) -> None:
    metadata = face.ask("get_server_metadata")
    assert (metadata["name"], metadata["version"]) == ("triton", TRITON_VERSION)
    assert "binary_tensor_data" in metadata["extensions"]


def test_model_metadata_shows_shapes_with_the_batch_dimension(face: Face) -> None:
    assert with_integers(face.ask("get_model_metadata", "simple")) == {
        "name": "simple",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [tensor("INPUT0", "INT32", [-1, 16]), tensor("INPUT1", "INT32", [-1, 16])],
        "outputs": [tensor("OUTPUT0", "INT32", [-1, 16]), tensor("OUTPUT1", "INT32", [-1, 16])],
    }


def test_model_metadata_without_batching_shows_the_shapes_as_they_are(face: Face) -> None:
    metadata = with_integers(face.ask("get_model_metadata", "nonzero"))
    assert metadata["inputs"] == [tensor("INPUT0", "FP32", [-1])]
    assert metadata["outputs"] == [tensor("OUTPUT0", "INT64", [1, -1])]


def test_metadata_lists_the_ready_versions_or_the_one_asked_for(face: Face) -> None:
    assert face.ask("get_model_metadata", "versioned")["versions"] == ["1", "3"]
    assert face.ask("get_model_metadata", "versioned", "1")["versions"] == ["1"]


def test_the_config_is_the_completed_one(face: Face) -> None:
    config = face.ask("get_model_config", "simple")
    config = config.get("config", config)
    assert (config["name"], config["backend"], config["max_batch_size"]) == ("simple", "onnxruntime", 8)
    assert config["dynamic_batching"]["preferred_batch_size"] == [8]
    assert config["instance_group"][0]["kind"] == "KIND_CPU"
    assert config["instance_group"][0]["count"] == 1


def test_http_config_prints_64_bit_integers_as_numbers(server: Server) -> None:
    config = json.loads(server.get("/v2/models/simple/config")[1])
    assert config["input"][0]["dims"] == [16]


def test_statistics_count_a_request(face: Face) -> None:
    def counted() -> tuple[int, int, int]:
        (stats,) = face.ask("get_inference_statistics", "versioned", "1")["model_stats"]
        success = stats["inference_stats"]["success"]
        assert stats["name"] == "versioned"
        assert int(success["ns"]) > 0 or int(success["count"]) == 0
        return int(success["count"]), int(stats["inference_count"]), int(stats["execution_count"])

    before = counted()
    face.infer(Call("versioned", {"INPUT0": np.zeros((3, 4), np.int32)}, version="1"))
    # A request is counted just after its answer has been sent.
    after = eventually(lambda: now if (now := counted()) != before else None, "the request is counted")
    assert after is not None
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 3, 1]


def test_statistics_without_a_name_show_every_model(face: Face) -> None:
    stats = face.ask("get_inference_statistics")["model_stats"]
    assert {("simple", "1"), ("versioned", "1"), ("versioned", "3")} <= {(s["name"], s["version"]) for s in stats}


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/v2/models/simple/ready"])
def test_a_health_answer_has_no_body(server: Server, path: str) -> None:
    assert server.get(path) == (200, b"")


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/v2/nothing", 404, "Not Found"),
        ("/v2/models/nobody", 404, "Request for unknown model: 'nobody' is not found"),
        ("/v2/models/simple/versions/7", 404, "Request for unknown model: 'simple' version 7 is not found"),
        ("/v2/models/nobody/config", 404, "Request for unknown model: 'nobody' is not found"),
        ("/v2/models/nobody/stats", 400, "requested model 'nobody' is not available"),
        (
            "/v2/models/simple/versions/7/stats",
            400,
            "requested model version is not available for model 'simple'",
        ),
        ("/v2/models/nobody/ready", 400, "Model version not ready"),
        ("/v2/models/simple/infer", 405, "Method Not Allowed"),
    ],
)
def test_a_wrong_get_is_refused_in_tritons_words(server: Server, path: str, status: int, text: str) -> None:
    got, body = server.get(path)
    assert (got, json.loads(body)) == (status, {"error": text})


@pytest.mark.parametrize("path", ["/v2", "/v2/health/live", "/v2/models/simple", "/v2/models/simple/config"])
def test_a_post_where_get_belongs_is_not_allowed(server: Server, path: str) -> None:
    with Connection(server) as connection:
        answer = connection.call(f"POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n".encode())
    assert (answer.status, answer.error) == (405, "Method Not Allowed")
