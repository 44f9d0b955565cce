"""One stream of lines from all processes: JSON, what models print with their name, full disks, and the access log."""

import contextlib
import json
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient
from tritonclient.utils import InferenceServerException

from tests.harness.fixtures import StartServer
from tests.harness.models import identity
from tests.harness.raw_http import Connection
from tests.harness.repository import one_cpu
from tests.harness.server import Server
from tests.harness.traffic import echo_call, is_echo
from tests.harness.waiting import eventually

TALKER = """
import os
import sys
import triton_python_backend_utils as pb_utils

print("loading, without an end", end="")

class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            value = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy()
            what = int(value[0])
            if what == 1:
                print("to standard output é")
                print("to standard error", file=sys.stderr)
            elif what == 2:
                os.write(1, b"last words without an end")
                os._exit(7)
            elif what == 3:
                for number in range(40_000):
                    print("flood", number, "x" * 100)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("OUT", value)]))
        return responses
"""
CONFIG = """
backend: "python"
input { name: "IN" data_type: TYPE_INT32 dims: [ 1 ] }
output { name: "OUT" data_type: TYPE_INT32 dims: [ 1 ] }
instance_group { kind: KIND_CPU count: 1 }
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    identity("FP32", [-1]).write(tmp_path / "models", "echo", extra=one_cpu())
    folder = tmp_path / "models" / "talker"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(CONFIG)
    (folder / "1" / "model.py").write_text(TALKER)
    return tmp_path / "models"


def tell(server: Server, what: int) -> None:
    """Have the talking model do one of its things."""
    with httpclient.InferenceServerClient(server.http_address, network_timeout=60.0) as client:
        given = httpclient.InferInput("IN", [1], "INT32")
        given.set_data_from_numpy(np.array([what], np.int32))
        client.infer("talker", [given])


def json_lines(text: str) -> list[dict[str, Any]]:
    """Every line, each of which must be an object; an unfinished last one is left out."""
    found = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
    assert all(isinstance(line, dict) for line in found)
    return found


# ---- what models print -------------------------------------------------------------------------------------------------


def test_what_a_model_prints_has_its_name_before_it(new_server: StartServer, repository: Path) -> None:
    server = new_server(repository).start()
    tell(server, 1)
    server.wait_for_log(r"(?m)^\[talker_0_0\] loading, without an endto standard output é$|^\[talker_0\] .*output é$")
    server.wait_for_log(r"(?m)^\[talker_0(_0)?\] to standard error$")


def test_the_last_words_of_a_model_that_dies_are_not_lost(new_server: StartServer, repository: Path) -> None:
    server = new_server(repository).start()
    with contextlib.suppress(InferenceServerException):
        tell(server, 2)
    server.wait_for_log(r"\] loading, without an endlast words without an end\n(.*\n)*.*exited with code 7")


def test_a_model_that_prints_without_end_is_not_held_up_and_keeps_nobody_waiting(
    new_server: StartServer, repository: Path
) -> None:
    server = new_server(repository).start()
    tell(server, 3)
    with Connection(server) as connection:
        assert is_echo(connection.call(echo_call(1)), 1)
    server.wait_for_log(r"\] flood 39999 x{100}\n")
    lines = [line for line in server.log().splitlines() if "flood" in line]
    assert all(re.fullmatch(r"\[talker_0(_0)?\] (loading, without an end)?flood \d+ x{100}", line) for line in lines)
    assert len(lines) == 40_000


# ---- the form of lines -------------------------------------------------------------------------------------------------


def test_a_json_log_holds_nothing_but_objects_from_all_processes(new_server: StartServer, repository: Path) -> None:
    server = new_server(repository, "--log-format=json").launch()
    server.wait_for_log('"message":"Started HTTPService at ')
    server.http_port = int(server.wait_for_log(r"Started HTTPService at \S+:(\d+)")[1])
    tell(server, 1)
    server.wait_for_log('"stream":"stderr","message":"to standard error"')
    server.stop()
    lines = json_lines(server.log())
    assert {line["level"] for line in lines} >= {"info", "verbose"}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["time"]) for line in lines)
    printed = [line for line in lines if line.get("stream") == "stdout"]
    assert [line["message"] for line in printed] == ["loading, without an endto standard output é"]
    assert printed[0]["process"].startswith("talker_0")
    (table,) = [line for line in lines if line["message"].startswith("+--")]
    assert "| echo" in table["message"]


def test_json_can_be_chosen_while_the_server_runs_and_other_forms_are_refused_in_tritons_words(
    new_server: StartServer, repository: Path
) -> None:
    server = new_server(repository).start()
    with httpclient.InferenceServerClient(server.http_address) as client:
        assert client.update_log_settings({"log_format": "json"})["log_format"] == "json"
        with pytest.raises(InferenceServerException, match=r"invalid argument for --log_format, got: xml$"):
            client.update_log_settings({"log_format": "xml"})
    with grpcclient.InferenceServerClient(server.grpc_address) as client:
        with pytest.raises(InferenceServerException, match=r"invalid argument for log_format, got: xml$"):
            client.update_log_settings({"log_format": "xml"})
        client.update_log_settings({"log_format": "json"})
    server.wait_for_log(r'(?m)^\{"time":".*"level":"verbose"')


# ---- full disks --------------------------------------------------------------------------------------------------------


def test_a_full_disk_stops_nobody(new_server: StartServer, repository: Path, tmp_path: Path) -> None:
    server = new_server(repository, "--log-file=/dev/full", "--access-log=/dev/full", "--http-port=0")
    server.launch()

    def port() -> int:
        return next((http for http in listening_ports(server) if answers(server, http)), 0)

    server.http_port = eventually(port, "HTTP answers", 60.0)
    server.wait_ready()
    with Connection(server) as connection:
        for value in range(100):
            assert is_echo(connection.call(echo_call(value)), value)
    assert server.stop() == 0


def listening_ports(server: Server) -> list[int]:
    """TCP ports that the server listens on."""
    inodes = set()
    for entry in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(str(entry.readlink()))
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes]


def answers(server: Server, port: int) -> bool:
    server.http_port = port
    return server.get("/v2/health/live")[0] == 200


# ---- the access log ----------------------------------------------------------------------------------------------------


def echo_http(server: Server, request_id: str, model: str = "echo") -> None:
    with httpclient.InferenceServerClient(server.http_address) as client:
        given = httpclient.InferInput("INPUT0", [3], "FP32")
        given.set_data_from_numpy(np.zeros(3, np.float32))
        client.infer(model, [given], request_id=request_id)


def echo_grpc(server: Server, request_id: str, model: str = "echo") -> None:
    with grpcclient.InferenceServerClient(server.grpc_address) as client:
        given = grpcclient.InferInput("INPUT0", [3], "FP32")
        given.set_data_from_numpy(np.zeros(3, np.float32))
        client.infer(model, [given], request_id=request_id)


def line_of(file: Path, **wanted: Any) -> dict[str, Any]:
    """The one line of a JSON access log with these values."""

    def look() -> list[dict[str, Any]]:
        lines = json_lines(file.read_text()) if file.exists() else []
        return [line for line in lines if wanted.items() <= line.items()]

    (found,) = eventually(look, f"a line with {wanted}")
    return found


def test_every_kind_of_request_has_a_line_with_its_timings(
    new_server: StartServer, repository: Path, tmp_path: Path
) -> None:
    file = tmp_path / "access.log"
    server = new_server(repository, f"--access-log={file}", "--log-format=json").launch()
    for service, attribute in (("HTTPService", "http_port"), ("GRPCInferenceService", "grpc_port")):
        setattr(server, attribute, int(server.wait_for_log(rf"Started {service} at [^:]+:(\d+)", 60.0)[1]))
    server.wait_ready()
    echo_http(server, "by http")
    echo_grpc(server, "by grpc")
    for call in (echo_http, echo_grpc):
        with pytest.raises(InferenceServerException):
            call(server, "x", model="nobody")
    with grpcclient.InferenceServerClient(server.grpc_address) as client:
        client.is_server_live()
        answered: list[Any] = []
        client.start_stream(lambda result, error: answered.append((result, error)))
        given = grpcclient.InferInput("INPUT0", [3], "FP32")
        given.set_data_from_numpy(np.zeros(3, np.float32))
        client.async_stream_infer("echo", [given], request_id="by stream")
        eventually(lambda: answered, "the stream answers")
        client.stop_stream()
    for request_id, protocol, name, status in (
        ("by http", "HTTP", "POST /v2/models/echo/infer", 200),
        ("by grpc", "gRPC", "ModelInfer", "OK"),
        ("by stream", "gRPC", "ModelStreamInfer", "OK"),
    ):
        line = line_of(file, id=request_id)
        assert (line["protocol"], line["call"], line["status"]) == (protocol, name, status)
        assert (line["model"], line["version"]) == ("echo", 1)
        assert line["bytes_in"] >= 12
        assert line["bytes_out"] >= 12
        assert 0 <= line["queue_us"] + line["compute_us"] <= line["total_us"] < 60_000_000
        assert "127.0.0.1" in line["client"]
    assert line_of(file, model="nobody", protocol="HTTP")["status"] == 404
    assert line_of(file, model="nobody", protocol="gRPC")["status"] == "NOT_FOUND"
    assert line_of(file, call="ServerLive")["status"] == "OK"
    assert line_of(file, call="ModelStreamInfer end")["status"] == "OK"
    assert any(line["call"] == "GET /v2/health/ready" for line in json_lines(file.read_text()))


def test_a_moved_access_log_is_opened_anew_by_a_signal(
    new_server: StartServer, repository: Path, tmp_path: Path
) -> None:
    file, moved = tmp_path / "access.log", tmp_path / "access.log.1"
    server = new_server(repository, f"--access-log={file}").start()
    echo_http(server, "before")
    eventually(lambda: 'id="before"' in file.read_text(), "the line is there")
    file.rename(moved)
    server.signal(signal.SIGHUP)
    eventually(file.exists, "there is a new file")
    echo_http(server, 'after "it"')
    line = eventually(lambda: [each for each in file.read_text().splitlines() if "after" in each], "the line is there")
    assert re.fullmatch(
        r'\S+Z 127\.0\.0\.1:\d+ HTTP "POST /v2/models/echo/infer" 200 model="echo" version=1 bytes_in=\d+ bytes_out=\d+ '
        r'queue_us=\d+ compute_us=\d+ total_us=\d+ id="after \\"it\\""',
        line[0],
    )
    assert "after" not in moved.read_text()


def test_an_access_log_may_go_with_the_log_and_tells_of_clients_that_go(
    new_server: StartServer, repository: Path
) -> None:
    server = new_server(repository, "--access-log=-").start()
    server.wait_ready()
    with Connection(server) as connection:
        # A request of which the end never comes.
        connection.send(echo_call(1)[:-1])
    server.wait_for_log(r'HTTP "POST /v2/models/echo/infer" 499 model="echo"')


def test_an_access_log_that_cannot_be_written_stops_the_start(
    new_server: StartServer, repository: Path, tmp_path: Path
) -> None:
    server = new_server(repository, f"--access-log={tmp_path / 'missing' / 'file'}").launch()
    assert server.wait_ended() == 1
    assert "No such file or directory" in server.log()
