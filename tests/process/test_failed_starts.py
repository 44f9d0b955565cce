"""A server that cannot start says why in words an operator can act on, exits with 1 and leaves nothing behind."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.fixtures import StartServer
from tests.harness.models import Model, add_sub, identities, identity
from tests.harness.repository import one_cpu
from tests.harness.server import Server

GIB = 1 << 30


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One good model; its file is not even read where the start fails before."""
    identity("FP32", [-1]).write(tmp_path / "models", "echo", extra=one_cpu())
    return tmp_path / "models"


def fails_with(server: Server, *texts: str, address_space_bytes: int | None = None) -> str:
    """Start it, expect exit code 1 and a log with these texts and without a traceback."""
    server.launch(address_space_bytes)
    code = server.wait_ended(60)
    log = server.log()
    assert code == 1, log
    for text in texts:
        assert text in log, f"{text!r} is not in:\n{log}"
    assert "Traceback" not in log, log
    return log


# ---- models --------------------------------------------------------------------------------------------------------


def test_a_corrupt_model_file_is_named(new_server: StartServer, repository: Path) -> None:
    (repository / "echo" / "1" / "model.onnx").write_bytes(b"this is not ONNX")
    log = fails_with(
        new_server(repository), "failed to load 'echo' version 1: Internal: onnx runtime error", "model.onnx"
    )
    assert log.splitlines()[-1] == "error: creating server: Internal - failed to load all models"


def test_a_missing_model_file_is_named(new_server: StartServer, repository: Path) -> None:
    (repository / "echo" / "1" / "model.onnx").unlink()
    fails_with(new_server(repository), "failed to load 'echo'", "/echo/1/model.onnx")


def test_a_model_without_versions_is_named(new_server: StartServer, repository: Path) -> None:
    (repository / "echo" / "1" / "model.onnx").unlink()
    (repository / "echo" / "1").rmdir()
    fails_with(
        new_server(repository), "at least one version must be available under the version policy of model 'echo'"
    )


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("nobody", "echo"), "Internal - failed to load all models"),
        (("typo",), "Internal - failed to load all models"),
        (("*",), "Internal - failed to load all models"),
        (
            ("echo", "empty", "nobody"),
            "Invalid argument - load failed for model 'empty': at least one version must be available under the version "
            "policy of model 'empty'",
        ),
        (
            ("broken",),
            "Invalid argument - load failed for model 'broken': version 1 is at UNAVAILABLE state: Internal: ",
        ),
    ],
)
def test_of_models_that_are_named_every_one_must_be_served(
    names: tuple[str, ...], told: str, new_server: StartServer, repository: Path
) -> None:
    """The words are Triton's; recorded from the genuine server with the same repository and flags."""
    identity("FP32", [-1]).write(repository, "broken", extra=one_cpu())
    (repository / "broken" / "1" / "model.onnx").write_bytes(b"this is not ONNX")
    for name, config in (("typo", "max_batch_size: -1"), ("empty", 'backend: "onnxruntime"')):
        (repository / name).mkdir()
        (repository / name / "config.pbtxt").write_text(config)
    named = (f"--load-model={name}" for name in names)
    fails_with(new_server(repository, "--model-control-mode=explicit", *named), f"error: creating server: {told}")


def _replace(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        (_replace("TYPE_INT32", "TYPE_FP32"), ["'INPUT0'", "TYPE_FP32", "TYPE_INT32"]),
        (_replace("dims: [ 16 ]", "dims: [ 8 ]"), ["'INPUT0'", "[-1,8]", "[-1,16]"]),
        (_replace('"INPUT1"', '"INPUT7"'), ["INPUT7"]),
        (_replace("max_batch_size: 8", "max_batch_size: -1"), ["max_batch_size"]),
        (_replace("max_batch_size", "max_bitch_size"), ["config.pbtxt", "max_bitch_size"]),
        (_replace('name: "simple"', 'name: "other"'), ["directory name must equal model name"]),
        (_replace('"onnxruntime"', '"nobody"'), ["backend 'nobody'"]),
        (_replace("KIND_CPU", "KIND_GPU"), ["'simple'", "GPU"]),
    ],
    ids=["datatype", "dims", "input", "negative batch", "unknown field", "name", "backend", "gpu"],
)
def test_a_config_that_contradicts_its_model_is_refused_with_both_sides(
    new_server: StartServer, tmp_path: Path, change: Callable[[str], str], texts: list[str]
) -> None:
    add_sub().write(tmp_path / "models", "simple", max_batch_size=8, extra=one_cpu())
    config = tmp_path / "models" / "simple" / "config.pbtxt"
    config.write_text(change(config.read_text()))
    server = new_server(tmp_path / "models", environment={"TRITON_SERVER_CPU_ONLY": "1"})
    fails_with(server, "failed to load 'simple'", *texts)


def test_a_model_that_the_runtime_cannot_run_says_what_to_do(new_server: StartServer, tmp_path: Path) -> None:
    mixed: Model = identities({"0": "BF16", "1": "BYTES"}, [-1])
    mixed.write(tmp_path / "models", "mixed", extra=one_cpu())
    fails_with(new_server(tmp_path / "models"), "takes strings and gives BF16", "cast the outputs to FP32")


@pytest.mark.parametrize("present", [False, True], ids=["missing", "a file"])
def test_a_repository_that_is_no_directory_is_named(new_server: StartServer, tmp_path: Path, present: bool) -> None:
    if present:
        (tmp_path / "models").write_text("")
    fails_with(new_server(tmp_path / "models"), str(tmp_path / "models"))


# ---- the machine ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["http", "grpc"])
def test_a_port_in_use_is_named(new_server: StartServer, repository: Path, service: str) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        fails_with(new_server(repository, f"--{service}-port={port}"), f":{port}'", "in use")


def test_the_ports_of_a_running_server_are_in_use(new_server: StartServer, repository: Path) -> None:
    first = new_server(repository).start()
    fails_with(new_server(repository, f"--http-port={first.http_port}"), f":{first.http_port}'", "in use")
    first.wait_ready()


def test_a_pool_larger_than_the_machine_is_refused_with_both_sizes(new_server: StartServer, repository: Path) -> None:
    fails_with(
        new_server(repository, f"--pool-byte-size={1 << 50}"), f"--pool-byte-size={1 << 50}", "more than the memory"
    )


def test_a_pool_too_small_to_serve_is_refused_with_the_minimum(new_server: StartServer, repository: Path) -> None:
    fails_with(new_server(repository, "--pool-byte-size=1000000"), "1000000", str(16 << 20))


def test_a_limit_on_the_address_space_is_told_with_the_size_that_did_not_fit(
    new_server: StartServer, repository: Path
) -> None:
    server = new_server(repository, f"--pool-byte-size={2 * GIB}")
    fails_with(server, "shared-memory pool", "raise the address-space limit", address_space_bytes=1 * GIB)


def test_a_runtime_directory_that_is_a_file_is_named(new_server: StartServer, repository: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    fails_with(new_server(repository, f"--runtime-directory={tmp_path / 'file'}"), str(tmp_path / "file"))


def test_a_runtime_directory_with_too_long_a_path_is_named(
    new_server: StartServer, repository: Path, tmp_path: Path
) -> None:
    folder = tmp_path / ("x" * 100)
    fails_with(new_server(repository, f"--runtime-directory={folder}"), str(folder), "--runtime-directory")
    assert not folder.exists() or not list(folder.iterdir())


def test_a_worker_killed_while_it_loads_is_a_failed_load(new_server: StartServer, repository: Path) -> None:
    server = new_server(repository)
    server.launch()
    server.wait_for_log(r"of model 'echo' version 1 runs as process")
    server.worker_of("echo").kill()
    assert server.wait_ended() == 1
    assert "failed to load 'echo' version 1: Internal: the process that loaded model 'echo' was killed by SIGKILL" in (
        server.log()
    )
