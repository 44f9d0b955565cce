"""Clients that go away, send garbage or never read: nobody else notices, and nothing of the pool stays taken."""

import contextlib
import os
import random
import socket
import time
from pathlib import Path
from typing import Final

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from tests.harness.faces import Call, GrpcFace
from tests.harness.fixtures import StartServer
from tests.harness.models import identity, slow
from tests.harness.observing import pool_use, statistics, wait_pool_empty
from tests.harness.pace import rounds
from tests.harness.raw_http import Body, Connection, binary_body, infer_post, post
from tests.harness.repository import one_cpu
from tests.harness.server import HOST, Server
from tests.harness.waiting import eventually

_BIG: Final = binary_body({"INPUT0": np.zeros(500_000, np.float32)})
_METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"


def serves(server: Server) -> None:
    """Both protocols answer a good request rightly."""
    values = np.random.default_rng().random(8, dtype=np.float32)
    with Connection(server) as connection:
        answer = connection.call(infer_post("echo", binary_body({"INPUT0": values})))
        assert answer.body.endswith(values.tobytes())
    with contextlib.closing(GrpcFace(server)) as face:
        assert (face.infer(Call("echo", {"INPUT0": values})).outputs["OUTPUT0"] == values).all()


@pytest.fixture
def own_server(new_server: StartServer, tmp_path: Path) -> Server:
    repository = tmp_path / "models"
    identity("FP32", [-1]).write(repository, "echo", extra=one_cpu())
    slow().write(repository, "slow", extra=one_cpu(), max_batch_size=1)
    return new_server(repository, "--pool-byte-size=33554432").start()


@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_leaves_in_the_middle_of_a_body_leaves_nothing(server: Server, reset: bool) -> None:
    data = infer_post("echo", _BIG)
    for share in (0.1, 0.5, 0.999):
        connection = Connection(server)
        connection.send(data[: int(len(data) * share)])
        connection.close(reset=reset)
    serves(server)
    wait_pool_empty(server)


@pytest.mark.parametrize("behind", [0, 1, 3])
def test_a_client_that_leaves_during_a_control_call_is_no_failure(own_server: Server, behind: int) -> None:
    whole = post("/v2/repository/index", {"Content-Length": "2"}, b"{}")
    for at in range(40):
        connection = Connection(own_server)
        connection.send(whole * behind + (whole if at % 2 else whole[:-1]))
        connection.close(reset=at % 3 == 0)
    serves(own_server)
    own_server.wait_ready()
    assert "failed" not in own_server.log()
    assert "Traceback" not in own_server.log()


@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_leaves_before_its_answer_leaves_nothing(server: Server, reset: bool) -> None:
    for _ in range(20):
        connection = Connection(server)
        connection.send(infer_post("echo", _BIG))
        connection.close(reset=reset)
    serves(server)
    wait_pool_empty(server)


def test_a_client_that_never_reads_holds_up_nobody(server: Server) -> None:
    with Connection(server, receive_buffer_bytes=4096) as connection:
        connection.send(infer_post("echo", _BIG) * 3)
        for _ in range(5):
            serves(server)
    wait_pool_empty(server)


def test_a_request_whose_client_has_gone_is_not_run(own_server: Server) -> None:
    body = binary_body({"ROUNDS": np.array([[rounds(300)]], np.int64)})
    with Connection(own_server) as running:
        running.send(infer_post("slow", body))
        waiting = [Connection(own_server) for _ in range(5)]
        for connection in waiting:
            connection.send(infer_post("slow", body))
        eventually(lambda: any(pending >= 1 for _, pending in pool_use(own_server).values()), "requests are in flight")
        for connection in waiting:
            connection.close()
        assert running.response().status == 200
    eventually(
        lambda: statistics(own_server, "slow")["inference_stats"]["fail"]["count"] >= 3, "the rest was cancelled"
    )
    assert statistics(own_server, "slow")["inference_count"] <= 3
    wait_pool_empty(own_server)


def test_a_grpc_call_that_is_cancelled_leaves_nothing(own_server: Server) -> None:
    message = service_pb2.ModelInferRequest(model_name="slow")
    message.inputs.add(name="ROUNDS", datatype="INT64", shape=[1, 1])
    message.raw_input_contents.append(np.array([[rounds(200)]], np.int64).tobytes())
    with grpc.insecure_channel(own_server.grpc_address) as channel:
        call = channel.unary_unary(_METHOD)
        futures = [call.future(message.SerializeToString()) for _ in range(5)]
        eventually(lambda: any(pending >= 1 for _, pending in pool_use(own_server).values()), "requests are in flight")
        for future in futures:
            future.cancel()
    serves(own_server)
    wait_pool_empty(own_server)


def test_a_deadline_that_passes_ends_the_call_for_the_client(own_server: Server) -> None:
    message = service_pb2.ModelInferRequest(model_name="slow")
    message.inputs.add(name="ROUNDS", datatype="INT64", shape=[1, 1])
    message.raw_input_contents.append(np.array([[rounds(500)]], np.int64).tobytes())
    with grpc.insecure_channel(own_server.grpc_address) as channel:
        began_s = time.monotonic()
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(_METHOD)(message.SerializeToString(), timeout=0.1)
        assert time.monotonic() - began_s < 0.4
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    wait_pool_empty(own_server)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0" * 1000,
        b"\xff" * 1000,
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v2/models/echo/infer HTTP/1.1\r\nContent-Length: abc\r\n\r\n",
        b"POST /v2/models/echo/infer HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST /v2/models/echo/infer HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /v2/models/echo/infer HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 200,
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
    ],
    ids=lambda garbage: repr(garbage[:24]),
)
@pytest.mark.parametrize("port", ["http_port", "grpc_port"])
def test_garbage_harms_only_its_own_connection(server: Server, port: str, garbage: bytes) -> None:
    with socket.create_connection((HOST, getattr(server, port)), timeout=10) as stranger, contextlib.suppress(OSError):
        stranger.sendall(garbage)
        stranger.shutdown(socket.SHUT_WR)
        while stranger.recv(65536):
            pass
    serves(server)


def test_random_bytes_harm_only_their_own_connection(server: Server) -> None:
    for port in (server.http_port, server.grpc_port) * 20:
        with socket.create_connection((HOST, port), timeout=10) as stranger, contextlib.suppress(OSError):
            stranger.sendall(os.urandom(500))
    serves(server)
    wait_pool_empty(server)


@pytest.mark.parametrize(
    "message", [b"", b"\xff\xff\xff", random.Random(0).randbytes(100), b"\x0a\xff\xff\xff\xff\x0f"]
)
def test_a_grpc_message_that_is_none_is_refused(server: Server, message: bytes) -> None:
    with grpc.insecure_channel(server.grpc_address) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(_METHOD)(message, timeout=10)
    assert caught.value.code() in (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.INTERNAL,
    )
    serves(server)


def test_an_unknown_grpc_method_is_unimplemented(server: Server) -> None:
    with grpc.insecure_channel(server.grpc_address) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/inference.GRPCInferenceService/Nothing")(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


# ---- the pool ----------------------------------------------------------------------------------------------------------


def test_a_client_that_asks_first_is_refused_what_does_not_fit_the_pool(own_server: Server) -> None:
    body = Body(b'{"inputs":[]}' + bytes(64 << 20), 13)
    with Connection(own_server) as connection:
        answer = connection.call(post("/v2/models/echo/infer", body.headers | {"Expect": "100-continue"}))
        if answer.status == 100:
            answer = connection.call(body.data)
    assert answer.status == 400
    assert "--pool-byte-size" in answer.error
    serves(own_server)


def test_a_body_that_does_not_fit_the_pool_is_refused_and_read_to_its_end(own_server: Server) -> None:
    large = binary_body({"INPUT0": np.zeros(10_000_000, np.float32)})
    with Connection(own_server) as connection:
        answer = connection.call(infer_post("echo", large))
        assert answer.status == 400
        assert "more than the" in answer.error
        assert "--pool-byte-size" in answer.error
        assert connection.call(infer_post("echo", binary_body({"INPUT0": np.ones(1, np.float32)}))).status == 200
    wait_pool_empty(own_server)


def test_a_grpc_request_that_does_not_fit_the_pool_is_refused(own_server: Server) -> None:
    with contextlib.closing(GrpcFace(own_server)) as face:
        with pytest.raises(Exception, match="--pool-byte-size"):
            face.infer(Call("echo", {"INPUT0": np.zeros(10_000_000, np.float32)}))
        assert face.infer(Call("echo", {"INPUT0": np.ones(1, np.float32)})).outputs["OUTPUT0"] == [1]
    wait_pool_empty(own_server)


def test_a_pool_that_is_full_refuses_at_once_and_serves_again_when_there_is_room(own_server: Server) -> None:
    large = binary_body({"INPUT0": np.zeros(1_700_000, np.float32)})
    started = infer_post("echo", Body(large.data[: len(large.data) // 2], large.header_length))
    started = started.replace(str(len(large.data) // 2).encode(), str(len(large.data)).encode(), 1)
    held: list[Connection] = []
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            connection = stack.enter_context(Connection(own_server))
            connection.send(started)
            held.append(connection)
        with Connection(own_server) as late:
            answer = late.call(infer_post("echo", large))
        assert answer.status == 503
        assert "no room for a request of" in answer.error
    wait_pool_empty(own_server)
    with Connection(own_server) as connection:
        assert connection.call(infer_post("echo", large)).status == 200
