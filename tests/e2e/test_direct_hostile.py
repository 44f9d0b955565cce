"""Hostile direct clients: whatever they send, only they themselves are harmed, and nothing of the server stays taken."""

import contextlib
import os
import random
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgpack
import numpy as np
import pytest

from tests.harness.direct import DirectClient, address_of, infer, zmq_flag
from tests.harness.models import identity, slow
from tests.harness.observing import wait_pool_empty
from tests.harness.pace import rounds
from tests.harness.repository import one_cpu
from tests.harness.server import Server, serving
from tests.harness.waiting import eventually

MESSAGES: Final = 2000
VALUES = np.arange(8, dtype=np.float32)
GREETING: Final = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
READY: Final = b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"


@pytest.fixture(scope="module")
def direct() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="tz-"))
    identity("FP32", [-1]).write(folder / "models", "echo", extra=one_cpu())
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


def held(server: Server) -> int:
    links = Path(f"/proc/{server.process.pid}/fd").iterdir()
    return sum(str(each.readlink()).startswith("/memfd:tis-granted") for each in links)


class Wild:
    """Messages that are almost right, and such as are not."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.regions = ["r", ""]

    def value(self, depth: int = 0) -> Any:
        choices: list[Any] = [0, -1, 1 << 62, (1 << 64) - 1, 1.5, None, True, "", "echo", "x" * 2000, b"", b"abcd"]
        if depth < 3:
            choices += [[self.value(depth + 1) for _ in range(3)], {"name": self.value(depth + 1)}]
        return self.random.choice(choices)

    def tensor(self) -> dict[str, Any]:
        pick = self.random.choice
        entry: dict[str, Any] = {
            "name": pick(["INPUT0", "INPUT0", "X"]),
            "datatype": pick(["FP32", "FP32", "BYTES", "Q"]),
            "shape": pick([[8], [8], [-1], [1 << 62, 4], [0, 1 << 62], [], [8] * 100]),
        }
        where = pick(["data", "frame", "region", "none"])
        if where == "data":
            entry["data"] = VALUES.tobytes()
        elif where == "frame":
            entry["frame"] = pick([0, 1, 99, 1 << 60])
        elif where == "region":
            numbers = [0, 32, 64, 4064, 4096, 1 << 62]
            entry.update(region=pick(self.regions), offset=pick(numbers), size=pick(numbers))
        return entry

    def message(self, number: int) -> tuple[Any, list[bytes]]:
        pick = self.random.choice
        outputs = [{k: v for k, v in self.tensor().items() if k in ("name", "region", "offset", "size")}]
        outputs[0]["name"] = "OUTPUT0"
        right: list[dict[str, Any]] = [
            {"type": "infer", "model": "echo", "inputs": [self.tensor()], "outputs": pick([[], outputs])},
            {"type": "infer", "model": "echo", "inputs": [self.tensor()], "parameters": {"sequence_id": self.value()}},
            {"type": "grant", "size": pick([0, 4096, 1 << 40])},
            {"type": "release", "region": pick(self.regions)},
            {"type": "register", "region": "r", "key": pick(["/../etc/passwd", "", "/x", "\0"]), "size": 1 << 62},
            {"type": "cancel"},
            {"type": "metadata", "model": "echo", "version": pick(["", "1", "-1", "9" * 400])},
            {"type": "statistics", "model": pick(["", "echo", "nobody"])},
            {"type": "hello", "version": 1},
        ]
        head: dict[str, Any] = {"id": pick([number, number, 1, 0, -1]), **pick(right)}
        if self.random.random() < 0.5:
            head[pick([*head, "more"])] = self.value()
        packed = msgpack.packb(head)
        kind = self.random.random()
        if kind < 0.1:
            packed = packed[: self.random.randrange(len(packed))]
        elif kind < 0.2:
            at = self.random.randrange(len(packed))
            packed = packed[:at] + self.random.randbytes(1) + packed[at + 1 :]
        elif kind < 0.25:
            packed = self.random.randbytes(self.random.randrange(100))
        frames = [pick([b"", VALUES.tobytes(), bytes(100_000)]) for _ in range(pick([0, 0, 1, 2, 300]))]
        return packed, frames


def test_random_messages_harm_nobody(direct: Server) -> None:
    before = {process.pid for process in (*direct.workers(), *direct.frontends(), direct.scheduler())}
    sent = 0
    with DirectClient(address_of(direct)) as witness:
        for seed in range(10):
            wild = Wild(seed)
            with DirectClient(address_of(direct), greet=seed % 5 > 0) as client:
                for number in range(2, 2 + MESSAGES // 10):
                    head, frames = wild.message(number)
                    client.send(head, *frames)
                    sent += 1
                    while not client.hears_nothing(0):
                        heard, _ = client.receive()
                        if heard["type"] == "granted":
                            wild.regions.append(heard["region"])
                # It is still answered, or asked for a hello.
                client.send({"type": "ping", "id": 1 << 50})
                while client.receive()[0].get("id") != 1 << 50:
                    pass
            assert witness.ask(infer(1, "echo", VALUES, "FP32"))[1] == [VALUES.tobytes()]
    assert sent == MESSAGES
    assert {process.pid for process in (*direct.workers(), *direct.frontends(), direct.scheduler())} == before
    eventually(lambda: not held(direct), "the regions of all of them are closed")
    wait_pool_empty(direct)
    assert "Traceback" not in direct.log()


@pytest.mark.parametrize(
    "garbage",
    [
        os.urandom(500),
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
