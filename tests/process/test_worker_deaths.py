"""A worker dies: exactly its requests fail, at once; everybody else is served; it is back soon, but not for ever."""

import concurrent.futures
import contextlib
import time
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from tests.harness.faces import Call, GrpcFace, refusal
from tests.harness.fixtures import StartServer
from tests.harness.models import identity
from tests.harness.observing import wait_pool_empty
from tests.harness.pace import rounds
from tests.harness.processes import computing, successor
from tests.harness.raw_http import Connection, binary_body, infer_post
from tests.harness.repository import one_cpu
from tests.harness.server import Server
from tests.harness.traffic import Chatter, echo_call, is_echo, slow_call
from tests.harness.waiting import eventually

_LONG_MS: Final = 2000
_BACK_WITHIN_S: Final = 5.0  # about two seconds on a machine that does nothing else


@pytest.fixture
def server(new_server: StartServer, echo_and_slow: Path) -> Server:
    return new_server(echo_and_slow).start()


def test_the_requests_of_a_killed_worker_fail_at_once_over_http(server: Server) -> None:
    worker = server.worker_of("slow")
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection(server)) for _ in range(3)]
        with computing(worker):
            for connection in connections:
                connection.send(slow_call(_LONG_MS))
        worker.kill()
        killed_s = time.monotonic()
        first = connections[0].response()
        assert time.monotonic() - killed_s < 1.0
        assert first.status == 503
        assert "the instance of model 'slow' that ran this request has died (was killed by SIGKILL" in first.error
        # The connection survives, and so do requests that only waited.
        assert is_echo(connections[0].call(echo_call(1)), 1)
        for connection in connections[1:]:
            assert connection.response().status in (200, 503)


def test_the_request_of_a_killed_worker_fails_with_unavailable_over_grpc(server: Server) -> None:
    worker = server.worker_of("slow")
    call = Call("slow", {"ROUNDS": np.array([[rounds(_LONG_MS)]], np.int64)}, request_id="mine")
    with (
        contextlib.closing(GrpcFace(server)) as face,
        Connection(server) as beside,
        concurrent.futures.ThreadPoolExecutor(1) as pool,
    ):
        with computing(worker):
            refused = pool.submit(refusal, face, call)
        worker.kill()
        error = refused.result(10)
        assert error.status == "UNAVAILABLE"
        assert error.text.startswith("[request id: mine] the instance of model 'slow'")
        assert is_echo(beside.call(echo_call(2)), 2)


def test_others_notice_nothing_and_the_model_is_back_soon(server: Server) -> None:
    worker = server.worker_of("slow")
    with Chatter(server) as chatter:
        server.kill(worker)
        killed_s = time.monotonic()
        with Connection(server) as connection:
            answer = connection.call(slow_call(1))
            assert answer.status == 200, "a request that comes meanwhile waits for the new worker"
        assert time.monotonic() - killed_s < _BACK_WITHIN_S
    assert set(chatter.outcomes) == {200}, chatter.outcomes
    assert server.worker_of("slow").pid != worker.pid
    server.wait_ready()
    wait_pool_empty(server)


def test_a_second_instance_serves_while_the_first_is_away(new_server: StartServer, tmp_path: Path) -> None:
    identity("FP32", [-1]).write(tmp_path / "two", "echo", extra=one_cpu(2))
    server = new_server(tmp_path / "two").start()
    first, second = server.workers()
    for worker in (first, second):
        with Chatter(server) as chatter:
            chatter.wait_right(20)
            server.kill(worker)
            chatter.wait_right(20)
            eventually(lambda: len(server.workers()) == 2, "there are two workers again")
            chatter.wait_right(20)
        assert set(chatter.outcomes) <= {200, 503}, chatter.outcomes
        assert chatter.outcomes[503] <= 1, "only the request that the dead worker had"


def test_two_workers_that_die_in_one_moment_are_both_replaced(server: Server) -> None:
    before = server.workers()
    for worker in before:
        worker.kill()
    for worker in before:
        server.wait_for_log(rf"\(pid {worker.pid}\) was killed by SIGKILL")
    with Connection(server) as connection:
        assert is_echo(connection.call(echo_call(5)), 5)
        assert connection.call(slow_call(1)).status == 200
    assert len(server.workers()) == 2


def test_what_a_dead_worker_had_of_the_pool_is_granted_again(new_server: StartServer, tmp_path: Path) -> None:
    identity("FP32", [-1]).write(tmp_path / "one", "echo", extra=one_cpu())
    # The smallest pool: half of it is for workers, so that a few lost grants would exhaust it.
    server = new_server(tmp_path / "one", "--pool-byte-size=33554432").start()
    for turn in range(5):
        with Connection(server) as connection:
            for value in range(3):
                large = np.full(1_000_000, turn * 10 + value, np.float32)
                answer = connection.call(infer_post("echo", binary_body({"INPUT0": large})))
                assert answer.status == 200, answer
                assert answer.body.endswith(large.tobytes())
        server.kill(server.worker_of("echo"))
    wait_pool_empty(server)


def test_a_worker_that_dies_again_and_again_is_given_up_and_its_requests_are_refused(server: Server) -> None:
    with Chatter(server) as chatter:
        for deaths in range(1, 8):
            worker = server.worker_of("slow")
            server.kill(worker)
            if deaths < 7:
                successor(lambda: [server.worker_of("slow")], worker)
        server.wait_for_log(
            "instance 'slow_0_0' of model 'slow' version 1 died 7 times in a row; it is not started again"
        )
        with Connection(server) as connection:
            # The scheduler refuses at once; when the frontend has heard of it, too, it has other words.
            refused = eventually(
                lambda: [answer for answer in [connection.call(slow_call(1))] if answer.status == 404],
                "the frontend knows that there is no version",
            )
            assert "has no available versions" in refused[0].error
    assert set(chatter.outcomes) == {200}, chatter.outcomes
    assert server.get("/v2/health/ready")[0] == 400
    assert server.get("/v2/models/slow/ready")[0] == 400
    assert server.stop() == 0
