"""Flags of loading act as in Triton: how many models load at once, how often one is tried again, and what is ready meanwhile.

What is asserted here was seen of the genuine server, played with the same models and flags.
"""

import json
import threading
from pathlib import Path

import pytest

from tests.harness.fixtures import StartServer
from tests.harness.raw_http import Connection, post
from tests.harness.server import Server
from tests.harness.waiting import eventually

_DEADLINE_S = 60.0
_CONFIG = """
backend: "python"
input { name: "I" data_type: TYPE_FP32 dims: 1 }
output { name: "O" data_type: TYPE_FP32 dims: 1 }
instance_group { kind: KIND_CPU }
"""
#: Notes when it begins and ends to load, fails so many times first, and may wait for a file until it has loaded.
_MODEL = """
import os
import time

NOTES, GATE = {notes!r}, {gate!r}


def note(what):
    with open(NOTES, "a") as file:
        file.write(what + "\\n")
    with open(NOTES) as file:
        return file.read().split().count(what)


class TritonPythonModel:
    def initialize(self, args):
        number = note("begins")
        end_s = time.monotonic() + 60
        while GATE and not os.path.exists(GATE) and time.monotonic() < end_s:
            time.sleep(0.01)
        note("ends")
        if number <= {failures}:
            raise RuntimeError("failure on purpose")

    def execute(self, requests):
        return []
"""


class Repository:
    """Models that load as they are told, and what they noted of it."""

    def __init__(self, folder: Path) -> None:
        self.models = folder / "models"
        self.gate = folder / "gate"
        self.notes = folder / "notes"
        self.notes.touch()

    def write(self, name: str, *versions: int, failures: int = 0, waits: bool = False) -> None:
        text = _MODEL.format(notes=str(self.notes), gate=str(self.gate) if waits else "", failures=failures)
        for version in versions or (1,):
            (self.models / name / str(version)).mkdir(parents=True, exist_ok=True)
            (self.models / name / str(version) / "model.py").write_text(text)
        (self.models / name / "config.pbtxt").write_text(_CONFIG + "version_policy { all { } }")

    def count(self, what: str) -> int:
        return self.notes.read_text().split().count(what)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def states(server: Server) -> dict[tuple[str, str], tuple[str, str]]:
    with Connection(server) as connection:
        entries = json.loads(connection.call(post("/v2/repository/index", {})).body)
    return {
        (each["name"], each["version"]): (each["state"], each.get("reason", "")) for each in entries if "state" in each
    }


def control(server: Server, name: str, action: str) -> int:
    with Connection(server) as connection:
        return connection.call(post(f"/v2/repository/models/{name}/{action}", {})).status


def is_ready(server: Server) -> bool:
    return bool(server.get("/v2/health/ready")[0] == 200)


@pytest.mark.parametrize(
    ("flags", "at_once"), [(("--model-load-thread-count=1",), 1), (("--model-load-thread-count=2",), 2)]
)
def test_no_more_models_load_at_once_than_there_are_threads(
    flags: tuple[str, ...], at_once: int, new_server: StartServer, repository: Repository
) -> None:
    for name in ("a", "b", "c"):
        repository.write(name, waits=True)
    server = new_server(repository.models, *flags).launch()
    eventually(lambda: repository.count("begins") == at_once, "they load", _DEADLINE_S)
    repository.gate.touch()
    server.wait_started()
    events = repository.notes.read_text().split()
    loading = [sum(1 if each == "begins" else -1 for each in events[: index + 1]) for index in range(len(events))]
    assert (max(loading), repository.count("ends")) == (at_once, 3)


def test_a_model_that_fails_is_tried_again_as_often_as_asked_at_start_and_later(
    new_server: StartServer, repository: Repository
) -> None:
    repository.write("m", failures=2)
    server = new_server(repository.models, "--model-load-retry-count=2", "--model-control-mode=explicit").start()
    assert control(server, "m", "load") == 200
    assert (repository.count("begins"), is_ready(server)) == (3, True)


def test_one_that_keeps_failing_is_given_up_and_says_why(new_server: StartServer, repository: Repository) -> None:
    repository.write("m", failures=99)
    server = new_server(repository.models, "--model-load-retry-count=1", "--exit-on-error=false").start()
    assert repository.count("begins") == 2
    state, reason = states(server)["m", "1"]
    assert state == "UNAVAILABLE"
    assert reason.startswith("Internal: RuntimeError: failure on purpose")
    assert not is_ready(server)


def test_every_version_is_tried_again_by_itself(new_server: StartServer, repository: Repository) -> None:
    repository.write("m", 1, 2, failures=3)
    server = new_server(repository.models, "--model-load-retry-count=2").start()
    assert (repository.count("begins"), is_ready(server)) == (5, True)


def test_a_server_that_is_not_strict_is_ready_whatever_its_models_are(
    new_server: StartServer, repository: Repository
) -> None:
    repository.write("m", failures=99)
    server = new_server(repository.models, "--strict-readiness=false", "--exit-on-error=false").start()
    assert is_ready(server)
    assert server.get("/v2/models/m/ready")[0] == 400


def test_a_load_of_what_does_not_serve_makes_the_server_unready_and_one_of_what_does_not(
    new_server: StartServer, repository: Repository
) -> None:
    repository.write("m", waits=True)
    server = new_server(repository.models, "--model-control-mode=explicit").start()
    assert is_ready(server)
    assert control(server, "nobody", "load") == 500
    assert is_ready(server)
    for loads, ready in ((1, False), (2, True)):
        loading = threading.Thread(target=control, args=(server, "m", "load"))
        loading.start()
        try:
            eventually(lambda loads=loads: repository.count("begins") == loads, "it loads", _DEADLINE_S)  # type: ignore[misc]
            eventually(lambda ready=ready: is_ready(server) is ready, f"ready is {ready}")  # type: ignore[misc]
        finally:
            repository.gate.touch()
            loading.join(_DEADLINE_S)
        assert is_ready(server)
        repository.gate.unlink()
        (repository.models / "m" / "1" / "other.py").touch()


def test_what_never_served_goes_on_telling_why_when_it_has_been_unloaded(
    new_server: StartServer, repository: Repository
) -> None:
    repository.write("m", failures=99)
    server = new_server(repository.models, "--model-control-mode=explicit").start()
    assert control(server, "m", "load") == 400
    before = states(server)
    assert control(server, "m", "unload") == 200
    assert states(server) == before
    assert before["m", "1"][1].startswith("Internal: RuntimeError")
    assert not is_ready(server)
