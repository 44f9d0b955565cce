"""Hostile direct clients: whatever they send, only they themselves are harmed, and nothing of the server stays taken."""

import contextlib
import random
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgpack
import numpy as np
import pytest

from tests.harness.direct import DirectClient, address_of, infer, zmq_flag
from tests.harness.models import identity, slow
from tests.harness.native_models import write_repeat
from tests.harness.observing import wait_pool_empty
from tests.harness.pace import rounds
from tests.harness.repository import one_cpu
from tests.harness.server import Server, serving
from tests.harness.waiting import eventually
from tools.hostile_direct.messages import VALUES
from tools.hostile_direct.report import Report
from tools.hostile_direct.run import held, kill_clients, send_wild
from tools.hostile_direct.victims import MODES

MESSAGES: Final = 2000
KILLED: Final = 60
GREETING: Final = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
READY: Final = b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"


@pytest.fixture(scope="module")
def direct() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="tz-"))
    identity("FP32", [-1]).write(folder / "models", "echo", extra=one_cpu())
    write_repeat(folder / "models")
    slow().write(folder / "models", "slow", extra=one_cpu(), max_batch_size=1)
    flags = ("--log-verbose=1", "--pool-byte-size=67108864", zmq_flag(folder))
    server = Server(folder / "models", *flags, log=folder / "log")
    with serving(server):
        yield server
    shutil.rmtree(folder)


def serves(server: Server) -> None:
    with DirectClient(address_of(server)) as client:
        assert client.ask(infer(1, "echo", VALUES, "FP32"))[1] == [VALUES.tobytes()]


def raw(server: Server) -> socket.socket:
    stranger = socket.socket(socket.AF_UNIX)
    stranger.settimeout(10)
    stranger.connect(address_of(server).removeprefix("ipc://"))
    return stranger


def test_random_messages_harm_nobody(direct: Server) -> None:
    before = {process.pid for process in (*direct.workers(), *direct.frontends(), direct.scheduler())}
    report = Report()
    send_wild(direct, address_of(direct), MESSAGES, seed=0, report=report)
    assert report.messages == MESSAGES
    assert not report.problems
    assert {process.pid for process in (*direct.workers(), *direct.frontends(), direct.scheduler())} == before
    eventually(lambda: not held(direct), "the regions of all of them are closed")
    wait_pool_empty(direct)
    assert "Traceback" not in direct.log()


def test_clients_that_are_killed_at_random_points_leave_nothing(direct: Server) -> None:
    report = Report()
    kill_clients(address_of(direct), KILLED, seed=1, report=report)
    assert sum(report.killed.values()) == KILLED
    assert {mode for mode, _ in report.killed} == set(MODES)
    serves(direct)
    eventually(lambda: not held(direct), "the regions of all of them are closed")
    wait_pool_empty(direct)
    assert "Traceback" not in direct.log()


@pytest.mark.parametrize(
    "garbage",
    [
        random.Random(0).randbytes(500),
        b"GET / HTTP/1.1\r\n\r\n",
        GREETING.replace(b"NULL", b"CURV") + READY,
        GREETING.replace(b"\x03\x01", b"\x01\x00"),
        GREETING + b"\x00\x02hi",
        GREETING + b"\x06" + b"\xff" * 8,
        GREETING + b"\x04\x06\x05READY",
        GREETING + READY.replace(b"DEALER", b"ROUTER"),
        GREETING + READY + b"\x02" + b"\x7f" * 8,
        GREETING + READY + b"\xf0\x00",
        GREETING + READY + b"\x04\x40\x04PING" + bytes(59),
    ],
    ids=lambda garbage: repr(garbage[-12:]),
)
def test_what_is_no_zeromq_ends_its_own_connection(direct: Server, garbage: bytes) -> None:
    with raw(direct) as stranger, contextlib.suppress(ConnectionError):
        stranger.sendall(garbage)
        while stranger.recv(65536):
            pass
    serves(direct)


def test_a_ping_of_zeromq_is_answered(direct: Server) -> None:
    with raw(direct) as stranger:
        stranger.sendall(GREETING + READY + b"\x04\x0b\x04PING\x00\x64mine")
        heard = b""
        while not heard.endswith(b"\x04\x09\x04PONGmine"):
            data = stranger.recv(65536)
            assert data, heard
            heard += data


def test_clients_that_leave_in_the_middle_leave_nothing(direct: Server) -> None:
    tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [1 << 20], "frame": 0}
    head = msgpack.packb({"type": "infer", "id": 1, "model": "echo", "inputs": [tensor]})
    hello = msgpack.packb({"type": "hello", "version": 1})
    whole = GREETING + READY + bytes((0, len(hello))) + hello + bytes((1, len(head))) + head
    whole += b"\x02" + (4 << 20).to_bytes(8, "big") + bytes(4 << 20)
    for share in (0.00001, 0.00002, 0.00005, 0.0001, 0.3, 0.9, 0.99999, 1.0):
        for _ in range(5):
            with raw(direct) as stranger:
                stranger.sendall(whole[: int(len(whole) * share)])
    serves(direct)
    wait_pool_empty(direct)


def test_clients_that_leave_while_their_requests_run_leave_nothing(direct: Server) -> None:
    body = np.array([[rounds(50)]], np.int64)
    tensor = {"name": "ROUNDS", "datatype": "INT64", "shape": [1, 1], "data": body.tobytes()}
    for _ in range(5):
        client = DirectClient(address_of(direct))
        for number in range(1, 20):
            client.send({"type": "infer", "id": number, "model": "slow", "inputs": [tensor]})
        client.send({"type": "grant", "id": 100, "size": 4096})
        client.close()
    serves(direct)
    wait_pool_empty(direct)
    eventually(lambda: not held(direct), "their regions are closed")


def test_a_client_that_never_reads_holds_up_nobody(direct: Server) -> None:
    data = np.zeros(250_000, np.float32)
    tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [data.size], "frame": 0}
    head = msgpack.packb({"type": "infer", "id": 1, "model": "echo", "inputs": [tensor]})
    hello = msgpack.packb({"type": "hello", "version": 1})
    once = bytes((1, len(head))) + head + b"\x02" + data.nbytes.to_bytes(8, "big") + data.tobytes()
    with raw(direct) as stranger:
        stranger.sendall(GREETING + READY + bytes((0, len(hello))) + hello)
        stranger.settimeout(1)
        with contextlib.suppress(TimeoutError):
            for _ in range(200):
                stranger.sendall(once)
        for _ in range(3):
            serves(direct)
    wait_pool_empty(direct)
