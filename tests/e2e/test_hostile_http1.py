"""Clients of HTTP/1.1 that stop, never read, or come in hosts: nobody else notices, and they lose what they hold."""

import contextlib
import threading
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from tests.harness.faces import Call, HttpFace
from tests.harness.fixtures import StartServer
from tests.harness.models import identity
from tests.harness.observing import wait_pool_empty
from tests.harness.processes import anonymous_bytes, cpu_ticks
from tests.harness.raw_http import Connection, binary_body, infer_post
from tests.harness.repository import one_cpu
from tests.harness.server import Server
from tests.harness.waiting import eventually

_STALL_S: Final = 2
_MIB: Final = 1 << 20
_LIVE: Final = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
_ECHO: Final = infer_post("echo", binary_body({"INPUT0": np.arange(64, dtype=np.float32)}))


@pytest.fixture
def own_server(new_server: StartServer, tmp_path: Path) -> Server:
    identity("FP32", [-1]).write(tmp_path / "models", "echo", extra=one_cpu())
    return new_server(tmp_path / "models", f"--stall-timeout-secs={_STALL_S}").start()


def is_served(server: Server) -> None:
    with contextlib.closing(HttpFace(server)) as face:
        call = Call("echo", {"INPUT0": np.arange(8, dtype=np.float32)})
        assert face.infer(call).outputs["OUTPUT0"].tolist() == list(range(8))


#: Requests that have begun, and what a client may dribble out behind that without an end.
_BEGUN: Final = [
    (b"G", b""),
    (b"GET /", b"a"),
    (b"POST /v2/models/echo/infer HTTP/1.1\r\nHost: x\r\nX: y", b"a"),
    (b"POST /v2/models/echo/infer HTTP/1.1\r\nContent-Length: 1000\r\n\r\n{", b" "),
    (b"POST /v2/models/echo/generate HTTP/1.1\r\nContent-Length: 1000\r\n\r\n{", b" "),
    (b"POST /v2/repository/index HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
    (b"POST /v2/models/echo/infer HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\nX: ", b"a"),
]


def test_a_request_that_is_not_sent_to_its_end_is_given_up_however_it_dribbles(own_server: Server) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Connection(own_server)) for _ in _BEGUN * 2]
        for client, (begun, _) in zip(clients, _BEGUN * 2, strict=True):
            assert client.call(_LIVE).status == 200
            client.send(begun)
        stop = threading.Event()

        def dribble() -> None:
            while not stop.wait(0.1):
                for client, (_, more) in zip(clients, _BEGUN, strict=False):
                    with contextlib.suppress(OSError):
                        client.send(more)

        sending = threading.Thread(target=dribble)
        sending.start()
        try:
            assert [client.closed_by_server() for client in clients] == [True] * len(clients)
        finally:
            stop.set()
            sending.join()
    is_served(own_server)
    wait_pool_empty(own_server)


def test_a_connection_between_two_requests_is_left_alone(own_server: Server) -> None:
    with Connection(own_server) as silent, Connection(own_server) as used:
        assert used.call(_LIVE).status == 200
        threading.Event().wait(2.5 * _STALL_S)
        assert silent.call(_LIVE).status == 200
        assert used.call(_ECHO).status == 200


@pytest.mark.parametrize("request_bytes", [_LIVE, _ECHO], ids=["a route", "infer"])
def test_a_client_that_asks_on_and_never_reads_holds_little_and_is_given_up(
    own_server: Server, request_bytes: bytes
) -> None:
    (frontend,) = own_server.frontends()
    is_served(own_server)
    before_bytes = anonymous_bytes(frontend.pid)
    with Connection(own_server, receive_buffer_bytes=4096) as connection:
        stop = threading.Event()

        def ask() -> None:
            with contextlib.suppress(OSError):
                while not stop.is_set():
                    connection.send(request_bytes * 1000)

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            eventually(lambda: not asking.is_alive(), "the client is given up")
        finally:
            stop.set()
            asking.join()
    assert anonymous_bytes(frontend.pid) - before_bytes < 16 * _MIB
    is_served(own_server)
    wait_pool_empty(own_server)


def test_more_clients_than_descriptors_are_closed_and_the_others_served(
    new_server: StartServer, tmp_path: Path
) -> None:
    identity("FP32", [-1]).write(tmp_path / "models", "echo", extra=one_cpu())
    server = new_server(tmp_path / "models")
    server.prefix = ["sh", "-c", 'ulimit -n 256; exec "$@"', "sh"]
    server.start()
    server.wait_for_log("a process may have 256 files open")
    (frontend,) = server.frontends()
    most = 256 - 64
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Connection(server)) for _ in range(600)]
        answers = [_answer(each) for each in clients]
        inside = [each for each, answer in zip(clients, answers, strict=True) if answer == 200]
        assert 100 < len(inside) <= most
        server.wait_for_log("HTTP connections were refused")
        # It has nothing to do now.
        before = cpu_ticks(frontend.pid)
        threading.Event().wait(1.0)
        assert cpu_ticks(frontend.pid) - before < 50
        assert [_answer(each) for each in inside] == [200] * len(inside)
        # Those that leave make room.
        for each in inside[:50]:
            each.close()
        eventually(lambda: _is_answered(server), "there is room again")
        assert [_answer(each) for each in inside[50:]] == [200] * (len(inside) - 50)
    eventually(lambda: _is_answered(server), "there is room again")
    assert server.frontends() == [frontend]


def _answer(connection: Connection) -> int:
    try:
        return connection.call(_ECHO).status
    except OSError:
        return 0


def _is_answered(server: Server) -> Any:
    with Connection(server) as connection:
        return _answer(connection) == 200
