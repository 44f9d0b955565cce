"""The scheduler, a frontend or the supervisor dies: what is lost is said at once, and service or silence follows."""

import contextlib
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tests.harness.fixtures import StartServer
from tests.harness.observing import wait_pool_empty
from tests.harness.processes import computing, successor
from tests.harness.raw_http import Connection, binary_body, infer_post
from tests.harness.server import Server
from tests.harness.traffic import Chatter, echo_call, is_echo, slow_call
from tests.harness.waiting import eventually


@pytest.fixture
def server(new_server: StartServer, echo_and_slow: Path) -> Server:
    return new_server(echo_and_slow).start()


# ---- the scheduler -------------------------------------------------------------------------------------------------


def test_a_killed_scheduler_fails_what_was_in_flight_and_is_back_soon(server: Server) -> None:
    workers = {worker.pid for worker in server.workers()}
    scheduler = server.scheduler()
    with Connection(server) as connection:
        with computing(server.worker_of("slow")):
            connection.send(slow_call(1000))
        scheduler.kill()
        killed_s = time.monotonic()
        answer = connection.response()
        assert time.monotonic() - killed_s < 1.0
        assert answer.status == 503
        assert "the scheduler has died" in answer.error
        eventually(lambda: is_echo(connection.call(echo_call(1)), 1), "requests are answered again", 5)
        assert time.monotonic() - killed_s < 3.0
        assert connection.call(slow_call(1)).status == 200
    assert {worker.pid for worker in server.workers()} == workers, "workers keep their models"
    server.wait_ready()
    wait_pool_empty(server)


def test_requests_during_the_absence_of_the_scheduler_are_refused_and_not_lost(server: Server) -> None:
    with Chatter(server) as chatter:
        for _ in range(3):
            chatter.wait_right(50)
            server.kill(server.scheduler())
            chatter.wait_right(50)
    assert set(chatter.outcomes) <= {200, 503}, chatter.outcomes
    wait_pool_empty(server)


# ---- a frontend ----------------------------------------------------------------------------------------------------


def test_a_killed_frontend_is_replaced_and_no_connection_attempt_is_refused(server: Server) -> None:
    (frontend,) = server.frontends()
    with Connection(server) as connection:
        assert is_echo(connection.call(echo_call(1)), 1)
        frontend.kill()
        assert connection.closed_by_server()
    # The listening socket is the supervisor's: this connection waits for the next frontend.
    with Connection(server) as connection:
        assert is_echo(connection.call(echo_call(2)), 2)
    assert server.frontends()[0].pid != frontend.pid
    server.wait_ready()


def test_what_a_killed_frontend_had_of_the_pool_is_free_again(new_server: StartServer, echo_and_slow: Path) -> None:
    server = new_server(echo_and_slow, "--pool-byte-size=33554432").start()
    large = binary_body({"INPUT0": np.full(2_000_000, 3, np.float32)})
    for _ in range(3):
        (frontend,) = server.frontends()
        with Connection(server) as connection, Connection(server) as slow_one:
            with computing(server.worker_of("slow")):
                slow_one.send(slow_call(200))
                connection.send(infer_post("echo", large)[:5_000_000])
            frontend.kill()
            assert connection.closed_by_server()
        with Connection(server) as connection:
            assert connection.call(infer_post("echo", large)).body.endswith(large.data[-8_000_000:])
    wait_pool_empty(server)


def test_a_frontend_that_dies_while_a_worker_starts_is_replaced(server: Server) -> None:
    server.worker_of("slow").kill()
    # The new worker is a process, but has not spoken to the supervisor yet.
    server.wait_for_log(r"(?s)of model 'slow' .*of model 'slow' version 1 runs as process")
    (frontend,) = server.frontends()
    frontend.kill()
    with Connection(server) as connection:
        assert is_echo(connection.call(echo_call(1)), 1)
        assert connection.call(slow_call(1)).status == 200
    server.wait_ready()
    wait_pool_empty(server)


def test_a_frontend_killed_under_load_leaves_nothing_with_the_workers(server: Server) -> None:
    for turn in range(3):
        (frontend,) = server.frontends()
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(Connection(server)) for _ in range(8)]
            for connection in connections:
                connection.send(echo_call(turn) * 100)
            # Some are answered, some run, some wait at a worker, some wait for the scheduler.
            assert is_echo(connections[0].response(), turn)
            frontend.kill()
        successor(server.frontends, frontend)
        with Connection(server) as connection:
            assert is_echo(connection.call(echo_call(-turn)), -turn)
    wait_pool_empty(server)


def test_the_other_frontend_serves_on(new_server: StartServer, echo_and_slow: Path) -> None:
    server = new_server(echo_and_slow, "--frontends=2").start()
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection(server)) for _ in range(16)]
        for connection in connections:
            assert is_echo(connection.call(echo_call(1)), 1)
        server.frontends()[0].kill()
        survivors = 0
        for connection in connections:
            with contextlib.suppress(OSError):
                survivors += is_echo(connection.call(echo_call(2)), 2)
        assert 0 < survivors < 16
    eventually(lambda: len(server.frontends()) == 2, "there are two frontends again")
    server.wait_ready()
    wait_pool_empty(server)


# ---- the supervisor ------------------------------------------------------------------------------------------------


def test_nothing_survives_a_killed_supervisor(new_server: StartServer, echo_and_slow: Path) -> None:
    server = new_server(echo_and_slow, "--frontends=2").start()
    with Connection(server) as connection:
        with computing(server.worker_of("slow")):
            connection.send(slow_call(5000))
        server.signal(signal.SIGKILL)
        assert server.wait_ended() == -signal.SIGKILL
        eventually(lambda: not server.processes(), "no process is left", 10)
        assert connection.closed_by_server()


def test_a_server_removes_what_a_killed_one_left(new_server: StartServer, echo_and_slow: Path) -> None:
    first = new_server(echo_and_slow).start()
    first.signal(signal.SIGKILL)
    first.wait_ended()
    eventually(lambda: not first.processes(), "no process is left", 10)
    (left,) = first.runtime_parent.iterdir()
    second = new_server(echo_and_slow, f"--runtime-directory={first.runtime_parent}").start()
    (own,) = first.runtime_parent.iterdir()
    assert own != left
    assert second.stop() == 0
    assert not list(first.runtime_parent.iterdir())


def test_servers_that_start_at_the_same_moment_do_not_remove_each_other(
    new_server: StartServer, tmp_path: Path
) -> None:
    (tmp_path / "none").mkdir()
    servers = [new_server(tmp_path / "none", f"--runtime-directory={tmp_path / 'run'}") for _ in range(4)]
    for each in servers:
        each.launch()
    for each in servers:
        each.wait_started()
        each.wait_ready()
        assert each.stop() == 0
    assert not list((tmp_path / "run").iterdir())
