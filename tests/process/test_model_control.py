"""What clients may send along with a load, and what loads and unloads mean for ensembles and for readiness."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from tests.harness.fixtures import StartServer
from tests.harness.models import add_constant, identity
from tests.harness.raw_http import Connection, binary_body, infer_post, post
from tests.harness.repository import one_cpu
from tests.harness.server import Server
from tests.harness.waiting import eventually
from tests.process.test_reloads import control, states, write_echo

_STEP = (
    'step [ {{ model_name: "{}" model_version: -1 '
    'input_map {{ key: "INPUT0" value: "{}" }} output_map {{ key: "OUTPUT0" value: "{}" }} }} ]'
)
_CHAIN = """
name: "chain"
platform: "ensemble"
max_batch_size: 8
input [ { name: "IN" data_type: TYPE_INT32 dims: [ 4 ] } ]
output [ { name: "OUT" data_type: TYPE_INT32 dims: [ 4 ] } ]
ensemble_scheduling { %s %s }
"""


def ready(server: Server, path: str = "health/ready") -> bool:
    with Connection(server) as connection:
        return connection.call(f"GET /v2/{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()).status == 200


def added(server: Server, model: str, name: str = "INPUT0") -> int:
    """What a model that adds a constant adds; -1 where it does not answer well."""
    body = binary_body({name: np.zeros((1, 4), np.int32)})
    with Connection(server) as connection:
        answer = connection.call(infer_post(model, body))
    return int(np.frombuffer(answer.body[-16:], np.int32)[0]) if answer.status == 200 else -1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    models = tmp_path / "models"
    for name, value in (("one", 1), ("ten", 10)):
        add_constant(value).write(models, name, max_batch_size=8, extra=one_cpu())
    write_echo(models)
    (models / "chain" / "1").mkdir(parents=True)
    steps = _STEP.format("one", "IN", "middle"), _STEP.format("ten", "middle", "OUT")
    (models / "chain" / "config.pbtxt").write_text(_CHAIN % steps)
    return models


@pytest.fixture
def server(new_server: StartServer, folder: Path) -> Server:
    return new_server(folder, "--model-control-mode=explicit", "--load-model=echo").start()


def test_a_model_that_the_client_sends_whole_replaces_the_one_on_disk_until_that_changes(
    server: Server, folder: Path
) -> None:
    assert control(server, "models/one/load").status == 200
    assert added(server, "one") == 1
    other = folder.parent / "other"
    add_constant(5).write(other, "one", max_batch_size=8, extra=one_cpu())
    config = {
        "backend": "onnxruntime",
        "max_batch_size": 8,
        "input": [{"name": "INPUT0", "data_type": "TYPE_INT32", "dims": [4]}],
        "output": [{"name": "OUTPUT0", "data_type": "TYPE_INT32", "dims": [4]}],
    }
    file = base64.b64encode((other / "one" / "1" / "model.onnx").read_bytes()).decode()
    sent = {"parameters": {"config": json.dumps(config), "file:1/model.onnx": file}}
    assert control(server, "models/one/load", sent).status == 200
    assert added(server, "one") == 5
    folders = list(server.runtime_parent.glob("*/model-*"))
    assert len(folders) == 1
    (folder / "one" / "1" / "model.onnx").touch()
    assert control(server, "models/one/load").status == 200
    assert added(server, "one") == 1
    eventually(lambda: not list(server.runtime_parent.glob("*/model-*")), "what was sent is removed")


def test_a_config_that_is_sent_along_holds_until_the_files_change(server: Server, folder: Path) -> None:
    config = {
        "backend": "onnxruntime",
        "max_batch_size": 2,
        "input": [{"name": "INPUT0", "data_type": "TYPE_INT32", "dims": [4]}],
        "output": [{"name": "OUTPUT0", "data_type": "TYPE_INT32", "dims": [4]}],
    }

    def largest() -> int:
        with Connection(server) as connection:
            answer = connection.call(b"GET /v2/models/one/config HTTP/1.1\r\nHost: x\r\n\r\n")
        return int(answer.json()["max_batch_size"])

    assert control(server, "models/one/load", {"parameters": {"config": json.dumps(config)}}).status == 200
    assert largest() == 2
    assert control(server, "models/one/load").status == 200
    assert largest() == 2
    (folder / "one" / "1" / "model.onnx").touch()
    assert control(server, "models/one/load").status == 200
    assert largest() == 8


def test_an_ensemble_brings_its_steps_loses_them_and_gets_them_back(server: Server) -> None:
    assert control(server, "models/chain/load").status == 200
    assert added(server, "chain", "IN") == 11
    assert states(server)[("one", "1")] == ("READY", "")
    assert control(server, "models/one/unload").status == 200
    assert states(server)[("chain", "1")] == ("UNAVAILABLE", "unloaded")
    assert added(server, "chain", "IN") == -1
    assert control(server, "models/one/load").status == 200
    assert added(server, "chain", "IN") == 11


def test_unloading_dependents_takes_the_steps_that_nobody_asked_for(server: Server) -> None:
    assert control(server, "models/ten/load").status == 200
    assert control(server, "models/chain/load").status == 200
    sent = {"parameters": {"unload_dependents": True}}
    assert control(server, "models/chain/unload", sent).status == 200
    eventually(lambda: states(server)[("one", "1")] == ("UNAVAILABLE", "unloaded"), "the step is unloaded")
    assert states(server)[("ten", "1")] == ("READY", "")


def test_after_a_load_that_failed_the_server_is_not_ready_until_one_succeeds(server: Server, folder: Path) -> None:
    assert ready(server)
    (folder / "one" / "1" / "model.onnx").write_bytes(b"no model")
    answer = control(server, "models/one/load")
    assert answer.status == 400
    assert not ready(server)
    assert control(server, "models/one/unload").status == 200
    assert not ready(server)
    add_constant(1).write(folder, "one", max_batch_size=8, extra=one_cpu())
    assert control(server, "models/one/load").status == 200
    assert ready(server)
    assert ready(server, "models/one/ready")


def test_loads_of_many_models_at_once_all_end(server: Server, folder: Path) -> None:
    for number in range(6):
        identity("FP32", [-1]).write(folder, f"many{number}", extra=one_cpu())
    connections = [Connection(server) for _ in range(6)]
    try:
        for number, connection in enumerate(connections):
            connection.send(post(f"/v2/repository/models/many{number}/load", {"Content-Length": "0"}))
        assert [connection.response().status for connection in connections] == [200] * 6
    finally:
        for connection in connections:
            connection.close()
