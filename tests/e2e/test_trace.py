"""Traces of requests, in the files that Triton 2.51 writes."""

import json
import queue
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from tests.harness.faces import FACES, Call
from tests.harness.fixtures import StartServer
from tests.harness.models import add_sub, identities, identity
from tests.harness.raw_http import Connection, post
from tests.harness.region_client import LEFT, RIGHT, TENSOR_BYTES, RegionClient
from tests.harness.repository import one_cpu
from tests.harness.server import Server
from tests.harness.shared_memory import SharedObjects, shared_objects
from tests.harness.waiting import eventually

__all__ = ["shared_objects"]

_COMPUTE: Final = ["COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END"]
#: A file of Triton 2.51: one request over HTTP, one over gRPC, whose ids are these words.
GOLDEN: Final = Path(__file__).parent / "golden" / "trace.json"
#: The same of level TENSORS alone, with `MIXED` as inputs.
GOLDEN_TENSORS: Final = Path(__file__).parent / "golden" / "trace_tensors.json"
MIXED: Final = {
    "INPUT0": np.array([[1.5, 1 / 3, 1e20], [-0.0, 1e-7, 1234567]], np.float32),
    "INPUT1": np.array([[b"a", b"two words"], [b"", b"z,y"]], np.object_),
    "INPUT2": np.array([[-5], [1 << 60]]),
    "INPUT3": np.array([[True, False], [False, True]]),
    "INPUT4": np.array([[0.5], [1]], np.float16),
}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for name in ("echo", "other"):
        identity("FP32", [-1]).write(tmp_path / "models", name, extra=one_cpu())
    return tmp_path / "models"


def started(new_server: StartServer, models: Path, *flags: str) -> Server:
    file = models.parent / "trace.json"
    server = new_server(models, f"--trace-config=triton,file={file}", "--trace-config=level=TIMESTAMPS", *flags).start()
    server.wait_ready()
    return server


def infer(
    server: Server, face: str, *client_ids: str, model: str = "echo", datatype: type = np.float32, size: int = 3
) -> None:
    client = FACES[face](server)
    try:
        for client_id in client_ids:
            client.infer(Call(model, {"INPUT0": np.zeros(size, datatype)}, request_id=client_id))
    finally:
        client.close()


def traces_in(file: Path) -> dict[int, tuple[dict[str, Any], dict[str, int]]]:
    """The head of each trace and its times by event."""
    heads: dict[int, dict[str, Any]] = {}
    times: dict[int, dict[str, int]] = {}
    for piece in json.loads(file.read_text()):
        number = piece.pop("id")
        if "timestamps" in piece:
            assert list(piece) == ["timestamps"]
            (event,) = piece["timestamps"]
            assert list(event) == ["name", "ns"]
            times.setdefault(number, {})[event["name"]] = event["ns"]
        else:
            heads[number] = piece
    assert heads.keys() == times.keys()
    return {number: (heads[number], times[number]) for number in heads}


#: The head and the events of a request over each face.
TRITONS: Final = {head["request_id"]: (head, set(times)) for head, times in traces_in(GOLDEN).values()}
EVENTS: Final = {face: events for face, (_, events) in TRITONS.items()}


def ids_in(file: Path) -> list[str]:
    return [head["request_id"] for head, _ in traces_in(file).values()]


@pytest.mark.parametrize("face", ["http", "grpc"])
def test_a_trace_has_the_form_and_the_events_of_tritons(new_server: StartServer, models: Path, face: str) -> None:
    server = started(new_server, models, "--trace-config=rate=1")
    infer(server, face, face, "")
    assert server.stop() == 0
    file = models.parent / "trace.json"
    found = list(traces_in(file).values())
    assert [head for head, _ in found] == [
        TRITONS[face][0],
        {"model_name": "echo", "model_version": 1},
    ]
    read, *_ = sorted(EVENTS[face] & {"HTTP_RECV_START", "GRPC_WAITREAD_START"})
    for _, times in found:
        assert times.keys() == EVENTS[face]
        order = [read, "REQUEST_START", "QUEUE_START", *_COMPUTE, "INFER_RESPONSE_COMPLETE", "REQUEST_END"]
        # The answer may be there before the worker has looked at the clock a last time.
        order.remove("COMPUTE_END")
        assert [times[name] for name in order] == sorted(times[name] for name in order)
        assert times["COMPUTE_OUTPUT_START"] <= times["COMPUTE_END"]


def test_a_count_ends_the_traces_in_a_numbered_file(new_server: StartServer, models: Path) -> None:
    server = started(new_server, models, "--trace-config=rate=1", "--trace-config=count=3", "--frontends=2")
    infer(server, "http", *"abcde")
    numbered = models.parent / "trace.json.0"
    eventually(numbered.exists, "three traces are written")
    assert len(traces_in(numbered)) == 3
    assert settings(server)["trace_count"] == "0"
    infer(server, "http", *"fgh")
    assert server.stop() == 0
    assert list(traces_in(numbered)) == [1, 2, 3]
    assert not (models.parent / "trace.json").exists()
    assert not (models.parent / "trace.json.1").exists()


def test_a_frequency_begins_a_new_file_every_so_often(new_server: StartServer, models: Path) -> None:
    server = started(new_server, models, "--trace-config=rate=1", "--trace-config=triton,log-frequency=2")
    infer(server, "http", *"abcde")
    assert server.stop() == 0
    files = [models.parent / f"trace.json.{number}" for number in range(3)]
    assert [ids_in(file) for file in files] == [["a", "b"], ["c", "d"], ["e"]]
    assert not (models.parent / "trace.json.3").exists()


def test_a_model_has_its_own_rate_and_counter(new_server: StartServer, models: Path) -> None:
    server = started(new_server, models, "--trace-config=rate=3")
    set_trace(server, {"trace_rate": "2"}, "other")
    infer(server, "http", *"abcdefg")
    infer(server, "http", *"tuvwx", model="other")
    assert server.stop() == 0
    assert sorted(ids_in(models.parent / "trace.json")) == ["c", "f", "u", "w"]


def test_tracing_begins_and_ends_while_the_server_runs(new_server: StartServer, models: Path) -> None:
    file = models.parent / "trace.json"
    server = new_server(models, f"--trace-config=triton,file={file}", "--trace-rate=1").start()
    server.wait_ready()
    infer(server, "grpc", "before")
    set_trace(server, {"trace_level": ["TIMESTAMPS"]})
    infer(server, "grpc", "during")
    eventually(lambda: server.get("/v2/trace/setting")[0] == 200 and file.exists(), "the trace is written")
    set_trace(server, {"trace_level": ["OFF"]})
    infer(server, "grpc", "after")
    assert server.stop() == 0
    assert ids_in(file) == ["during"]


def test_requests_that_are_refused_or_fail_harm_no_trace(new_server: StartServer, models: Path) -> None:
    server = started(new_server, models, "--trace-config=rate=1")
    for face in ("http", "grpc"):
        with pytest.raises(InferenceServerException):
            infer(server, face, "bad", datatype=np.int64)
        infer(server, face, "good-" + face)
    assert server.stop() == 0
    assert ids_in(models.parent / "trace.json") == ["good-http", "good-grpc"]


def test_a_file_that_cannot_be_written_harms_no_request(new_server: StartServer, models: Path) -> None:
    nowhere = models.parent / "nowhere" / "trace.json"
    flags = (f"--trace-config=triton,file={nowhere}", "--trace-level=timestamps", "--trace-config=rate=1")
    server = new_server(models, *flags).start()
    server.wait_ready()
    infer(server, "http", *"abc")
    server.wait_for_log("traces cannot be written to '.*nowhere/trace.json': No such file or directory")
    infer(server, "http", *"def")
    assert server.stop() == 0


@pytest.mark.parametrize("face", ["http", "grpc"])
@pytest.mark.parametrize("levels", [("TENSORS",), ("TIMESTAMPS", "TENSORS")], ids=len)
def test_tensors_are_traced_as_triton_traces_them(
    new_server: StartServer, tmp_path: Path, face: str, levels: tuple[str, ...]
) -> None:
    datatypes = {"0": "FP32", "1": "BYTES", "2": "INT64", "3": "BOOL", "4": "FP16"}
    identities(datatypes, ["b", -1]).write(tmp_path / "models", "mixed", max_batch_size=4, extra=one_cpu())
    file = tmp_path / "trace.json"
    flags = [f"--trace-config={each}" for each in (f"triton,file={file}", "rate=1", *map("level={}".format, levels))]
    server = new_server(tmp_path / "models", *flags).start()
    server.wait_ready()
    client = FACES[face](server)
    client.infer(Call("mixed", MIXED, request_id=face))
    client.close()
    assert server.stop() == 0
    wanted = json.loads(GOLDEN_TENSORS.read_text())
    (number,) = [piece["id"] for piece in wanted if piece.get("request_id") == face]
    pieces = [piece for piece in wanted if piece["id"] == number]
    found = json.loads(file.read_text())
    if "TIMESTAMPS" in levels:
        kinds = [list(piece)[1] for piece in found]
        assert kinds.index("activity") > kinds.index("model_name")
    else:
        # Neither a head nor times: nothing but the tensors.
        pieces = [piece for piece in pieces if "activity" in piece]
    assert [piece | {"id": number} for piece in found if "timestamps" not in piece] == [
        piece for piece in pieces if "timestamps" not in piece
    ]


@pytest.mark.parametrize("face", ["http", "grpc"])
def test_tensors_in_a_clients_region_are_traced(
    new_server: StartServer, tmp_path: Path, shared_objects: SharedObjects, face: str
) -> None:
    add_sub().write(tmp_path / "models", "simple", max_batch_size=8, extra=one_cpu())
    file = tmp_path / "trace.json"
    flags = (f"--trace-config=triton,file={file}", "--trace-config=level=TENSORS", "--trace-config=rate=1")
    server = new_server(tmp_path / "models", *flags).start()
    server.wait_ready()
    made = shared_objects.make(LEFT.tobytes() + RIGHT.tobytes() + bytes(2 * TENSOR_BYTES))
    client = RegionClient(FACES[face](server))
    client.ask("register_system_shared_memory", "r", made.key, 4 * TENSOR_BYTES)
    outputs = [client.wanted(f"OUTPUT{index}", "r", TENSOR_BYTES, (2 + index) * TENSOR_BYTES) for index in range(2)]
    client.infer("simple", client.add_sub_inputs("r"), outputs)
    client.close()
    assert server.stop() == 0
    tensors = {"INPUT0": LEFT, "INPUT1": RIGHT, "OUTPUT0": LEFT + RIGHT, "OUTPUT1": LEFT - RIGHT}
    assert {piece["tensor"]["name"]: piece["tensor"]["data"] for piece in json.loads(file.read_text())} == {
        name: ",".join(map(str, array.flatten())) for name, array in tensors.items()
    }


def test_tensors_of_refused_requests_leave_nothing_and_levels_change_while_the_server_runs(
    new_server: StartServer, models: Path
) -> None:
    server = started(new_server, models, "--trace-config=rate=1")
    set_trace(server, {"trace_level": ["TENSORS"]}, "echo")
    with pytest.raises(InferenceServerException):
        infer(server, "http", "bad", datatype=np.int64)
    infer(server, "http", "good", size=2)
    infer(server, "http", "timed", model="other")
    assert server.stop() == 0
    pieces = json.loads((models.parent / "trace.json").read_text())
    assert [piece["tensor"] for piece in pieces if "activity" in piece] == [
        {"name": name, "data": "0,0", "shape": "2", "dtype": "FP32"} for name in ("INPUT0", "OUTPUT0")
    ]
    assert [piece["request_id"] for piece in pieces if "model_name" in piece] == ["timed"]


def test_a_stream_and_generate_are_traced(new_server: StartServer, models: Path) -> None:
    server = started(new_server, models, "--trace-config=rate=1")
    answers: queue.Queue[Any] = queue.Queue()
    client = tritonclient.grpc.InferenceServerClient(server.grpc_address)
    tensor = tritonclient.grpc.InferInput("INPUT0", [1], "FP32")
    tensor.set_data_from_numpy(np.zeros(1, np.float32))
    client.start_stream(lambda result, error: answers.put((result, error)))
    client.async_stream_infer("echo", [tensor], request_id="streamed")
    assert answers.get(timeout=20)[1] is None
    client.stop_stream()
    client.close()
    body = b'{"id":"generated","INPUT0":[1.0]}'
    with Connection(server) as connection:
        status = connection.call(post("/v2/models/echo/generate", {"Content-Length": str(len(body))}, body)).status
    assert status == 200
    assert server.stop() == 0
    found = traces_in(models.parent / "trace.json").values()
    assert [head["request_id"] for head, _ in found] == ["streamed", "generated"]
    assert [times.keys() for _, times in found] == [EVENTS["grpc"], EVENTS["http"]]


def settings(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(server.get("/v2/trace/setting")[1])
    return found


def set_trace(server: Server, changes: dict[str, Any], model: str = "", *, check: bool = True) -> tuple[int, str]:
    """Status and body of a change of the settings, of a model or of all."""
    body = json.dumps(changes).encode()
    path = f"/v2/models/{model}/trace/setting" if model else "/v2/trace/setting"
    with Connection(server) as connection:
        answer = connection.call(post(path, {"Content-Length": str(len(body))}, body))
    assert answer.status == 200 or not check, answer
    return answer.status, answer.body.decode()
