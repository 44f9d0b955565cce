"""The models of an ensemble's steps die, fail to load and come back: the ensemble follows them."""

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest

from tests.harness.ensembles import Ensemble, Step
from tests.harness.faces import Call, HttpFace
from tests.harness.fixtures import StartServer
from tests.harness.models import identity, slow
from tests.harness.observing import wait_pool_empty
from tests.harness.pace import rounds
from tests.harness.processes import computing, successor
from tests.harness.raw_http import Connection, binary_body, infer_post
from tests.harness.repository import one_cpu
from tests.harness.server import Server
from tests.harness.waiting import eventually

_INDEX = ("INT64", "1")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    identity("INT64", ["b", 1]).write(folder, "first", max_batch_size=4, extra=one_cpu())
    slow().write(folder, "slow", max_batch_size=4, extra=one_cpu())
    identity("INT64", ["b", 1]).write(folder, "beside", max_batch_size=4, extra=one_cpu())
    steps = (
        Step("first", {"INPUT0": "I"}, {"OUTPUT0": "t"}),
        Step("slow", {"ROUNDS": "t"}, {"ECHO": "u"}),
        Step("beside", {"INPUT0": "u"}, {"OUTPUT0": "O"}),
    )
    Ensemble({"I": _INDEX}, {"O": _INDEX}, steps, 4).write(folder, "chain")
    around = (Step("chain", {"I": "I"}, {"O": "O"}),)
    Ensemble({"I": _INDEX}, {"O": _INDEX}, around, 4).write(folder, "around")
    return folder


def asked(model: str, milliseconds: float = 0) -> bytes:
    return infer_post(model, binary_body({"I": np.array([[rounds(milliseconds)]], np.int64)}))


def index(server: Server) -> dict[str, dict[str, str]]:
    with Connection(server) as connection:
        answer = connection.call(b"POST /v2/repository/index HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
    return {entry["name"]: entry for entry in json.loads(answer.body)}


@pytest.mark.parametrize("model", ["chain", "around"])
def test_the_worker_of_a_step_in_the_middle_is_killed(new_server: StartServer, repository: Path, model: str) -> None:
    server = new_server(repository).start()
    worker = server.worker_of("slow")
    with Connection(server) as connection:
        with computing(worker):
            connection.send(asked(model, 2000))
        worker.kill()
        answer = connection.response()
        assert answer.status == 503
        prefix = "in ensemble 'around', in ensemble 'chain', " if model == "around" else "in ensemble 'chain', "
        expected = f"{prefix}[request id: <id_unknown>] the instance of model 'slow' that ran this request has died"
        assert answer.error.startswith(expected)
        successor(lambda: [server.worker_of("slow")], worker)
        assert connection.call(asked(model)).status == 200
    wait_pool_empty(server)


def test_a_worker_dies_whose_answer_a_later_step_reads(new_server: StartServer, repository: Path) -> None:
    server = new_server(repository).start()
    with Connection(server) as connection:
        with computing(server.worker_of("slow")):
            connection.send(asked("chain", 1500))
        # Its block is being read; the range of the pool that it lies in must stay until then.
        server.kill(server.worker_of("first"))
        assert connection.response().status == 200
    wait_pool_empty(server)


def test_the_worker_of_the_only_frontends_ensemble_goes_on_while_others_die(
    new_server: StartServer, repository: Path
) -> None:
    server = new_server(repository).start()
    with Connection(server) as connection:
        with computing(server.worker_of("slow")):
            connection.send(asked("chain", 1500))
        server.kill(server.frontends()[0])
    server.wait_ready()
    wait_pool_empty(server)
    with contextlib.closing(HttpFace(server)) as face:
        assert face.infer(Call("chain", {"I": np.array([[1]])})).outputs["O"] == 1


def test_an_ensemble_whose_step_keeps_dying_is_unavailable_with_the_reason(
    new_server: StartServer, repository: Path
) -> None:
    server = new_server(repository).start()
    for deaths in range(1, 8):
        worker = server.worker_of("slow")
        server.kill(worker)
        if deaths < 7:
            successor(lambda: [server.worker_of("slow")], worker)
    server.wait_for_log("failed to load 'around' version 1")
    # The frontends are told after it is logged.
    eventually(
        lambda: {index(server)[name]["state"] for name in ("slow", "chain", "around")} == {"UNAVAILABLE"},
        "all three are unavailable",
    )
    entries = index(server)
    reason = (
        "Invalid argument: ensemble 'chain' depends on 'slow' which has no loaded version. Model 'slow' loading failed"
    )
    assert entries["chain"]["reason"].startswith(reason)
    assert "ensemble 'around' depends on 'chain' which has no loaded version" in entries["around"]["reason"]
    with Connection(server) as connection:
        assert "has no available versions" in connection.call(asked("around")).error
    assert server.get("/v2/models/chain/ready")[0] == 400


def test_a_server_whose_ensemble_cannot_be_loaded_does_not_start(new_server: StartServer, repository: Path) -> None:
    (repository / "slow" / "1" / "model.onnx").write_bytes(b"no model")
    server = new_server(repository).launch()
    assert server.wait_ended() == 1
    assert "ensemble 'chain' depends on 'slow' which has no loaded version. Model 'slow' loading failed" in server.log()
    assert "ensemble 'around' depends on 'chain' which is not valid. Model 'chain' failed with error:" in server.log()


def test_or_starts_without_it_where_the_operator_wants_that(new_server: StartServer, repository: Path) -> None:
    (repository / "slow" / "1" / "model.onnx").write_bytes(b"no model")
    server = new_server(repository, "--exit-on-error=false").start()
    assert index(server)["chain"] == {"name": "chain"}
    assert server.get("/v2/health/ready")[0] == 400
    with Connection(server) as connection:
        answer = connection.call(asked("around"))
        assert (answer.status, answer.error) == (404, "Request for unknown model: 'around' is not found")
