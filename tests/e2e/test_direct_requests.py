"""What requests may ask for besides tensors, over ZeroMQ: sequences, priorities, timeouts, streams, cancelling; and what is
noted of them: statistics and the access log.
"""

import shlex
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http

from tests.harness.direct import DirectClient, address_of, infer, zmq_flag
from tests.harness.models import identity, slow
from tests.harness.native_models import write_repeat
from tests.harness.observing import settled, statistics, wait_pool_empty
from tests.harness.pace import rounds
from tests.harness.python_models import CODE_DECOUPLED
from tests.harness.repository import BATCHING, one_cpu
from tests.harness.sequence_models import CONTROLS, START, SUM_STATE, WITNESSED, accumulator, witness, write
from tests.harness.server import Server, serving
from tests.harness.waiting import eventually
from tis.client import Client, InferenceError

VALUES = np.arange(8, dtype=np.float32)
LEVELS = "dynamic_batching { priority_levels: 2 default_priority_level: 2 }\n"
REJECT = """dynamic_batching { default_queue_policy { timeout_action: REJECT allow_timeout_override: true
    default_timeout_microseconds: 60000000 } }"""


@pytest.fixture(scope="module")
def direct() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="tz-"))
    models = folder / "models"
    identity("FP32", [-1]).write(models, "echo", extra=one_cpu())
    identity("FP32", ["b", -1]).write(models, "batched", max_batch_size=8, extra=one_cpu() + BATCHING)
    slow().write(models, "levels", extra=one_cpu() + LEVELS, max_batch_size=1)
    slow().write(models, "rejecting", extra=one_cpu() + REJECT, max_batch_size=1)
    write(accumulator(), models, "sum", START + SUM_STATE % "")
    write(witness(), models, "witness", "oldest { max_candidate_sequences: 4 }" + CONTROLS)
    write_repeat(models)
    CODE_DECOUPLED.write(models, "endless")
    flags = ("--log-verbose=1", f"--access-log={folder}/access", zmq_flag(folder))
    server = Server(models, *flags, log=folder / "log")
    with serving(server):
        yield server
    shutil.rmtree(folder)


@pytest.fixture
def client(direct: Server) -> Iterator[DirectClient]:
    with DirectClient(address_of(direct)) as made:
        yield made


@pytest.fixture
def library(direct: Server) -> Iterator[Client]:
    with Client(address_of(direct), timeout_s=60) as made:
        yield made


def part(value: int, sequence: int | str, **more: Any) -> dict[str, Any]:
    return {"inputs": {"INPUT": np.array([[value]], np.int32)}, "parameters": {"sequence_id": sequence, **more}}


@pytest.mark.parametrize("sequence", [7, "seven"])
def test_a_sequence_keeps_its_state_from_its_start_to_its_end(library: Client, sequence: int | str) -> None:
    other = 8 if sequence == 7 else "eight"
    sums = []
    for value, more in ((1, {"sequence_start": True}), (2, {}), (3, {"sequence_end": True})):
        library.infer("sum", **part(10 * value, other, **more)).release()
        with library.infer("sum", **part(value, sequence, **more)) as result:
            sums.append(int(result["SUM"][0, 0]))
    assert sums == [1, 3, 6]
    with pytest.raises(InferenceError, match="must specify the START flag") as caught:
        library.infer("sum", **part(1, sequence))
    assert caught.value.code == "INVALID_ARG"


def test_a_model_sees_the_controls_of_a_sequence(library: Client) -> None:
    for more, start, end in (({"sequence_start": True}, 1, -1), ({}, 0, -1), ({"sequence_end": True}, 0, 2)):
        with library.infer("witness", **part(5, 77, **more)) as result:
            seen = dict(zip(WITNESSED, np.ravel(result["OUTPUT"]).tolist(), strict=False))
        assert (seen["start"], seen["end"], seen["correlation"]) == (start, end, 77)


def work(number: int, model: str, milliseconds: float, **parameters: Any) -> dict[str, Any]:
    body = np.array([[rounds(milliseconds)]], np.int64)
    tensor = {"name": "ROUNDS", "datatype": "INT64", "shape": [1, 1], "data": body.tobytes()}
    return {"type": "infer", "id": number, "model": model, "inputs": [tensor], "parameters": parameters}


def test_a_higher_priority_goes_first(client: DirectClient) -> None:
    # The instance is busy with the first one, or with another of which it is not known when it was read.
    client.send(work(1, "levels", 500))
    for number, priority in ((2, 2), (3, 2), (4, 1), (5, 1)):
        client.send(work(number, "levels", 1, priority=priority))
    assert [number for number in (client.receive()[0]["id"] for _ in range(5)) if number != 1] == [4, 5, 2, 3]


def test_a_request_whose_time_is_over_in_the_queue_hears_so(client: DirectClient) -> None:
    client.send(work(1, "rejecting", 1500))
    client.send(work(2, "rejecting", 1, timeout=1000))
    error, _ = client.receive()
    assert (error["type"], error["id"], error["code"], error["final"]) == ("error", 2, "UNAVAILABLE", True)
    assert "Request timeout expired" in error["text"]
    while client.receive()[0]["type"] != "reply":
        pass


def stream(number: int, count: int, delay_ms: int) -> dict[str, Any]:
    about = {
        "IN": ("INT32", np.arange(count, dtype=np.int32)),
        "DELAY": ("UINT32", np.full(count, delay_ms, np.uint32)),
        "WAIT": ("UINT32", np.zeros(1, np.uint32)),
    }
    inputs = [
        {"name": name, "datatype": datatype, "shape": [array.size], "data": array.tobytes()}
        for name, (datatype, array) in about.items()
    ]
    return {"type": "infer", "id": number, "model": "repeat", "inputs": inputs}


def test_two_streams_go_on_beside_each_other_each_in_its_order(client: DirectClient) -> None:
    client.send(stream(1, 50, 1))
    client.send(stream(2, 50, 1))
    seen: dict[int, list[int]] = {1: [], 2: []}
    ended = 0
    while ended < 2:
        reply, frames = client.receive()
        ended += reply["final"]
        if not reply["empty"]:
            place = next(each["frame"] for each in reply["outputs"] if each["name"] == "OUT")
            seen[reply["id"]].append(int.from_bytes(frames[place], "little"))
    assert seen == {1: list(range(50)), 2: list(range(50))}


def test_a_stream_that_is_cancelled_says_no_more(client: DirectClient, direct: Server) -> None:
    code = b"""
sender, sent = request.get_response_sender(), 0
while not sender.is_cancelled():
    sent += 1
    sender.send(R(sent))
    time.sleep(0.005)
sender.send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
    data = len(code).to_bytes(4, "little") + code
    tensor = {"name": "CODE", "datatype": "BYTES", "shape": [1], "data": data}
    client.send({"type": "infer", "id": 1, "model": "endless", "inputs": [tensor], "outputs": [{"name": "OUT"}]})
    for _ in range(3):
        assert client.receive()[0]["type"] == "reply"
    client.send({"type": "cancel", "id": 1})
    heard = client.receive()[0]
    while heard["type"] == "reply":
        heard = client.receive()[0]
    assert (heard["code"], heard["final"]) == ("CANCELLED", True)
    # The model itself is told, and ends.
    assert client.receive()[0] == {"type": "over", "id": 1}
    assert client.ask(infer(1, "echo", VALUES, "FP32"))[0]["type"] == "reply"
    wait_pool_empty(direct)


def test_statistics_count_as_over_http(library: Client, direct: Server) -> None:
    """The same requests, good and bad, once by each way: all counts grow by the same."""
    server, array = direct, np.ones((2, 3), np.float32)
    with tritonclient.http.InferenceServerClient(f"localhost:{server.http_port}") as http:
        tensor = tritonclient.http.InferInput("INPUT0", [2, 3], "FP32")
        tensor.set_data_from_numpy(array)
        grown: list[dict[str, Any]] = []
        for ask in (
            lambda: http.infer("batched", [tensor]),
            lambda: library.infer("batched", {"INPUT0": array}).release(),
        ):
            before = counts(statistics(server, "batched"))
            for _ in range(5):
                ask()
            after = counts(settled(server, "batched", before["success"] + 5))
            grown.append({name: after[name] - before[name] for name in after})
    assert grown[0] == grown[1]
    assert (grown[0]["success"], grown[0]["inferences"]) == (5, 10)


def counts(stats: dict[str, Any]) -> dict[str, int]:
    """The whole numbers of a model's statistics."""
    parts = {name: each["count"] for name, each in stats["inference_stats"].items()}
    return {**parts, "inferences": stats["inference_count"], "executions": stats["execution_count"]}


def access_lines(direct: Server, **wanted: Any) -> list[dict[str, Any]]:
    found = []
    for text in (direct.log_path.parent / "access").read_text().splitlines():
        _, who, protocol, call, status, *fields = shlex.split(text)
        line: dict[str, Any] = {"client": who, "protocol": protocol, "call": call, "status": status}
        for name, _, value in (field.partition("=") for field in fields):
            line[name] = int(value) if value.isdigit() else value
        if wanted.items() <= line.items():
            found.append(line)
    return found


def test_each_request_and_call_has_a_line_in_the_access_log(client: DirectClient, direct: Server) -> None:
    client.ask({"type": "metadata", "id": 1, "model": "echo"})
    client.ask(infer(2, "echo", VALUES, "FP32", request_id="direct one"))
    client.ask(infer(3, "nobody", VALUES, "FP32", request_id="x"))
    client.send({**stream(4, 3, 0), "request_id": "direct stream"})
    while not client.receive()[0]["final"]:
        pass
    client.ask(b"\xc1")
    (line,) = eventually(lambda: access_lines(direct, id="direct one"), "the request has a line")
    assert line["client"].startswith("pid:")
    assert (line["protocol"], line["call"], line["status"]) == ("ZeroMQ", "infer", "OK")
    assert (line["model"], line["version"]) == ("echo", 1)
    assert line["bytes_in"] > VALUES.nbytes
    assert line["bytes_out"] > VALUES.nbytes
    assert 0 <= line["queue_us"] + line["compute_us"] <= line["total_us"] < 60_000_000
    (line,) = eventually(lambda: access_lines(direct, id="direct stream"), "the stream has a line")
    assert (line["status"], line["model"]) == ("OK", "repeat")
    eventually(lambda: access_lines(direct, model="nobody", call="infer", status="NOT_FOUND"), "the refusal has a line")
    eventually(lambda: access_lines(direct, call="unreadable", status="INVALID_ARG"), "so has what is no message")
    eventually(lambda: access_lines(direct, call="metadata", model="echo", status="OK"), "so has a call")
    eventually(lambda: access_lines(direct, call="hello", status="OK"), "so has the hello")


def test_a_refused_twin_of_a_request_has_its_own_line(client: DirectClient, direct: Server) -> None:
    client.send({**work(1, "levels", 2000), "request_id": "first twin"})
    error, _ = client.ask({**work(1, "levels", 1), "request_id": "second twin"})
    assert error["code"] == "INVALID_ARG"
    assert client.receive()[0]["type"] == "reply"
    (line,) = eventually(lambda: access_lines(direct, id="first twin"), "the first has its line")
    assert (line["status"], line["model"]) == ("OK", "levels")
    assert access_lines(direct, call="infer", model="levels", status="INVALID_ARG")


def test_requests_that_are_given_up_are_noted_so(direct: Server) -> None:
    with DirectClient(address_of(direct)) as client:
        client.send({**work(1, "levels", 300), "request_id": "cancelled"})
        client.send({"type": "cancel", "id": 1})
        assert client.receive()[0]["code"] == "CANCELLED"
        client.send({**work(2, "levels", 3000), "request_id": "left"})
        # What is answered was said behind the request.
        client.send({"type": "ping", "id": 3})
        while client.receive()[0]["type"] != "pong":
            pass
    for name in ("cancelled", "left"):
        (line,) = eventually(lambda name=name: access_lines(direct, id=name), "it has a line")  # type: ignore[misc]
        assert line["status"] == "CANCELLED"
    wait_pool_empty(direct)
