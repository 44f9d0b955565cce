"""A stop in order: no new connection, requests in flight are answered, exit code 0; a limit and a way to force it."""

import contextlib
import signal
import socket
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from tests.harness.fixtures import StartServer
from tests.harness.pace import rounds
from tests.harness.processes import computing
from tests.harness.raw_http import Connection
from tests.harness.server import HOST, Server
from tests.harness.traffic import echo_call, is_echo, slow_call
from tests.harness.waiting import eventually


def refuses_connections(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return True
    return False


def begin_slow(server: Server, connection: Connection, milliseconds: float) -> None:
    """Send a slow request and wait until the worker computes."""
    with computing(server.worker_of("slow")):
        connection.send(slow_call(milliseconds))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_stops_at_once_with_exit_code_0(
    new_server: StartServer, echo_and_slow: Path, number: signal.Signals
) -> None:
    server = new_server(echo_and_slow).start()
    with Connection(server) as idle:
        assert is_echo(idle.call(echo_call(1)), 1)
        began_s = time.monotonic()
        server.signal(number)
        assert server.wait_ended() == 0
        assert time.monotonic() - began_s < 3.0
    assert f"Signal ({number.value}) received." in server.log()


def test_requests_in_flight_are_answered_and_new_ones_refused(new_server: StartServer, echo_and_slow: Path) -> None:
    server = new_server(echo_and_slow, "--frontends=2").start()
    with Connection(server) as busy, contextlib.ExitStack() as stack:
        others = [stack.enter_context(Connection(server)) for _ in range(6)]
        for each in others:
            assert is_echo(each.call(echo_call(1)), 1)
        begin_slow(server, busy, 3000)
        server.signal(signal.SIGTERM)
        server.wait_for_log(r"Signal \(15\) received")
        eventually(lambda: refuses_connections(server.http_port), "HTTP refuses new connections")
        for each in others:
            answer = each.call(echo_call(2))
            assert (answer.status, answer.error) == (503, "Server exiting")
        assert busy.response().status == 200
    assert server.wait_ended() == 0


def test_a_grpc_call_in_flight_is_answered_during_a_stop(new_server: StartServer, echo_and_slow: Path) -> None:
    server = new_server(echo_and_slow).start()
    message = service_pb2.ModelInferRequest(model_name="slow")
    message.inputs.add(name="ROUNDS", datatype="INT64", shape=[1, 1])
    message.raw_input_contents.append(np.array([[rounds(1000)]], np.int64).tobytes())
    with grpc.insecure_channel(server.grpc_address) as channel:
        with computing(server.worker_of("slow")):
            future = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer").future(
                message.SerializeToString()
            )
        server.signal(signal.SIGTERM)
        answer = service_pb2.ModelInferResponse.FromString(future.result(timeout=30))
    assert answer.raw_output_contents[0] == message.raw_input_contents[0]
    assert server.wait_ended() == 0


def test_a_second_signal_gives_up_what_is_in_flight(new_server: StartServer, echo_and_slow: Path) -> None:
    server = new_server(echo_and_slow).start()
    with Connection(server) as busy:
        begin_slow(server, busy, 30_000)
        server.signal(signal.SIGTERM)
        server.wait_for_log(r"Signal \(15\) received\.")
        # Signals that come within a moment of the first are the same wish.
        first_s = time.monotonic()
        eventually(lambda: time.monotonic() > first_s + 0.6, "a moment has passed")
        server.signal(signal.SIGTERM)
        server.wait_for_log("received again")
        began_s = time.monotonic()
        assert busy.response().status == 503
        server.wait_ended()
        assert time.monotonic() - began_s < 4.0


def test_a_third_signal_ends_what_does_not_end_by_itself(new_server: StartServer, echo_and_slow: Path) -> None:
    server = new_server(echo_and_slow).start()
    with Connection(server) as busy:
        begin_slow(server, busy, 30_000)
        server.signal(signal.SIGTERM)

        def ended() -> bool:
            server.signal(signal.SIGTERM)
            return server.process.poll() is not None

        eventually(ended, "the server has ended", 4.0)


def test_the_exit_timeout_ends_a_stop_with_exit_code_1(new_server: StartServer, echo_and_slow: Path) -> None:
    server = new_server(echo_and_slow, "--exit-timeout-secs=1").start()
    with Connection(server) as busy:
        begin_slow(server, busy, 30_000)
        began_s = time.monotonic()
        server.signal(signal.SIGTERM)
        assert busy.response().status == 503
        assert server.wait_ended() == 1
        assert time.monotonic() - began_s < 5.0
    assert "Exit timeout expired. Exiting immediately." in server.log()


def test_a_stop_while_models_load_is_a_stop(new_server: StartServer, echo_and_slow: Path) -> None:
    server = new_server(echo_and_slow).launch()
    server.wait_for_log(r"of model 'slow' version 1 runs as process")
    server.signal(signal.SIGTERM)
    server.wait_ended(15)
    assert "Traceback" not in server.log()


def test_a_stop_while_a_worker_is_away_is_a_stop(new_server: StartServer, echo_and_slow: Path) -> None:
    server = new_server(echo_and_slow).start()
    for worker in server.workers():
        worker.kill()
    server.signal(signal.SIGTERM)
    assert server.wait_ended(15) == 0
