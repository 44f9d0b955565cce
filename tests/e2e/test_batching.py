"""Dynamic batching, instances and frontends: requests are put together, spread out and never torn apart."""

import concurrent.futures
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.harness.faces import Call, Face, GrpcFace, HttpFace
from tests.harness.fixtures import StartServer
from tests.harness.models import add_sub, identity, slow
from tests.harness.observing import batch_counts, settled, statistics
from tests.harness.pace import rounds
from tests.harness.processes import cpu_ticks, open_sockets
from tests.harness.raw_http import Connection, binary_body, infer_post
from tests.harness.repository import BATCHING, one_cpu
from tests.harness.server import Server
from tests.harness.waiting import eventually


def at_once(count: int, work: Callable[[int], None]) -> None:
    """Run `work` for each number, all at the same time."""
    together = threading.Barrier(count)

    def run(number: int) -> None:
        together.wait(30)
        work(number)

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(run, number) for number in range(count)]:
            done.result(60)


def slow_body(*milliseconds: float) -> bytes:
    array = np.array([[rounds(each)] for each in milliseconds], np.int64)
    return infer_post("slow", binary_body({"ROUNDS": array}))


@pytest.fixture
def slow_server(new_server: StartServer, tmp_path: Path) -> Server:
    slow().write(tmp_path / "models", "slow", max_batch_size=8, extra=one_cpu() + BATCHING)
    return new_server(tmp_path / "models").start()


@contextlib.contextmanager
def busy_instance(server: Server, milliseconds: float = 400) -> Iterator[None]:
    """While an instance of `slow` is busy with a request of one item, which is answered at the end."""
    before = {worker.pid: cpu_ticks(worker.pid) for worker in server.workers()}
    with Connection(server) as first:
        first.send(slow_body(milliseconds))
        # More ticks than heartbeats explain.
        eventually(lambda: any(cpu_ticks(pid) > ticks + 3 for pid, ticks in before.items()), "an instance computes")
        yield
        assert first.response().status == 200


def test_requests_that_wait_share_one_execution(slow_server: Server) -> None:
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection(slow_server)) for _ in range(8)]
        with busy_instance(slow_server):
            for connection in connections:
                connection.send(slow_body(1))
        for connection in connections:
            assert connection.response().status == 200
    counts = batch_counts(settled(slow_server, "slow", 9))
    assert sum(items * executions for items, executions in counts.items()) == 9
    assert max(counts) >= 4, counts


def test_a_request_is_never_split(slow_server: Server) -> None:
    # Three requests of three items: a limit of eight would hold two and two thirds of them.
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection(slow_server)) for _ in range(3)]
        with busy_instance(slow_server):
            for connection in connections:
                connection.send(slow_body(1, 1, 1))
        for connection in connections:
            assert connection.response().json()["outputs"][0]["shape"] == [3, 1]
    stats = settled(slow_server, "slow", 4)
    assert set(batch_counts(stats)) <= {1, 3, 6}, stats
    assert stats["inference_count"] == 10


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_every_request_of_a_batch_gets_its_own_answer(server: Server, kind: str) -> None:
    before = statistics(server, "simple")

    def client(number: int) -> None:
        face: Face = HttpFace(server) if kind == "http" else GrpcFace(server)
        with contextlib.closing(face):
            for turn in range(25):
                items = (number + turn) % 8 + 1
                left = np.full((items, 16), number * 1000 + turn, np.int32)
                answer = face.infer(Call("simple", {"INPUT0": left, "INPUT1": left * 3}, request_id=f"{number}/{turn}"))
                assert answer.request_id == f"{number}/{turn}"
                assert (answer.outputs["OUTPUT0"] == left * 4).all()
                assert (answer.outputs["OUTPUT1"] == left * -2).all()

    at_once(8, client)
    after = settled(server, "simple", before["inference_stats"]["success"]["count"] + 8 * 25)
    assert after["execution_count"] - before["execution_count"] < 8 * 25


def test_requests_of_different_variable_shapes_are_not_mixed(server: Server) -> None:
    def client(number: int) -> None:
        with contextlib.closing(GrpcFace(server)) as face:
            for turn in range(20):
                sent = np.full((1 + turn % 4, 1 + number % 3), f"{number}-{turn}".encode(), np.object_)
                answer = face.infer(Call("strings", {"INPUT0": sent}))
                assert answer.outputs["OUTPUT0"].tolist() == sent.tolist()

    at_once(6, client)


def test_a_second_instance_does_not_wait_for_the_first(new_server: StartServer, tmp_path: Path) -> None:
    slow().write(tmp_path / "models", "slow", max_batch_size=8, extra=one_cpu(2) + BATCHING)
    server = new_server(tmp_path / "models").start()
    assert len(server.workers()) == 2
    with busy_instance(server, 1500), Connection(server) as connection:
        began_s = time.monotonic()
        assert connection.call(slow_body(1)).status == 200
        assert time.monotonic() - began_s < 1.0
    assert batch_counts(settled(server, "slow", 2)) == {1: 2}


def test_a_request_that_fails_inside_a_batch_fails_alone(server: Server) -> None:
    before = statistics(server, "gather")
    indices = [3, 99, 5, 7]
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection(server)) for _ in indices]
        for index, connection in zip(indices, connections, strict=True):
            connection.send(infer_post("gather", binary_body({"INDEX": np.array([[index]])})))
        answers = [connection.response() for connection in connections]
    assert [answer.status for answer in answers] == [200, 500, 200, 200]
    assert "onnx runtime error" in answers[1].error
    for index, answer in zip(indices, answers, strict=True):
        assert answer.status != 200 or answer.body.endswith(np.int64(index * 10).tobytes())
    after = settled(server, "gather", before["inference_stats"]["success"]["count"] + 3)
    assert batch_counts(after)[4] == batch_counts(before).get(4, 0) + 1


def test_frontends_share_the_ports(new_server: StartServer, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    add_sub().write(repository, "simple", max_batch_size=8, extra=one_cpu() + BATCHING)
    identity("FP32", [-1]).write(repository, "echo", extra=one_cpu())
    server = new_server(repository, "--frontends=2").start()
    frontends = server.frontends()
    assert len(frontends) == 2
    idle = [open_sockets(frontend.pid) for frontend in frontends]
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection(server)) for _ in range(32)]
        for value, connection in enumerate(connections):
            body = binary_body({"INPUT0": np.array([value], np.float32)})
            assert connection.call(infer_post("echo", body)).body.endswith(np.float32(value).tobytes())
        taken = [open_sockets(frontend.pid) - before for frontend, before in zip(frontends, idle, strict=True)]
        assert min(taken) > 0, f"connections of each frontend: {taken}"
    for _ in range(8):
        with contextlib.closing(GrpcFace(server)) as face:
            assert face.ask("is_server_ready") is True
    # Whichever frontend is asked, it answers for the server.
    assert settled(server, "echo", 32)["inference_count"] == 32
