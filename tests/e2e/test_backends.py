"""The backends that come with the server, as clients see them; and priorities of models."""

import contextlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.harness.faces import FACES, Call, GrpcFace
from tests.harness.fixtures import StartServer
from tests.harness.models import identity
from tests.harness.native_models import parameter, tensors, write_identity, write_native, write_square
from tests.harness.observing import batch_counts, settled
from tests.harness.raw_http import Connection, infer_post, json_body, json_input
from tests.harness.repository import BATCHING, DELAYED_BATCHING, one_cpu
from tests.harness.server import Server
from tests.harness.waiting import eventually


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def test_identity_answers_every_client(new_server: StartServer, models: Path) -> None:
    write_identity(models, "floats", dims="-1", max_batch_size=8, extra=BATCHING)
    write_identity(models, "strings", "STRING", "-1")
    server = new_server(models).start()
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    words = np.array([b"a", b"", "é".encode()], np.object_)
    for make in FACES.values():
        with contextlib.closing(make(server)) as face:
            assert np.array_equal(face.infer(Call("floats", {"INPUT0": rows})).outputs["OUTPUT0"], rows)
            assert face.infer(Call("strings", {"INPUT0": words})).outputs["OUTPUT0"].tolist() == words.tolist()


def test_identity_says_tritons_parameters_and_keeps_the_shape_that_clients_see(
    new_server: StartServer, models: Path
) -> None:
    both = " }] ".join(
        f'{side} [{{ name: "{name}" data_type: TYPE_FP32 dims: [4] reshape {{ shape: [2, 2] }}'
        for side, name in (("input", "INPUT0"), ("output", "OUTPUT0"))
    )
    write_native(models, "folded", "identity", f"{both} }}]\n", max_batch_size=8)
    identity("FP32", ["b", 2, 2]).write_version(models, "onnx", 1)
    (models / "onnx" / "config.pbtxt").write_text(
        f'name: "onnx"\nbackend: "onnxruntime"\nmax_batch_size: 8\n{both} }}]\n{one_cpu()}'
    )
    server = new_server(models).start()
    with Connection(server) as connection:
        for model in ("folded", "onnx"):
            body = json_body({"inputs": [json_input("INPUT0", "FP32", [1, 4], [0, 1, 2, 3])]})
            answer = connection.call(infer_post(model, body)).json()
            assert answer["outputs"] == [{"name": "OUTPUT0", "datatype": "FP32", "shape": [1, 4], "data": [0, 1, 2, 3]}]
            if model == "folded":
                assert answer["parameters"] == {
                    "param0": "an example string parameter",
                    "param1": 42,
                    "param2": False,
                    "param3": 123.123,
                }


def test_identity_runs_batches(new_server: StartServer, models: Path) -> None:
    write_identity(models, "floats", max_batch_size=8, extra=DELAYED_BATCHING)
    server = new_server(models).start()
    row = {"inputs": [json_input("INPUT0", "FP32", [1, 4], [1, 1, 1, 1])]}
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection(server)) for _ in range(8)]
        for connection in connections:
            connection.send(infer_post("floats", json_body(row)))
        assert [connection.response().status for connection in connections] == [200] * 8
    assert batch_counts(settled(server, "floats", 8)) == {8: 1}


def test_configs_that_do_not_fit_a_backend_fail_with_its_words(new_server: StartServer, models: Path) -> None:
    write_native(
        models, "odd", "identity", tensors("input", INPUT0=("FP32", "1")) + tensors("output", OUT=("FP32", "1"))
    )
    write_square(models, "several", extra=parameter("CUSTOM_FAIL_COUNT", "x"))
    one = tensors("input", IN=("INT32", "1")) + tensors("output", OUT=("INT32", "1"))
    write_native(models, "once", "square", one)
    server = new_server(models, "--exit-on-error=false").start()
    assert server.get("/v2/models/several/ready")[0] == 200

    def reasons() -> dict[str, str]:
        with contextlib.closing(GrpcFace(server)) as face:
            index = face.ask("get_model_repository_index")["models"]
        return {each["name"]: each["reason"] for each in index if each["reason"]}

    # Frontends hear of the last one's a moment after the server has started.
    assert eventually(lambda: found if len(found := reasons()) > 1 else {}, "both have a reason") == {
        "odd": "Invalid argument: expected output name to follow OUTPUT<index> pattern, got 'OUT'",
        "once": "Invalid argument: square backend needs 'model_transaction_policy { decoupled: true }' in the config of "
        "model 'once'",
    }


def nice_of(server: Server, model: str) -> int:
    return os.getpriority(os.PRIO_PROCESS, server.worker_of(model).pid)


def test_a_model_of_low_priority_yields_to_others(new_server: StartServer, models: Path) -> None:
    for name, priority in (("low", "MIN"), ("normal", "DEFAULT"), ("high", "MAX")):
        write_identity(models, name, extra=f"optimization {{ priority: PRIORITY_{priority} }}\n")
    server = new_server(models).start()
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert (nice_of(server, "low"), nice_of(server, "normal")) == (19, own)
    refused = "model 'high': priority PRIORITY_MAX has no effect" in server.log()
    assert nice_of(server, "high") == (own if refused else max(own - 5, -20))
    config = json.loads(server.get("/v2/models/low/config")[1])
    assert config["optimization"]["priority"] == "PRIORITY_MIN"


def test_what_the_flags_say_to_a_backend_reaches_its_workers(new_server: StartServer, models: Path) -> None:
    identity("FP32", [-1]).write(models, "onnx", extra=one_cpu())
    write_identity(models, "native")
    said = ["enable-global-threadpool=1", "intra_op_thread_count=many"]
    flags = [f"--backend-config=onnxruntime,{each}" for each in said]
    server = new_server(models, "--exit-on-error=false", *flags).start()
    assert "parameter 'intra_op_thread_count' must be an integer, got 'many'" in server.log()
    assert server.get("/v2/models/native/ready")[0] == 200
