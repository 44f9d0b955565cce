"""Warm-up: samples run on every instance before a model is ready, count in its statistics, and fail its load if they fail."""

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.harness.faces import Call, GrpcFace
from tests.harness.fixtures import StartServer
from tests.harness.models import add_sub, gather, identity
from tests.harness.native_models import parameter, write_identity, write_square
from tests.harness.observing import batch_counts, settled, statistics, wait_pool_empty
from tests.harness.repository import BATCHING, one_cpu
from tests.harness.scrape import scrape
from tests.harness.server import Server


def sample(*inputs: str, batch_size: int = 1, count: int = 1) -> str:
    return f'model_warmup {{ name: "first" batch_size: {batch_size} count: {count} {" ".join(inputs)} }}\n'


def data(name: str, datatype: str, dims: str, source: str) -> str:
    return f'inputs {{ key: "{name}" value {{ data_type: TYPE_{datatype} dims: [ {dims} ] {source} }} }}'


ZERO, RANDOM = "zero_data: true", "random_data: true"


def file(name: str) -> str:
    return f'input_data_file: "{name}"'


def write_file(folder: Path, model: str, name: str, content: bytes) -> None:
    (folder / model / "warmup").mkdir(parents=True, exist_ok=True)
    (folder / model / "warmup" / name).write_bytes(content)


def counts(stats: dict[str, Any]) -> dict[str, int]:
    return {name: each["count"] for name, each in stats["inference_stats"].items() if each["count"]}


def reasons(server: Server) -> dict[str, str]:
    """Why models are not ready, as the index says."""
    with contextlib.closing(GrpcFace(server)) as face:
        index = face.ask("get_model_repository_index")["models"]
    return {each["name"]: each["reason"] for each in index if each["state"] != "READY"}


def test_samples_run_on_every_instance_before_the_model_is_ready(new_server: StartServer, tmp_path: Path) -> None:
    row = data("INPUT0", "INT32", "16", RANDOM) + data("INPUT1", "INT32", "16", ZERO)
    add_sub().write(
        tmp_path / "m", "simple", max_batch_size=8, extra=one_cpu(2) + BATCHING + sample(row, batch_size=3, count=2)
    )
    write_identity(
        tmp_path / "m",
        "delayed",
        extra=sample(data("INPUT0", "FP32", "4", RANDOM)) + parameter("execute_delay_ms", 700),
    )
    server = new_server(tmp_path / "m", "--metrics-port=0").start()
    server.wait_ready()
    stats = statistics(server, "simple")
    assert (stats["inference_count"], stats["execution_count"]) == (12, 4)
    assert counts(stats) == dict.fromkeys(("success", "queue", "compute_input", "compute_infer", "compute_output"), 12)
    assert batch_counts(stats) == {3: 4}
    assert stats["last_inference"] > 0
    delayed = statistics(server, "delayed")
    assert counts(delayed)["success"] == 1
    assert delayed["inference_stats"]["success"]["ns"] >= 700e6
    assert scrape(server).value("nv_inference_count", model="simple") == 12
    assert scrape(server).value("nv_inference_request_success", model="simple") == 12
    wait_pool_empty(server)


def test_every_source_of_data_reaches_the_model(new_server: StartServer, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    # Only the indices 0 to 9 can be executed, so that the data must be those of the file.
    gather().write(
        folder,
        "gather",
        max_batch_size=8,
        extra=one_cpu() + sample(data("INDEX", "INT64", "1", file("nine")), batch_size=2),
    )
    write_file(folder, "gather", "nine", np.array([9], np.int64).tobytes())
    for name, source in (("zero", ZERO), ("random", RANDOM), ("file", file("strings"))):
        identity("BYTES", ["b", -1]).write(
            folder, name, max_batch_size=4, extra=one_cpu() + sample(data("INPUT0", "STRING", "2", source))
        )
    write_file(folder, "file", "strings", b"\2\0\0\0ab\1\0\0\0c")
    write_square(folder, "many", extra=sample(data("IN", "INT32", "1", file("five"))))
    write_file(folder, "many", "five", np.array([5], np.int32).tobytes())
    server = new_server(folder).start()
    server.wait_ready()
    assert batch_counts(statistics(server, "gather")) == {2: 1}
    for name in ("zero", "random", "file", "many"):
        assert counts(statistics(server, name))["success"] == 1


def test_a_sample_that_fails_fails_the_load_with_its_reason(new_server: StartServer, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    index = data("INDEX", "INT64", "1", file("f"))
    for name, content in (("bad", np.array([99], np.int64).tobytes()), ("short", bytes(4))):
        gather().write(folder, name, max_batch_size=8, extra=one_cpu() + sample(index))
        write_file(folder, name, "f", content)
    gather().write(folder, "missing", max_batch_size=8, extra=one_cpu() + sample(index))
    identity("FP32", [-1]).write(folder, "unsized", extra=one_cpu() + sample(data("INPUT0", "FP32", "-1", ZERO)))
    identity("FP32", [-1]).write(folder, "unset", extra=one_cpu() + sample(data("INPUT0", "FP32", "1", "")))
    write_identity(folder, "large", max_batch_size=4, extra=sample(data("INPUT0", "FP32", "4", ZERO), batch_size=5))
    identity("FP32", [-1]).write(folder, "echo", extra=one_cpu())
    server = new_server(folder, "--exit-on-error=false").start()
    no_id = "[request id: <id_unknown>] "
    found = reasons(server)
    assert found.pop("bad").startswith("Invalid argument: failed to run warmup sample 'first': onnx runtime error: ")
    path = folder / "missing" / "warmup" / "f"
    text = "batch size 5 for 'large_0_0', max allowed is 4; "
    assert found == {
        "short": f"Invalid argument: {no_id}warmup setting expects 8 bytes, but the data provided from f only has 4 bytes",
        "missing": f"Internal: failed to open text file for read {path}: No such file or directory",
        "unsized": "Invalid argument: warmup setting expects all variable-size dimensions are specified for input 'INPUT0'",
        "unset": f"Invalid argument: {no_id}warmup setting expects input 'INPUT0' to have input_data_type set",
        "large": f"Invalid argument: failed to run warmup sample 'first': {text * 5}",
    }
    assert server.get("/v2/models/bad/ready")[0] == 400
    assert server.get("/v2/models/echo/ready")[0] == 200
    with contextlib.closing(GrpcFace(server)) as face:
        assert face.infer(Call("echo", {"INPUT0": np.ones(2, np.float32)})).outputs["OUTPUT0"].tolist() == [1, 1]


def test_a_server_that_is_to_exit_on_errors_does_not_start(new_server: StartServer, tmp_path: Path) -> None:
    gather().write(
        tmp_path / "m",
        "bad",
        max_batch_size=8,
        extra=one_cpu() + sample(data("INDEX", "INT64", "1", file("f"))),
    )
    write_file(tmp_path / "m", "bad", "f", np.array([99], np.int64).tobytes())
    server = new_server(tmp_path / "m").launch()
    assert server.wait_ended(60) == 1
    assert "failed to load 'bad' version 1: Invalid argument: failed to run warmup sample 'first': " in server.log()


def test_an_instance_that_died_is_warmed_up_again(new_server: StartServer, tmp_path: Path) -> None:
    write_identity(tmp_path / "m", "echo", extra=sample(data("INPUT0", "FP32", "4", ZERO)))
    server = new_server(tmp_path / "m").start()
    server.wait_ready()
    server.kill(server.worker_of("echo"))
    settled(server, "echo", 2)


def test_a_passive_instance_is_loaded_and_never_given_anything_to_run(new_server: StartServer, tmp_path: Path) -> None:
    groups = "instance_group [ { kind: KIND_CPU }, { kind: KIND_CPU passive: true } ]\n"
    slow_second = parameter("execute_delay_ms", 1) + parameter("instance_wise_delay_multiplier", 100_000)
    write_identity(
        tmp_path / "m",
        "echo",
        one=False,
        extra=groups + sample(data("INPUT0", "FP32", "4", ZERO)) + slow_second,
    )
    server = new_server(tmp_path / "m").start()
    server.wait_ready()
    assert len(server.workers()) == 2
    # On the passive instance a single execution would take 100 seconds.
    assert counts(statistics(server, "echo"))["success"] == 1
    calls = [Call("echo", {"INPUT0": np.full(4, number, np.float32)}) for number in range(20)]
    with contextlib.closing(GrpcFace(server)) as face:
        for call in calls:
            assert face.infer(call).outputs["OUTPUT0"].tolist() == call.inputs["INPUT0"].tolist()
        server.kill(server.scheduler())
        server.wait_ready()
        for call in calls:
            face.infer(call)
    config = json.loads(server.get("/v2/models/echo/config")[1])
    assert [group["passive"] for group in config["instance_group"]] == [False, True]
