"""Models that run in a Python of their own: directories, archives, requirements, other versions; Python-based backends."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness import environments
from tests.harness.environments import need_packages, other_python, packed, parameters, virtual_environment, write
from tests.harness.faces import Call, HttpFace
from tests.harness.fixtures import StartServer
from tests.harness.server import Server
from tests.harness.waiting import eventually

pytestmark = pytest.mark.long

BUILD_DEADLINE_S = 240.0


def index(server: Server) -> dict[str, dict[str, Any]]:
    face = HttpFace(server)
    try:
        return {each["name"]: each for each in face.ask("get_model_repository_index")}
    finally:
        face.close()


def told(server: Server, model: str, module: str = "of_environment") -> dict[str, Any]:
    """What a model says of the Python that it runs in."""
    assert index(server)[model]["state"] == "READY", index(server)[model].get("reason")
    face = HttpFace(server)
    try:
        answer = face.infer(Call(model, {"MODULE": np.array([module.encode()], object)}))
        said: dict[str, Any] = json.loads(answer.outputs["TOLD"].ravel()[0])
        return said
    finally:
        face.close()


def settled(server: Server) -> None:
    """No model loads any more."""

    def look() -> bool:
        return not any(each.get("state") == "LOADING" for each in index(server).values())

    eventually(look, f"all have settled\n{server.log()}", BUILD_DEADLINE_S)


# ---- directories, archives and backends, which need nothing from elsewhere ----------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("environments")
    environment = virtual_environment(folder / "env", "ours")
    archive = packed(virtual_environment(folder / "other", "packed"), folder / "env.tar.gz")
    models = folder / "models"
    write(models, "own", "")
    write(models, "directory", parameters(EXECUTION_ENV_PATH=environment))
    for name in ("archive", "same_archive"):
        write(models, name, parameters(EXECUTION_ENV_PATH=archive))
    path = write(models, "beside", parameters(EXECUTION_ENV_PATH="$$TRITON_MODEL_DIRECTORY/env"))
    (path / "env").symlink_to(environment)
    write(models, "named", parameters(tis__python=environment / "bin" / "python"))
    write(models, "gone", parameters(EXECUTION_ENV_PATH="/nowhere/env.tar.gz"))
    write(models, "empty", parameters(EXECUTION_ENV_PATH=folder))
    write(models, "two", parameters(EXECUTION_ENV_PATH=environment, tis__python="/usr/bin/python3"))
    backends = folder / "backends"
    for name in ("mine", "with_archive"):
        (backends / name).mkdir(parents=True)
        (backends / name / "model.py").write_text(environments.TELLS.source)
        path = write(models, f"of_{name}", "")
        (path / "1" / "model.py").unlink()
        (path / "config.pbtxt").write_text(f'backend: "{name}"\ninstance_group {{ kind: KIND_CPU }}\n')
    (backends / "with_archive" / "pb_exec_env_model.py.tar.gz").symlink_to(archive)
    path = write(models, "of_nobody", "")
    (path / "config.pbtxt").write_text('backend: "nobody"\n')
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    flags = (f"--backend-directory={folder}/backends", f"--environment-directory={folder}/cache")
    served = Server(folder / "models", *flags, "--exit-on-error=false", "--log-verbose=1", log=folder / "log")
    try:
        served.start()
        settled(served)
        yield served
        assert served.stop() == 0
    finally:
        served.close()


def test_a_model_that_asks_for_nothing_runs_in_the_servers_python(server: Server) -> None:
    said = told(server, "own")
    assert (said["prefix"], said["module"]) == (sys.prefix, "ModuleNotFoundError")


@pytest.mark.parametrize("model", ["directory", "beside", "named"])
def test_a_directory_is_the_environment_of_a_model(server: Server, folder: Path, model: str) -> None:
    said = told(server, model)
    assert (said["prefix"], said["module"]) == (str(folder / "env"), "ours")
    if model != "named":
        assert said["environment"]["VIRTUAL_ENV"] == str(folder / "env")
        assert said["environment"]["PATH"].startswith(f"{folder}/env/bin:")


@pytest.mark.parametrize("package", ["msgspec", "google.protobuf", "pytest"])
def test_a_model_sees_no_package_of_the_server_but_what_its_worker_runs_on(server: Server, package: str) -> None:
    there = {"msgspec": "there"}
    assert told(server, "directory", package)["module"] == there.get(package, "ModuleNotFoundError")


def test_an_archive_is_unpacked_once_for_all_models_and_made_at_home(server: Server, folder: Path) -> None:
    said = told(server, "archive")
    assert said["module"] == "packed"
    assert said["environment"]["OF_ARCHIVE"] == "1"
    home = Path(said["prefix"])
    assert home.parent == folder / "cache"
    assert (home / "unpacked").exists()
    assert told(server, "same_archive")["prefix"] == said["prefix"]
    # The third is that of a backend, which has it by another name, and that name is a link.
    assert server.log().count("its Python environment: unpacking") == 1


def test_the_file_of_a_python_based_backend_serves_all_its_models(server: Server, folder: Path) -> None:
    said = told(server, "of_mine")
    assert said["file"] == str(folder / "backends" / "mine" / "model.py")
    assert said["dir"] == str(folder / "models" / "of_mine" / "1")
    assert (said["name"], said["runtime"], said["prefix"]) == ("model", "model.py", sys.prefix)


def test_an_archive_beside_the_file_of_a_backend_is_the_environment_of_its_models(server: Server, folder: Path) -> None:
    said = told(server, "of_with_archive")
    archive = f"{folder}/backends/with_archive/pb_exec_env_model.py.tar.gz"
    assert said["parameters"] == {"EXECUTION_ENV_PATH": {"string_value": archive}}
    assert (said["module"], Path(said["prefix"]).parent) == ("packed", folder / "cache")


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("gone", "Internal: Failed to get the canonical path for /nowhere/env.tar.gz."),
        (
            "empty",
            "Internal: Path {}/bin/activate does not exist. The Python environment should contain an 'activate' script.",
        ),
        ("two", "Invalid argument: model 'two' has both 'EXECUTION_ENV_PATH' and 'tis.python' in its parameters"),
        (
            "of_nobody",
            "Invalid argument: unable to find backend library for backend 'nobody', try specifying runtime on the model "
            "configuration.",
        ),
    ],
)
def test_what_cannot_be_had_is_told_in_the_index(server: Server, folder: Path, model: str, reason: str) -> None:
    entry = index(server)[model]
    assert entry["state"] == "UNAVAILABLE"
    assert entry["reason"].startswith(reason.format(folder))


def test_a_worker_that_dies_starts_again_in_its_environment(server: Server, folder: Path) -> None:
    server.kill(server.worker_of("directory"))
    eventually(lambda: server.get("/v2/models/directory/ready")[0] == 200, "it is ready again")
    assert told(server, "directory")["module"] == "ours"


def test_operators_commands_read_models_in_the_same_environment(server: Server, folder: Path) -> None:
    model = folder / "models" / "archive"
    flags = (f"--backend-directory={folder}/backends", f"--environment-directory={folder}/cache")
    command = [sys.executable, "-P", "-m", "tis"]
    done = subprocess.run([*command, "config", model, "--load", *flags], capture_output=True, text=True, check=True)
    assert 'name: "TOLD"' in done.stdout
    command += ["check", str(folder / "models"), "--load", "--json", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert server.process.poll() is None
    assert {each["model"] for each in json.loads(done.stdout)["errors"]} == {"gone", "empty", "two", "of_nobody"}


# ---- what is built ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_requirements_are_installed_once_for_all_models_and_kept(new_server: StartServer, tmp_path: Path) -> None:
    need_packages()
    models = tmp_path / "models"
    for name in ("first", "second"):
        write(models, name, parameters(tis__requirements="requirements.txt"), requirements_txt="iniconfig\n")
    write(models, "bad", parameters(tis__requirements="requirements.txt"), requirements_txt="iniconfig==0.0.99\n")
    flags = ("--exit-on-error=false", f"--environment-directory={tmp_path}/cache")
    server = new_server(models, *flags).launch()
    server.wait_started(BUILD_DEADLINE_S)
    settled(server)
    first, second = told(server, "first", "iniconfig"), told(server, "second", "iniconfig")
    assert first["prefix"] == second["prefix"]
    assert first["module"] == "there"
    assert server.log().count("building an environment for") == 2
    assert "its Python environment: Collecting iniconfig" in server.log()
    reason = index(server)["bad"]["reason"]
    assert reason.startswith(f"Internal: installing {models}/bad/requirements.txt failed (exit code 1):\n")
    assert "No matching distribution found for iniconfig==0.0.99" in reason
    assert server.stop() == 0
    again = new_server(models, "--model-control-mode=explicit", "--load-model=first", *flags[1:]).start()
    assert told(again, "first", "iniconfig") == first
    assert "building" not in again.log()


@pytest.mark.slow
def test_a_model_runs_in_a_python_of_another_minor_version(new_server: StartServer, tmp_path: Path) -> None:
    python = other_python()
    need_packages()
    config = parameters(tis__python=python, tis__requirements="requirements.txt")
    write(tmp_path / "models", "other", config, requirements_txt="iniconfig\n")
    server = new_server(tmp_path / "models", f"--environment-directory={tmp_path}/cache").launch()
    server.wait_started(BUILD_DEADLINE_S)
    settled(server)
    said = told(server, "other", "iniconfig")
    version = subprocess.run(
        [python, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, check=True
    )
    assert said["version"] == [int(part) for part in version.stdout.split()]
    assert said["version"] != list(sys.version_info[:2])
    assert said["module"] == "there"


def test_a_server_that_builds_serves_other_models_and_stops_when_told(new_server: StartServer, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(BUILD_DEADLINE_S)
        write(tmp_path / "models", "own", "")
        flags = ("--model-control-mode=poll", "--repository-poll-secs=1", f"--environment-directory={tmp_path}/cache")
        environment = {name: "" for name in os.environ if name.startswith("PIP_")}
        server = new_server(tmp_path / "models", *flags, environment=environment).start()
        text = f"--index-url http://127.0.0.1:{silent.getsockname()[1]}/simple\nnothing\n"
        write(tmp_path / "models", "built", parameters(tis__requirements="requirements.txt"), requirements_txt=text)
        # An index of packages that never answers.
        connection, _ = silent.accept()
        assert told(server, "own")["prefix"] == sys.prefix
        assert index(server)["built"]["state"] == "LOADING"
        assert server.stop() == 0
        connection.close()
