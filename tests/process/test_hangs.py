"""A process hangs, loads for ever or runs for too long: its stacks are in the log, it is killed, and the service goes on."""

import re
import signal
import time
from pathlib import Path

import pytest

from tests.harness.fixtures import StartServer
from tests.harness.models import identity, slow
from tests.harness.observing import wait_pool_empty
from tests.harness.processes import successor
from tests.harness.raw_http import Connection, Response, post
from tests.harness.repository import one_cpu
from tests.harness.server import Server
from tests.harness.traffic import Chatter, echo_call, is_echo, slow_call
from tests.harness.troubled_models import loops_in_execute, loops_in_initialize
from tests.harness.waiting import eventually
from tis.supervisor.service import SILENCE_S

#: Silence, the wait for the stacks, and room for a machine that is busy.
_HANG_DEADLINE_S = SILENCE_S + 15.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    identity("FP32", [-1]).write(tmp_path / "models", "echo", extra=one_cpu())
    return tmp_path / "models"


def index(server: Server) -> dict[str, tuple[str, str]]:
    """State and reason of each model."""
    with Connection(server) as connection:
        entries = connection.call(post("/v2/repository/index", {"Content-Length": "2"}, b"{}")).json()
    return {each["name"]: (each.get("state", ""), each.get("reason", "")) for each in entries}


def load(server: Server, model: str) -> Response:
    with Connection(server) as connection:
        return connection.call(post(f"/v2/repository/models/{model}/load", {"Content-Length": "0"}, b""))


# ---- processes that do not answer ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["scheduler", "frontend", "worker"])
def test_a_process_that_is_stopped_is_killed_and_replaced(new_server: StartServer, folder: Path, victim: str) -> None:
    server = new_server(folder).start()
    server.wait_ready()
    look = {"scheduler": lambda: [server.scheduler()], "frontend": server.frontends, "worker": server.workers}[victim]
    (process,) = look()
    process.kill(signal.SIGSTOP)
    server.wait_for_log(
        rf"\(pid {process.pid}\) is to be killed: no sign of life for 10 s; the stacks of its threads:",
        _HANG_DEADLINE_S,
    )
    server.wait_for_log(rf"\(pid {process.pid}\) was killed: no sign of life for 10 s")
    successor(look, process)
    server.wait_ready()
    with Connection(server) as connection:
        assert is_echo(connection.call(echo_call(1)), 1)
    wait_pool_empty(server)


@pytest.mark.slow
def test_a_worker_that_is_stopped_while_it_runs_a_batch_is_killed_and_its_request_fails(
    new_server: StartServer, folder: Path
) -> None:
    slow().write(folder, "slow", max_batch_size=4, extra=one_cpu())
    server = new_server(folder).start()
    worker = server.worker_of("slow")
    with Connection(server) as connection, Chatter(server) as chatter:
        connection.send(slow_call(3000))
        worker.kill(signal.SIGSTOP)
        server.wait_for_log(rf"\(pid {worker.pid}\) was killed: it has been stopped", _HANG_DEADLINE_S + 10)
        answer = connection.response()
        assert answer.status == 503
        assert "was killed: it has been stopped (SIGSTOP)" in answer.error
    assert set(chatter.outcomes) == {200}, chatter.outcomes


@pytest.mark.slow
def test_a_long_execution_is_no_hang(new_server: StartServer, folder: Path) -> None:
    model = loops_in_execute().write(folder, "long")
    server = new_server(folder).start()
    worker = server.worker_of("long")
    with Connection(server) as connection:
        connection.send(echo_call(-1, "long"))
        end_s = time.monotonic() + SILENCE_S + 4.0
        eventually(lambda: time.monotonic() > end_s, "it has run for longer than anybody may be silent")
        (model / "go").touch()
        assert is_echo(connection.response(), -1)
    assert server.worker_of("long") == worker
    assert "is to be killed" not in server.log()


# ---- limits ----------------------------------------------------------------------------------------------------------


def test_a_batch_beyond_its_limit_fails_with_the_limit_and_its_stack_is_in_the_log(
    new_server: StartServer, folder: Path
) -> None:
    loops_in_execute(execution_limit_s=2).write(folder, "loops")
    server = new_server(folder).start()
    with Chatter(server) as chatter:
        for _ in range(2):
            with Connection(server) as connection:
                answer = connection.call(echo_call(-1, "loops"))
                assert answer.status == 503
                assert answer.error.endswith(
                    "the instance of model 'loops' that ran this request has died (was killed: a batch ran longer than 2 s "
                    "(tis.execution_limit_s)); try again"
                )
                assert is_echo(connection.call(echo_call(1, "loops")), 1), "it is started again"
    assert set(chatter.outcomes) == {200}, chatter.outcomes
    assert "loops_0_0" in server.log()
    assert re.search(r'\[loops_0_0\]   File ".*model.py", line \d+ in answer', server.log())
    server.wait_ready()
    wait_pool_empty(server)


def test_a_load_beyond_its_limit_fails_with_the_limit_and_its_stack_is_in_the_log(
    new_server: StartServer, folder: Path
) -> None:
    model = loops_in_initialize(load_limit_s=3).write(folder, "never")
    server = new_server(folder, "--model-control-mode=explicit", "--load-model=echo").start()
    with Chatter(server) as chatter:
        answer = load(server, "never")
    assert answer.status == 400
    reason = (
        "Internal: the process that loaded model 'never' was killed: it was not ready within 3 s (tis.load_limit_s)"
    )
    assert answer.error == f"load failed for model 'never': version 1 is at UNAVAILABLE state: {reason};\n"
    assert index(server)["never"] == ("UNAVAILABLE", reason)
    assert set(chatter.outcomes) == {200}, chatter.outcomes
    assert re.search(r'\[never_0_0\]   File ".*model.py", line \d+ in initialize', server.log())
    eventually(lambda: len(server.workers()) == 1, "its process is gone")
    (model / "go").touch()
    assert load(server, "never").status == 200


def test_the_servers_own_limit_of_loading_holds_where_the_model_has_none(new_server: StartServer, folder: Path) -> None:
    loops_in_initialize().write(folder, "never")
    server = new_server(folder, "--model-load-timeout-secs=5").launch()
    assert server.wait_ended() == 1
    assert "was killed: it was not ready within 5 s (--model-load-timeout-secs)" in server.log()


# ---- readiness -------------------------------------------------------------------------------------------------------


def test_a_model_without_an_instance_is_not_ready_and_is_again_when_one_is_back(
    new_server: StartServer, folder: Path
) -> None:
    model = loops_in_initialize().write(folder, "held")
    (model / "go").touch()
    server = new_server(folder).start()
    assert server.get("/v2/models/held/ready")[0] == 200
    (model / "go").unlink()
    server.kill(server.worker_of("held"))
    eventually(lambda: server.get("/v2/models/held/ready")[0] == 400, "the model says that it is not ready")
    assert server.get("/v2/models/held/versions/1/ready")[0] == 400
    assert server.get("/v2/models/echo/ready")[0] == 200
    assert index(server)["held"] == (
        "READY",
        "no instance is up, the last one was killed by SIGKILL; the machine may be out of memory; it is started again",
    )
    with Connection(server) as connection:
        connection.send(echo_call(3, "held"))
        (model / "go").touch()
        assert is_echo(connection.response(), 3), "what came meanwhile is answered"
    eventually(lambda: server.get("/v2/models/held/ready")[0] == 200, "the model says that it is ready")
    assert index(server)["held"] == ("READY", "")
