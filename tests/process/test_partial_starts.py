"""With --exit-on-error=false, what can be served is served, and the rest says why it is not."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.harness.fixtures import StartServer
from tests.harness.models import identity
from tests.harness.raw_http import Connection, binary_body, infer_post
from tests.harness.repository import one_cpu
from tests.harness.server import Server
from tests.harness.waiting import eventually


def echoes(server: Server, model: str = "good") -> bool:
    body = binary_body({"INPUT0": np.array([4, 2], np.float32)})
    with Connection(server) as connection:
        answer = connection.call(infer_post(model, body))
    return answer.status == 200 and answer.body.endswith(np.array([4, 2], np.float32).tobytes())


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A good model, a corrupt one, one of a framework that is not installed and one of a backend that does not exist."""
    folder = tmp_path / "models"
    model = identity("FP32", [-1])
    for name in ("good", "corrupt", "nobody", "torch"):
        model.write(folder, name, extra=one_cpu())
    (folder / "corrupt" / "1" / "model.onnx").write_bytes(b"junk")
    for name, backend in (("nobody", "nobody"), ("torch", "pytorch")):
        config = folder / name / "config.pbtxt"
        config.write_text(config.read_text().replace("onnxruntime", backend))
    return folder


def test_good_models_are_served_beside_bad_ones(new_server: StartServer, repository: Path) -> None:
    server = new_server(repository, "--exit-on-error=false").start()
    assert echoes(server)
    assert server.get("/v2/health/live")[0] == 200
    assert server.get("/v2/health/ready")[0] == 400
    assert server.get("/v2/models/good/ready")[0] == 200
    for name in ("corrupt", "nobody", "torch"):
        assert server.get(f"/v2/models/{name}/ready")[0] == 400
        status, body = server.get(f"/v2/models/{name}")
        assert (status, json.loads(body)["error"]) == (
            404,
            f"Request for unknown model: '{name}' has no available versions",
        )
        assert f"failed to load '{name}'" in server.log()
    assert server.stop() == 0


def test_the_reason_of_a_refusal_names_the_backend(new_server: StartServer, repository: Path) -> None:
    server = new_server(repository, "--exit-on-error=false").start()
    log = server.log()
    assert "unable to find backend library for backend 'nobody'" in log
    # Where PyTorch is installed, its model's file is missed.
    assert "needs PyTorch, which is not installed" in log or "model.pt' for model instance 'torch'" in log
    assert "Traceback" not in log


def test_nothing_of_a_model_that_failed_stays_in_memory(new_server: StartServer, tmp_path: Path) -> None:
    for name, dims in (("good", -1), ("wrong", 5)):
        identity("FP32", [dims]).write(tmp_path / "models", name, extra=one_cpu())
    config = tmp_path / "models" / "wrong" / "config.pbtxt"
    config.write_text(config.read_text().replace("dims: [ 5 ]", "dims: [ 4 ]"))
    server = new_server(tmp_path / "models", "--exit-on-error=false").start()
    eventually(lambda: len(server.workers()) == 1, "only the good model has a process")
    assert echoes(server)


def test_a_server_without_models_is_ready(new_server: StartServer, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    server = new_server(tmp_path / "models").start()
    server.wait_ready()
    assert json.loads(server.get("/v2/models/x")[1]) == {"error": "Request for unknown model: 'x' is not found"}


def test_each_face_can_be_switched_off(new_server: StartServer, tmp_path: Path, repository: Path) -> None:
    server = new_server(repository, "--exit-on-error=false", "--allow-grpc=false").launch()
    found = server.wait_for_log(r"Started HTTPService at \S+:(\d+)", 60)
    server.http_port = int(found[1])
    assert echoes(server)
    assert "GRPCInferenceService" not in server.log()
