"""Models come, change and go while requests flow: nothing fails, nothing is lost, and what is gone gives its memory back."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper

from tests.harness.fixtures import StartServer
from tests.harness.models import Model, Tensor, identity, slow
from tests.harness.observing import wait_pool_empty
from tests.harness.processes import computing, pss_bytes
from tests.harness.raw_http import Connection, Response, binary_body, infer_post, post
from tests.harness.repository import one_cpu
from tests.harness.scrape import scrape
from tests.harness.server import Server
from tests.harness.traffic import Chatter, GrpcChatter, slow_call
from tests.harness.waiting import eventually

_JSON = {"Content-Type": "application/json"}
_RELOADS = 12
_WARM_RELOADS = 3
#: A hundred of them take some minutes; `TIS_TEST_RELOADS=100` has them all.
_MANY_RELOADS = int(os.environ.get("TIS_TEST_RELOADS", "12"))
_GROWTH_BYTES = 24 << 20


def control(server: Server, path: str, body: object = None) -> Response:
    """A call of the repository API."""
    data = json.dumps(body).encode() if body is not None else b""
    with Connection(server) as connection:
        return connection.call(post(f"/v2/repository/{path}", {**_JSON, "Content-Length": str(len(data))}, data))


def states(server: Server) -> dict[tuple[str, str], tuple[str, str]]:
    """State and reason by name and version, as the index lists them."""
    entries = control(server, "index", {}).json()
    return {
        (each["name"], each.get("version", "")): (each.get("state", ""), each.get("reason", "")) for each in entries
    }


def write_echo(folder: Path, name: str = "echo", version: int = 1) -> None:
    identity("FP32", [-1]).write(folder, name, version=version, extra=one_cpu())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_echo(tmp_path / "models")
    return tmp_path / "models"


@pytest.fixture
def server(new_server: StartServer, folder: Path) -> Server:
    return new_server(folder, "--model-control-mode=explicit", "--load-model=echo").start()


def test_no_request_fails_while_its_model_is_loaded_anew_again_and_again(server: Server, folder: Path) -> None:
    with Chatter(server) as one, Chatter(server) as other:
        for _ in range(_RELOADS):
            (folder / "echo" / "1" / "model.onnx").touch()
            assert control(server, "models/echo/load").status == 200
            one.wait_right(3)
            other.wait_right(3)
    assert set(one.outcomes) | set(other.outcomes) == {200}
    # The processes of loads before are gone.
    eventually(lambda: len(server.workers()) == 1, "one worker is left")
    wait_pool_empty(server)


@pytest.mark.long
@pytest.mark.parametrize(
    "flags",
    [("--model-control-mode=explicit", "--load-model=echo"), ("--model-control-mode=poll", "--repository-poll-secs=1")],
    ids=["explicit", "poll"],
)
def test_many_reloads_under_load_fail_no_request_and_leave_no_memory_behind(
    new_server: StartServer, folder: Path, flags: tuple[str, str]
) -> None:
    server = new_server(folder, *flags).start()
    is_followed = "poll" in flags[0]

    def load_anew() -> None:
        before = server.workers()[-1]
        (folder / "echo" / "1" / "model.onnx").touch()
        if not is_followed:
            assert control(server, "models/echo/load").status == 200
        eventually(
            lambda: (left := server.workers()) and before not in left and len(left) == 1, "it is loaded anew", 60.0
        )

    with Chatter(server) as over_http, GrpcChatter(server) as over_grpc, Chatter(server) as again:
        for _ in range(_WARM_RELOADS):
            load_anew()
        before_bytes = pss_bytes(server.processes())
        for _ in range(_MANY_RELOADS):
            load_anew()
            over_http.wait_right(2)
            over_grpc.wait_right(2)
        after_bytes = pss_bytes(server.processes())
    assert set(over_http.outcomes) | set(over_grpc.outcomes) | set(again.outcomes) == {200}
    assert after_bytes - before_bytes < _GROWTH_BYTES
    server.wait_ready()
    wait_pool_empty(server)


def test_a_load_of_what_has_not_changed_does_nothing(server: Server) -> None:
    [worker] = server.workers()
    assert control(server, "models/echo/load").status == 200
    assert server.workers() == [worker]


def test_a_newer_version_takes_over_and_the_older_one_goes(server: Server, folder: Path) -> None:
    write_echo(folder, version=2)
    with Chatter(server) as chatter:
        assert control(server, "models/echo/load").status == 200
        chatter.wait_right(3)
    assert set(chatter.outcomes) == {200}
    eventually(
        lambda: states(server) == {("echo", "1"): ("UNAVAILABLE", "unloaded"), ("echo", "2"): ("READY", "")},
        "version 2 has taken over",
    )
    with Connection(server) as connection:
        body = binary_body({"INPUT0": np.array([1], np.float32)})
        answer = connection.call(infer_post("echo", body))
        assert json.loads(answer.body[: int(answer.headers["inference-header-content-length"])])["model_version"] == "2"


def test_a_reload_that_fails_leaves_what_served_before(server: Server, folder: Path) -> None:
    (folder / "echo" / "1" / "model.onnx").write_bytes(b"no model")
    with Chatter(server) as chatter:
        answer = control(server, "models/echo/load")
        assert answer.status == 400
        assert answer.error.startswith("load failed for model 'echo': version 1 is at UNAVAILABLE state: Internal: ")
        chatter.wait_right(3)
    assert set(chatter.outcomes) == {200}
    assert states(server)[("echo", "1")] == ("READY", "")


def test_what_is_in_flight_when_a_model_is_unloaded_is_finished(new_server: StartServer, tmp_path: Path) -> None:
    slow().write(tmp_path / "models", "slow", max_batch_size=4, extra=one_cpu())
    flags = ("--model-control-mode=explicit", "--load-model=slow", "--metrics-port=0")
    server = new_server(tmp_path / "models", *flags).start()
    with Connection(server) as connection, Connection(server) as waiting:
        with computing(server.worker_of("slow")):
            connection.send(slow_call(3000))
        waiting.send(slow_call(10))
        eventually(lambda: scrape(server).value("nv_inference_pending_request_count", model="slow"), "one waits")
        eventually(lambda: "UNLOADING" in str(states(server)) or _unload(server), "it is being unloaded")
        with Connection(server) as late:
            refused = late.call(slow_call(1))
            assert refused.status == 404
            assert refused.error == "Request for unknown model: 'slow' has no available versions"
        assert connection.response().status == 200
        assert waiting.response().status == 200
    eventually(lambda: states(server)[("slow", "1")] == ("UNAVAILABLE", "unloaded"), "it is unloaded")
    eventually(lambda: not server.workers(), "its worker is gone")


def _unload(server: Server) -> bool:
    assert control(server, "models/slow/unload").status == 200
    return False


def test_a_model_that_is_unloaded_and_loaded_again_serves_again(server: Server) -> None:
    for _ in range(3):
        assert control(server, "models/echo/unload").status == 200
        assert states(server)[("echo", "1")] == ("UNAVAILABLE", "unloaded")
        assert control(server, "models/echo/load").status == 200
        with Chatter(server) as chatter:
            chatter.wait_right(2)
        assert set(chatter.outcomes) == {200}


def test_an_unload_gives_back_the_memory_of_model_and_tensors(server: Server, folder: Path) -> None:
    elements = 8 << 20
    tensors = [Tensor(name, "FP32", (elements,)) for name in ("INPUT0", "OUTPUT0")]
    weights = numpy_helper.from_array(np.random.default_rng(1).random(elements, np.float32), "W")
    adds = helper.make_node("Add", ["INPUT0", "W"], ["OUTPUT0"])
    Model((tensors[0],), (tensors[1],), (adds,), (weights,)).write(folder, "large", extra=one_cpu())
    body = infer_post("large", binary_body({"INPUT0": np.zeros(elements, np.float32)}))
    after = []
    for _ in range(3):
        assert control(server, "models/large/load").status == 200
        with Connection(server) as connection:
            assert connection.call(body).status == 200
        loaded_bytes = pss_bytes(server.processes())
        assert control(server, "models/large/unload").status == 200
        eventually(lambda: len(server.workers()) == 1, "its worker is gone")
        wait_pool_empty(server)
        after.append(pss_bytes(server.processes()))
        # Weights, and the answer in the worker's part of the pool.
        assert loaded_bytes - after[-1] > 2 * 4 * elements * 0.9
    # The frontend keeps the pages of the request's tensors for the next one.
    assert after[-1] - after[0] < 8 << 20


# ---- unloading first ---------------------------------------------------------------------------------------------------

_UNLOADS_FIRST = one_cpu() + 'parameters { key: "tis.reload" value { string_value: "unload_first" } }\n'


@pytest.fixture
def tight(new_server: StartServer, tmp_path: Path) -> Server:
    identity("FP32", [-1]).write(tmp_path / "models", "echo", extra=_UNLOADS_FIRST)
    return new_server(tmp_path / "models", "--model-control-mode=explicit", "--load-model=echo").start()


def test_a_model_may_ask_to_be_gone_before_it_is_loaded_anew(tight: Server, tmp_path: Path) -> None:
    [before] = tight.workers()
    most = 0
    with Chatter(tight) as chatter:
        (tmp_path / "models" / "echo" / "1" / "model.onnx").touch()
        with Connection(tight) as connection:
            connection.send(post("/v2/repository/models/echo/load", {"Content-Length": "0"}))
            alive = tight.workers()
            while before in alive:
                most = max(most, len(alive))
                alive = tight.workers()
            most = max(most, len(alive))
            assert connection.response().status == 200
        chatter.wait_right(3)
    [after] = tight.workers()
    assert after != before
    assert most == 1, "never two at once"
    assert set(chatter.outcomes) <= {200, 503}
    assert chatter.outcomes[503] > 0


def test_requests_are_told_to_come_again_while_a_model_is_away_to_be_loaded_anew(tight: Server, tmp_path: Path) -> None:
    (tmp_path / "models" / "echo" / "1" / "model.onnx").touch()
    body = infer_post("echo", binary_body({"INPUT0": np.array([1], np.float32)}))
    refused = []
    with Connection(tight) as loading, Connection(tight) as asking:
        loading.send(post("/v2/repository/models/echo/load", {"Content-Length": "0"}))

        def is_refused() -> bool:
            answer = asking.call(body)
            refused.append((answer.status, answer.error if answer.status != 200 else ""))
            return answer.status != 200

        eventually(is_refused, "a request is refused")
        assert loading.response().status == 200
        assert asking.call(body).status == 200
    text = "Request for unknown model: 'echo' version 1 is not at ready state"
    assert refused[-1][0] == 503
    assert refused[-1][1].endswith(text)


def test_where_what_comes_after_it_fails_a_model_that_went_first_is_away_and_comes_again_when_mended(
    tight: Server, tmp_path: Path
) -> None:
    model = tmp_path / "models" / "echo" / "1" / "model.onnx"
    content = model.read_bytes()
    model.write_bytes(b"no model")
    answer = control(tight, "models/echo/load")
    assert answer.status == 400
    assert states(tight)[("echo", "1")][0] == "UNAVAILABLE"
    assert "'echo' is not served: what served before had to go first" in tight.log()
    model.write_bytes(content)
    assert control(tight, "models/echo/load").status == 200
    with Chatter(tight) as chatter:
        chatter.wait_right(2)
    assert set(chatter.outcomes) == {200}


def test_a_config_that_cannot_be_read_unloads_nothing_first(tight: Server, tmp_path: Path) -> None:
    config = tmp_path / "models" / "echo" / "config.pbtxt"
    config.write_text(config.read_text() + "no_such_field: 1\n")
    with Chatter(tight) as chatter:
        assert control(tight, "models/echo/load").status == 500
        chatter.wait_right(2)
    assert set(chatter.outcomes) == {200}
