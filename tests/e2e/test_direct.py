"""Direct ZeroMQ clients by the bare protocol: what docs/zeromq.md promises them."""

import mmap
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness.direct import DirectClient, address_of, infer, zmq_flag
from tests.harness.documents import blocks
from tests.harness.fixtures import StartServer
from tests.harness.models import add_sub, identity, slow
from tests.harness.native_models import write_repeat
from tests.harness.observing import statistics, wait_pool_empty
from tests.harness.pace import rounds
from tests.harness.processes import open_files
from tests.harness.python_models import CODE
from tests.harness.repository import BATCHING, one_cpu
from tests.harness.server import Server, serving
from tests.harness.shared_memory import SharedObjects, shared_objects
from tests.harness.waiting import eventually

__all__ = ["shared_objects"]

ONES = np.ones((1, 16), np.int32)
BIG = np.arange(200_000, dtype=np.float32)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Short, since the path of a socket may have 107 bytes at most."""
    made = Path(tempfile.mkdtemp(prefix="tz-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def direct(folder: Path) -> Iterator[Server]:
    """A server of two frontends for tests that harm nothing."""
    models = folder / "models"
    add_sub().write(models, "simple", max_batch_size=8, extra=one_cpu() + BATCHING)
    identity("FP32", [-1]).write(models, "echo", extra=one_cpu())
    identity("BYTES", [-1]).write(models, "strings", extra=one_cpu())
    slow().write(models, "slow", extra=one_cpu(), max_batch_size=1)
    write_repeat(models)
    CODE.write(models, "code")
    server = Server(models, "--log-verbose=1", "--frontends=2", zmq_flag(folder), log=folder / "log")
    with serving(server):
        yield server
    assert not (folder / "direct").exists()


@pytest.fixture
def client(direct: Server) -> Iterator[DirectClient]:
    with DirectClient(address_of(direct)) as made:
        yield made


def granted(client: DirectClient, size: int) -> tuple[str, mmap.mmap]:
    answer, _ = client.ask({"type": "grant", "id": 9000, "size": size})
    assert answer["type"] == "granted", answer
    fd = os.open(answer["path"], os.O_RDWR)
    about = os.fstat(fd)
    assert (about.st_dev, about.st_ino, about.st_size) == (answer["device"], answer["inode"], size)
    memory = mmap.mmap(fd, size)
    os.close(fd)
    return answer["region"], memory


def placed(region: str, array: "np.ndarray[Any, Any]", offset: int = 0) -> dict[str, Any]:
    return {
        "name": "INPUT0",
        "datatype": "FP32",
        "shape": list(array.shape),
        "region": region,
        "offset": offset,
        "size": array.nbytes,
    }


def test_the_whole_client_of_the_page_prints_what_the_page_says(direct: Server) -> None:
    (block,) = [block for block in blocks("docs/zeromq.md") if block.name == "whole_client.py"]
    assert len(block.text.splitlines()) < 40
    program = block.text.replace("ipc:///run/tis/direct", address_of(direct))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("[2, 2, 2, 2]\n[2, 2, 2, 2]\n", "")


def test_the_socket_is_for_the_user_and_the_group_alone(direct: Server, folder: Path) -> None:
    mode = (folder / "direct").stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660


def test_a_server_says_who_it_is_and_what_it_allows(client: DirectClient) -> None:
    assert client.welcome["version"] == 1
    assert client.welcome["shared_memory"] is True
    assert client.welcome["limits"]["in_flight"] == 256
    about, _ = client.ask({"type": "metadata", "id": 1})
    assert (about["name"], about["ready"]) == ("triton", True)
    about, _ = client.ask({"type": "metadata", "id": 2, "model": "simple"})
    assert about["inputs"][0] == {"name": "INPUT0", "datatype": "INT32", "shape": [-1, 16]}
    assert (about["max_batch_size"], about["decoupled"], about["versions"]) == (8, False, ["1"])
    assert client.ask({"type": "ping", "id": 3})[0] == {"type": "pong", "id": 3}


def test_tensors_travel_in_heads_and_in_frames(client: DirectClient) -> None:
    about = {"datatype": "INT32", "shape": [1, 16]}
    inputs = [{"name": "INPUT0", "data": ONES.tobytes(), **about}, {"name": "INPUT1", "frame": 0, **about}]
    reply, frames = client.ask(
        {"type": "infer", "id": 5, "model": "simple", "inputs": inputs, "request_id": "r"}, (3 * ONES).tobytes()
    )
    assert (reply["type"], reply["id"], reply["final"], reply["request_id"]) == ("reply", 5, True, "r")
    assert (reply["model"], reply["version"]) == ("simple", "1")
    values = {each["name"]: np.frombuffer(frames[each["frame"]], np.int32) for each in reply["outputs"]}
    assert values["OUTPUT0"].tolist() == [4] * 16
    assert values["OUTPUT1"].tolist() == [-2] * 16


def test_a_large_tensor_travels_in_a_frame(client: DirectClient) -> None:
    tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [BIG.size], "frame": 0}
    message = {"type": "infer", "id": 1, "model": "echo", "inputs": [tensor]}
    for _ in range(3):
        _, frames = client.ask(message, BIG.tobytes())
        assert frames == [BIG.tobytes()]


def test_tensors_lie_in_a_granted_region(client: DirectClient) -> None:
    region, memory = granted(client, 1 << 20)
    memory[: BIG.nbytes] = BIG.tobytes()
    size = BIG.nbytes
    short = BIG[:1000]
    output = {"name": "OUTPUT0", "region": region, "offset": 900_000, "size": 4000}
    message = {"type": "infer", "id": 1, "model": "echo", "inputs": [placed(region, short)], "outputs": [output]}
    reply, frames = client.ask(message)
    assert (reply["outputs"][0]["region"], reply["outputs"][0]["offset"], frames) == (region, 900_000, [])
    assert memory[900_000:904_000] == short.tobytes()
    assert memory[904_000:] == bytes((1 << 20) - 904_000)
    message["inputs"] = [placed(region, BIG)]
    code, text = client.refusal(message)
    assert code == "INTERNAL"
    assert "should be at least 800000 bytes to hold the results" in text
    output["spill"] = True
    reply, frames = client.ask(message)
    assert frames == [memory[:size]]
    memory.close()


def test_a_granted_region_cannot_be_cut_and_has_no_name(client: DirectClient) -> None:
    before = {each.name for each in Path("/dev/shm").iterdir()}
    answer, _ = client.ask({"type": "grant", "id": 1, "size": 4096})
    assert {each.name for each in Path("/dev/shm").iterdir()} <= before
    for size in (0, 8192):
        with pytest.raises(PermissionError):
            os.truncate(answer["path"], size)


def test_a_region_is_nobody_elses(client: DirectClient, direct: Server, shared_objects: SharedObjects) -> None:
    region, memory = granted(client, 4096)
    made = shared_objects.make(bytes(4096))
    assert (
        client.ask({"type": "register", "id": 1, "region": "mine", "key": made.key, "size": 4096})[0]["type"] == "done"
    )
    with DirectClient(address_of(direct)) as other:
        for name in (region, "mine"):
            message = {"type": "infer", "id": 1, "model": "echo", "inputs": [placed(name, BIG[:4])]}
            assert other.refusal(message) == ("NOT_FOUND", f"Unable to find shared memory region: '{name}'")
            assert other.refusal({"type": "release", "id": 2, "region": name})[0] == "NOT_FOUND"
        assert other.ask({"type": "register", "id": 3, "region": "mine", "key": made.key, "size": 16})[0]["id"] == 3
    assert direct.get("/v2/systemsharedmemory/status") == (200, b"[]")
    assert client.ask({"type": "release", "id": 2, "region": "mine"})[0] == {"type": "done", "id": 2}
    memory.close()


@pytest.mark.parametrize(("offset", "size"), [(0, 4097), (4096, 0), (4090, 16), (1 << 62, 16), (0, (1 << 63) - 1)])
def test_nothing_outside_a_region_can_be_named(client: DirectClient, offset: int, size: int) -> None:
    region, memory = granted(client, 4096)
    memory.close()
    tensor = {**placed(region, BIG[:4], offset), "size": size}
    code, text = client.refusal({"type": "infer", "id": 1, "model": "echo", "inputs": [tensor]})
    assert code == "INVALID_ARG"
    assert "for shared memory region" in text


def test_regions_of_a_client_that_leaves_are_given_back(direct: Server) -> None:
    def held() -> int:
        return sum(name.startswith("/memfd:tis-granted") for name in open_files(direct.process.pid))

    eventually(lambda: not held(), "the regions of tests before are closed")
    with DirectClient(address_of(direct)) as client:
        for _ in range(3):
            granted(client, 1 << 20)[1].close()
        assert held() == 3
    eventually(lambda: not held(), "the supervisor has closed the regions")


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        (
            {"type": "infer", "id": 1, "model": "nobody", "inputs": []},
            "NOT_FOUND",
            "Request for unknown model: 'nobody'",
        ),
        ({"type": "infer", "id": 1, "model": "echo", "inputs": [], "version": "x"}, "INVALID_ARG", "version"),
        (
            {"type": "infer", "id": 1, "model": "echo", "inputs": []},
            "INVALID_ARG",
            "expected 1 inputs but got 0 inputs",
        ),
        (infer(1, "echo", BIG[:4], "INT32"), "INVALID_ARG", "data-type is 'INT32'"),
        (infer(1, "echo", BIG[:4], "FP32", outputs=[{"name": "X"}]), "INVALID_ARG", "unexpected inference output 'X'"),
        (infer(1, "echo", BIG[:4], "FP32", parameters={"triton_x": 1}), "INVALID_ARG", "reserved"),
        (
            infer(1, "echo", BIG[:4], "FP32", outputs=[{"name": "OUTPUT0", "size": 4}]),
            "INVALID_ARG",
            "without a 'region'",
        ),
        (
            {"type": "infer", "id": 1, "model": "echo", "inputs": [{**placed("r", BIG[:4]), "frame": 0}]},
            "INVALID_ARG",
            "one of",
        ),
        ({"type": "infer", "id": 0, "model": "echo", "inputs": []}, "INVALID_ARG", "`int` >= 1"),
        ({"type": "infer", "id": 1, "model": "echo", "inputs": [], "more": 1}, "INVALID_ARG", "unknown field `more`"),
        ({"type": "nothing", "id": 1}, "INVALID_ARG", "Invalid value 'nothing'"),
        ({"type": "grant", "id": 1, "size": 0}, "INVALID_ARG", "a region has between 1 and"),
        ({"type": "grant", "id": 1, "size": 15 << 30}, "UNAVAILABLE", "no room to grant a region"),
        ({"type": "register", "id": 1, "region": "r", "key": "/nothing", "size": 1}, "INTERNAL", "Unable to open"),
        ({"type": "release", "id": 1, "region": "r"}, "NOT_FOUND", "Unable to find shared memory region: 'r'"),
        ({"type": "statistics", "id": 1, "model": "nobody"}, "INVALID_ARG", "is not available"),
        (b"\xc1", "INVALID_ARG", "the message cannot be read"),
        (b"", "INVALID_ARG", "the message cannot be read"),
    ],
)
def test_a_wrong_message_is_refused_in_words(client: DirectClient, message: Any, code: str, text: str) -> None:
    answered, said = client.refusal(message)
    assert (answered, text in said) == (code, True), said
    assert client.ask({"type": "ping", "id": 2})[0]["type"] == "pong"


def test_who_has_not_said_hello_is_asked_to(direct: Server) -> None:
    with DirectClient(address_of(direct), greet=False) as client:
        code, text = client.refusal({"type": "ping", "id": 1})
        assert code == "UNAVAILABLE"
        assert "say hello first" in text
        assert client.refusal({"type": "hello", "version": 2}) == ("INVALID_ARG", "this server speaks version 1, not 2")


def test_a_message_beyond_its_limits_is_refused_and_read_to_its_end(client: DirectClient) -> None:
    limits = client.welcome["limits"]
    many = [b"x"] * (limits["frames"] + 1)
    large = [bytes(limits["message_bytes"] // 2)] * 3
    for frames in (many, large):
        code, text = client.refusal({"type": "infer", "id": 1, "model": "echo", "inputs": []}, *frames)
        assert code == "INVALID_ARG"
        assert "a message has at most" in text
    tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [4], "frame": limits["frames"] - 1}
    frames = [b""] * (limits["frames"] - 1) + [BIG[:4].tobytes()]
    reply, _ = client.ask({"type": "infer", "id": 2, "model": "echo", "inputs": [tensor]}, *frames)
    assert reply["type"] == "reply"


def test_several_requests_are_in_flight_at_once(client: DirectClient) -> None:
    for number in range(1, 201):
        client.send(infer(number, "echo", np.full(4, number, np.float32), "FP32"))
    seen: dict[int, float] = {}
    for _ in range(200):
        reply, frames = client.receive()
        assert reply["type"] == "reply", reply
        seen[reply["id"]] = float(np.frombuffer(frames[0], np.float32)[0])
    assert seen == {number: float(number) for number in range(1, 201)}


def test_too_many_requests_in_flight_are_refused(client: DirectClient) -> None:
    body = np.array([[rounds(300)]], np.int64)
    tensor = {"name": "ROUNDS", "datatype": "INT64", "shape": [1, 1], "data": body.tobytes()}
    message = {"type": "infer", "model": "slow", "inputs": [tensor]}
    client.send({**message, "id": 1})
    client.send({**message, "id": 1})
    for number in range(2, 300):
        client.send({**message, "id": number})
    errors: list[dict[str, Any]] = []
    while len(errors) < 2:
        heard, _ = client.receive()
        errors += [heard] if heard["type"] == "error" else []
    assert (errors[0]["id"], errors[0]["code"], "not answered yet" in errors[0]["text"]) == (1, "INVALID_ARG", True)
    assert (errors[1]["code"], "256 requests and calls" in errors[1]["text"]) == ("UNAVAILABLE", True)


def test_a_request_that_waits_is_cancelled(client: DirectClient, direct: Server) -> None:
    body = np.array([[rounds(300)]], np.int64)
    tensor = {"name": "ROUNDS", "datatype": "INT64", "shape": [1, 1], "data": body.tobytes()}
    for number in (1, 2, 3):
        client.send({"type": "infer", "id": number, "model": "slow", "inputs": [tensor]})
    client.send({"type": "cancel", "id": 2})
    client.send({"type": "cancel", "id": 77})
    heard = [client.receive()[0] for _ in range(4)]
    error = next(each for each in heard if each["type"] == "error")
    assert (error["id"], error["code"], error["final"], error["running"]) == (2, "CANCELLED", True, True)
    assert heard.index({"type": "over", "id": 2}) > heard.index(error)
    assert {each["id"] for each in heard if each["type"] == "reply"} == {1, 3}
    wait_pool_empty(direct)


def test_a_decoupled_model_replies_many_times(client: DirectClient) -> None:
    inputs = [
        {"name": "IN", "datatype": "INT32", "shape": [3], "data": np.array([7, 8, 9], np.int32).tobytes()},
        {"name": "DELAY", "datatype": "UINT32", "shape": [3], "data": bytes(12)},
        {"name": "WAIT", "datatype": "UINT32", "shape": [1], "data": bytes(4)},
    ]
    client.send({"type": "infer", "id": 4, "model": "repeat", "inputs": inputs})
    values: list[int] = []
    while True:
        reply, frames = client.receive()
        if reply["empty"]:
            break
        values += np.frombuffer(frames[0], np.int32).tolist()
        if reply["final"]:
            break
    assert reply["final"]
    assert values == [7, 8, 9]


def test_statistics_are_those_of_http(client: DirectClient, direct: Server) -> None:
    client.ask(infer(1, "echo", BIG[:4], "FP32"))
    found, _ = client.ask({"type": "statistics", "id": 2, "model": "echo"})
    (stats,) = found["model_stats"]
    assert stats.keys() == statistics(direct, "echo").keys()
    assert stats["inference_count"] >= 1


def test_parameters_reach_the_model(client: DirectClient) -> None:
    code = b"out = [R(request.parameters(), request.request_id())]"
    data = len(code).to_bytes(4, "little") + code
    tensor = {"name": "CODE", "datatype": "BYTES", "shape": [1], "data": data}
    message = {"type": "infer", "id": 1, "model": "code", "inputs": [tensor], "outputs": [{"name": "OUT"}]}
    reply, frames = client.ask({**message, "parameters": {"a": 1, "b": "x"}, "request_id": "me"})
    assert reply["type"] == "reply", reply
    assert b'{"a":1,"b":"x"}' in frames[0]
    assert b"".join(frames).endswith(b"me")


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("tcp://0.0.0.0:5555", "others than this machine could reach it, which needs keys"),
        ("tcp://example.com:5555", "is no IP address"),
        ("tcp://127.0.0.1", "it must end with a port"),
        ("ipc://@abstract", "must be absolute"),
        ("udp://127.0.0.1:1", "neither with ipc:// nor with tcp://"),
        ("ipc:///" + "x" * 110, "at most 107 bytes"),
        ("ipc:///dev/null", "a file that is no socket is there"),
    ],
)
def test_an_address_that_is_not_served_is_refused_at_start(
    new_server: StartServer, tmp_path: Path, address: str, why: str
) -> None:
    (tmp_path / "models").mkdir()
    server = new_server(tmp_path / "models", f"--zmq-address={address}").launch()
    assert server.wait_ended() == 1
    assert why in server.log()


def test_loopback_tcp_is_served_and_a_second_server_does_not_take_a_socket_over(
    new_server: StartServer, folder: Path, tmp_path: Path, direct: Server
) -> None:
    identity("FP32", [-1]).write(tmp_path / "models", "echo", extra=one_cpu())
    second = new_server(tmp_path / "models", zmq_flag(folder)).launch()
    assert second.wait_ended() == 1
    assert "another server listens there" in second.log()
    third = new_server(tmp_path / "models", "--zmq-address=tcp://127.0.0.1:0").start()
    third.wait_ready()
    with DirectClient(address_of(third)) as client:
        assert client.ask(infer(1, "echo", BIG[:4], "FP32"))[1] == [BIG[:4].tobytes()]
