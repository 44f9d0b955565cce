"""The commands of an operator, against real repositories and a real server."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.harness.faces import Call, HttpFace
from tests.harness.fixtures import StartServer
from tests.harness.models import add_sub, identity
from tests.harness.repository import BATCHING, one_cpu
from tests.harness.server import Server


def tis(*arguments: object, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "tis", *(str(each) for each in arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **(environment or {})},
    )


def complete(path: Path) -> Path:
    """A model whose file says everything."""
    identity("FP32", ["b", 3]).write_version(path, "bare", 1)
    return path


# ---- check -------------------------------------------------------------------------------------------------------------


def test_check_finds_nothing_in_a_good_repository_and_reads_its_files_on_demand(tmp_path: Path) -> None:
    add_sub().write(tmp_path, "simple", max_batch_size=8, extra=one_cpu() + BATCHING)
    complete(tmp_path)
    done = tis("check", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("(`--load` reads them): bare\n2 models, 0 errors, 0 warnings\n")
    done = tis("check", "--load", tmp_path)
    assert (done.returncode, done.stdout) == (0, "2 models, 0 errors, 0 warnings\n")


def test_check_tells_all_errors_of_all_models_with_their_lines(tmp_path: Path) -> None:
    extra = "dynamic_batching { preferred_batch_size: 9 }\nmax_batchsize: 1\n"
    add_sub().write(tmp_path, "first", max_batch_size=8, extra=extra)
    add_sub().write(tmp_path, "second", max_batch_size=-8)
    done = tis("check", tmp_path)
    lines = done.stdout.splitlines()
    first, second = tmp_path / "first" / "config.pbtxt", tmp_path / "second" / "config.pbtxt"
    assert done.returncode == 1
    assert lines[0].startswith(f"{first}:8:20: error: first: dynamic batching preferred size must be <= max batch size")
    assert lines[1:4] == [
        "    field     dynamic_batching.preferred_batch_size[0]",
        "    expected  1 to max_batch_size, which is 8",
        "    given     9",
    ]
    assert lines[4].startswith(f"{first}:9:1: error: first: a config has no field 'max_batchsize'; did you mean")
    assert any(line.startswith(f"{second}:3:1: error: second: 'max_batch_size' must be non-neg") for line in lines)
    said = json.loads(tis("check", "--json", tmp_path).stdout)
    assert said["models"] == ["first", "second"]
    assert [(each["model"], each["line"], each["given"]) for each in said["errors"]] == [
        ("first", 8, "9"),
        ("first", 9, "1"),
        ("second", 3, "-8"),
    ]
    assert said["warnings"] == []


def test_check_with_model_files_compares_them_with_the_config(tmp_path: Path) -> None:
    wrong = (
        'input { name: "INPUT0" data_type: TYPE_FP32 dims: 4 }\noutput { name: "OUTPUT0" data_type: TYPE_FP32 dims: 3 }'
    )
    identity("FP32", ["b", 3]).write_with(tmp_path, "m", wrong, max_batch_size=2)
    assert tis("check", tmp_path).returncode == 0
    done = tis("check", "--load", tmp_path)
    assert done.returncode == 1
    assert f"{tmp_path}/m/config.pbtxt:4:45: error: m version 1: " in done.stdout
    assert "the model expects 2 dimensions (shape [-1,3])" in done.stdout


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("raise ValueError('no way')", "no way"),
        ("import os\nos._exit(5)", "the process that loaded model 'm' ended with exit code 5"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "ended with signal 9"),
        ("print('x' * 200000)\nclass Other: pass", "TritonPythonModel"),
    ],
)
def test_a_model_file_that_fails_or_kills_its_process_is_a_finding(model: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "1" / "model.py").write_text(model)
    done = tis("check", "--load", tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert words in done.stdout


def test_check_of_no_directory_fails(tmp_path: Path) -> None:
    done = tis("check", tmp_path / "none")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"tis check: no such directory: {tmp_path}/none\n"


# ---- config ------------------------------------------------------------------------------------------------------------


def test_config_completes_from_the_model_file_as_the_server_does(tmp_path: Path, new_server: StartServer) -> None:
    server = new_server(complete(tmp_path / "models")).start()
    server.wait_ready()
    shown = tis("config", tmp_path / "models" / "bare", "--load", "--format", "json")
    assert (shown.returncode, shown.stderr) == (0, "")
    served = json.loads(server.get("/v2/models/bare/config")[1])
    assert json.loads(shown.stdout) == served
    asked = tis("config", "bare", "--url", server.http_address, "--format", "yaml")
    assert yaml.safe_load(asked.stdout) == served
    partial = tis("config", tmp_path / "models" / "bare")
    assert 'backend: "onnxruntime"' in partial.stdout
    assert "input {" not in partial.stdout
    assert "--load reads it" in partial.stderr
    unknown = tis("config", "nobody", "--url", server.http_address)
    assert unknown.returncode == 1
    assert "Request for unknown model: 'nobody' is not found" in unknown.stderr


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_a_config_turned_into_another_form_is_served_the_same(
    form: str, tmp_path: Path, new_server: StartServer
) -> None:
    models = tmp_path / "models"
    add_sub().write(models, "simple", max_batch_size=8, extra=one_cpu(2) + BATCHING)
    before = tis("config", models / "simple", "--format", "json")
    turned = tis("config", models / "simple", "--as-written", "--format", form)
    assert turned.returncode == 0
    (models / "simple" / "config.pbtxt").unlink()
    (models / "simple" / f"config.{form}").write_text(turned.stdout)
    assert tis("config", models / "simple", "--format", "json").stdout == before.stdout
    back = tis("config", models / "simple" / f"config.{form}", "--format", "pbtxt")
    assert back.stdout.startswith('name: "simple"\n')
    server = new_server(models).start()
    server.wait_ready()
    assert json.loads(server.get("/v2/models/simple/config")[1])["instance_group"][0]["count"] == 2


def test_a_config_that_is_wrong_is_told_as_the_server_tells_it(tmp_path: Path) -> None:
    add_sub().write(tmp_path, "m", max_batch_size=-8)
    done = tis("config", tmp_path / "m")
    assert (done.returncode, done.stdout) == (1, "")
    place = f"{tmp_path}/m/config.pbtxt:3"
    assert done.stderr == f"tis config: 'max_batch_size' must be non-negative value for m; got -8 ({place})\n"


def test_the_servers_own_errors_name_the_line(tmp_path: Path, new_server: StartServer) -> None:
    wrong = (
        'input { name: "INPUT0" data_type: TYPE_FP32 dims: 4 }\noutput { name: "OUTPUT0" data_type: TYPE_FP32 dims: 3 }'
    )
    identity("FP32", ["b", 3]).write_with(tmp_path, "compared", wrong, max_batch_size=2)
    add_sub().write(tmp_path, "checked", max_batch_size=-8)
    server = new_server(tmp_path, "--exit-on-error=false").start()
    server.wait_for_log(rf"failed to load 'checked': .*got -8 \({tmp_path}/checked/config\.pbtxt:3\)")
    server.wait_for_log(rf"failed to load 'compared' version 1: .* \({tmp_path}/compared/config\.pbtxt:4\)")


# ---- models ------------------------------------------------------------------------------------------------------------


def rows(server: Server, *arguments: str) -> dict[str, dict[str, Any]]:
    done = tis("models", "--url", server.http_address, "--json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return {row["name"]: row for row in json.loads(done.stdout)}


def test_models_shows_states_counts_and_latencies_of_a_running_server(tmp_path: Path, new_server: StartServer) -> None:
    add_sub().write(tmp_path, "good", max_batch_size=8, extra=one_cpu(2) + BATCHING)
    wrong = (
        'input { name: "OTHER" data_type: TYPE_FP32 dims: 4 }\noutput { name: "OUTPUT0" data_type: TYPE_FP32 dims: 3 }'
    )
    identity("FP32", ["b", 3]).write_with(tmp_path, "bad", wrong, max_batch_size=2)
    server = new_server(tmp_path, "--exit-on-error=false", "--metrics-port=0").start()
    server.wait_for_log("failed to load 'bad'")
    client = HttpFace(server)
    for _ in range(3):
        client.infer(Call("good", {name: np.ones((1, 16), np.int32) for name in ("INPUT0", "INPUT1")}))
    client.close()
    found = rows(server, "--metrics-url", f"127.0.0.1:{server.metrics_port}")
    good, bad = found["good"], found["bad"]
    assert (good["state"], good["version"], good["backend"], good["instances"]) == ("READY", "1", "onnxruntime_onnx", 2)
    assert (good["requests"], good["failures"], good["queue"]) == (3, 0, 0)
    assert good["average_request_ms"] > good["average_compute_ms"] > 0
    assert (bad["state"], bad["instances"]) == ("UNAVAILABLE", None)
    assert "unexpected inference input 'OTHER'" in bad["reason"]
    table = tis("models", "--url", server.http_address).stdout.splitlines()
    assert table[0].split()[:5] == ["MODEL", "VERSION", "STATE", "BACKEND", "INST"]
    assert [line.split()[:3] for line in table[1:]] == [["bad", "1", "UNAVAILABLE"], ["good", "1", "READY"]]


def test_models_shows_and_changes_the_instances_of_one(tmp_path: Path, new_server: StartServer) -> None:
    add_sub().write(tmp_path, "good", max_batch_size=8, extra=one_cpu())
    server = new_server(tmp_path).start()
    done = tis("models", "good", "--instances=2", "--group=good_0", "--url", server.http_address)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["INSTANCE", "VERSION", "KIND", "GPU", "PID", "STATE"]
    assert [(line[0], line[2], line[5]) for line in lines[1:]] == [
        ("good_0_0", "CPU", "READY"),
        ("good_0_1", "CPU", "READY"),
    ]
    shown = json.loads(tis("models", "good", "--json", "--url", server.http_address).stdout)
    assert [str(each["pid"]) for each in shown] == [line[4] for line in lines[1:]]
    assert rows(server)["good"]["instances"] == 2
    refused = tis("models", "bad", "--instances=2", "--url", server.http_address)
    assert refused.returncode == 1
    assert refused.stderr.endswith("with 404: Request for unknown model: 'bad' is not found\n")


def test_models_again_and_again_until_interrupted(server: Server) -> None:
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "tis", "models", "--url", server.http_address, "--watch", "0.1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        heads = 0
        while heads < 3:
            line = watching.stdout.readline()
            assert line, watching.stderr.read()
            heads += line.startswith("MODEL ")
        watching.send_signal(signal.SIGINT)
        assert (watching.wait(10), watching.stderr.read()) == (0, "")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("127.0.0.1:1", "no server answers at 127.0.0.1:1: Connection refused"),
        ("ftp://x", "'ftp://x' is no address of a server; expected HOST:PORT"),
        ("host:port", "'host:port' is no address of a server; expected HOST:PORT"),
    ],
)
def test_models_says_where_no_server_answers(url: str, words: str) -> None:
    done = tis("models", "--url", url)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"tis models: {words}\n")


def test_models_of_a_port_that_is_not_http_says_so(server: Server) -> None:
    done = tis("models", "--url", server.grpc_address)
    assert done.returncode == 1
    assert done.stderr.startswith(f"tis models: what answers at {server.grpc_address} does not speak HTTP")


def test_models_sends_the_header_that_a_server_asks_for(tmp_path: Path, new_server: StartServer) -> None:
    add_sub().write(tmp_path, "good", max_batch_size=8, extra=one_cpu())
    server = new_server(tmp_path, "--http-restricted-api=model-repository:key=secret").start()
    server.wait_ready()
    refused = tis("models", "--url", server.http_address)
    assert refused.returncode == 1
    assert "answered POST /v2/repository/index with 403" in refused.stderr
    assert rows(server, "--header", "key=secret")["good"]["state"] == "READY"
