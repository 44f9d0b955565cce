"""Poll mode: what is put into the repositories, changed there or taken away is followed, and nothing is loaded half."""

import shutil
from pathlib import Path

import pytest

from tests.harness.fixtures import StartServer
from tests.harness.models import identity
from tests.harness.raw_http import Connection, post
from tests.harness.repository import one_cpu
from tests.harness.server import Server
from tests.harness.traffic import Chatter
from tests.harness.waiting import eventually
from tests.process.test_reloads import states, write_echo

_DEADLINE_S = 30.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_echo(tmp_path / "models")
    return tmp_path / "models"


@pytest.fixture
def server(new_server: StartServer, folder: Path) -> Server:
    return new_server(folder, "--model-control-mode=poll", "--repository-poll-secs=1").start()


def becomes(server: Server, name: str, state: str, version: str = "1") -> None:
    eventually(lambda: states(server).get((name, version), ("", ""))[0] == state, f"{name} is {state}", _DEADLINE_S)


def test_a_model_that_is_put_there_is_loaded_and_one_that_is_taken_away_is_gone(server: Server, folder: Path) -> None:
    write_echo(folder.parent, "new")
    (folder.parent / "new").rename(folder / "new")
    becomes(server, "new", "READY")
    with Chatter(server, "new") as chatter:
        chatter.wait_right(2)
    shutil.rmtree(folder / "new")
    eventually(lambda: not any(name == "new" for name, _ in states(server)), "it is gone", _DEADLINE_S)
    assert states(server)[("echo", "1")] == ("READY", "")
    eventually(lambda: len(server.workers()) == 1, "its worker is gone")


def test_a_change_is_taken_over_without_a_request_failing(server: Server, folder: Path) -> None:
    [before] = server.workers()
    with Chatter(server) as chatter:
        (folder / "echo" / "1" / "model.onnx").touch()
        eventually(lambda: server.workers() and before not in server.workers(), "another worker serves", _DEADLINE_S)
        chatter.wait_right(3)
    assert set(chatter.outcomes) == {200}


def test_a_broken_change_leaves_what_served_and_the_server_ready_and_others_are_followed(
    server: Server, folder: Path
) -> None:
    config = folder / "echo" / "config.pbtxt"
    config.write_text(config.read_text() + "\nno_such_field: 1\n")
    write_echo(folder.parent, "other")
    (folder.parent / "other").rename(folder / "other")
    becomes(server, "other", "READY")
    eventually(lambda: "no_such_field" in server.log(), "the broken config is told of", _DEADLINE_S)
    assert states(server)[("echo", "1")] == ("READY", "")
    with Connection(server) as connection:
        assert connection.call(b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\n\r\n").status == 200
    with Chatter(server) as chatter:
        chatter.wait_right(2)


def test_files_that_interpreters_and_editors_leave_change_nothing(server: Server, folder: Path) -> None:
    [before] = server.workers()
    (folder / "echo" / "1" / "__pycache__").mkdir()
    (folder / "echo" / "1" / "__pycache__" / "model.pyc").write_bytes(b"x")
    (folder / "echo" / "config.pbtxt~").write_text("x")
    # What comes after it in time has been seen: so has this.
    write_echo(folder.parent, "later")
    (folder.parent / "later").rename(folder / "later")
    becomes(server, "later", "READY")
    assert before in server.workers()


def test_the_api_refuses_by_mode(server: Server) -> None:
    with Connection(server) as connection:
        answer = connection.call(post("/v2/repository/models/echo/load", {"Content-Length": "0"}))
    assert answer.status == 503
    assert answer.error == "explicit model load / unload is not allowed if polling is enabled"


def test_a_copy_in_progress_is_not_loaded_half(server: Server, folder: Path) -> None:
    identity("FP32", [-1]).write(folder.parent, "whole", extra=one_cpu())
    content = (folder.parent / "whole" / "1" / "model.onnx").read_bytes()
    (folder / "slow" / "1").mkdir(parents=True)
    config = (folder.parent / "whole" / "config.pbtxt").read_text().replace('"whole"', '"slow"')
    (folder / "slow" / "config.pbtxt").write_text(config)
    half = len(content) // 2
    with (folder / "slow" / "1" / "model.onnx").open("wb") as file:
        file.write(content[:half])
        file.flush()
        file.write(content[half:])
    becomes(server, "slow", "READY")
    assert "failed to load 'slow'" not in server.log()
