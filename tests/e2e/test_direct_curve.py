"""Direct clients of other machines: keys (CURVE) on both sides, and nobody without one. The peer is ZeroMQ's own library."""

import asyncio
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
import zmq.auth

from tests.harness.direct import DirectClient, Relay, address_of, infer
from tests.harness.fixtures import StartServer
from tests.harness.models import identity
from tests.harness.observing import wait_pool_empty
from tests.harness.repository import one_cpu
from tests.harness.server import Server, serving
from tis.client import AsyncClient, Client, ConnectionLostError

BIG = np.arange(200_000, dtype=np.float32)
SMALL = BIG[:4]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="tz-"))
    (made / "known").mkdir()
    for name in ("server", "client", "stranger"):
        zmq.auth.create_certificates(made, name)
    shutil.copy(made / "client.key", made / "known")
    yield made
    shutil.rmtree(made)


def flags(folder: Path, address: str) -> tuple[str, ...]:
    return (
        f"--zmq-address={address}",
        f"--zmq-server-secret-key-file={folder}/server.key_secret",
        f"--zmq-client-keys={folder}/known",
    )


@pytest.fixture(scope="module")
def secured(folder: Path) -> Iterator[Server]:
    identity("FP32", [-1]).write(folder / "models", "echo", extra=one_cpu())
    server = Server(folder / "models", "--log-verbose=1", *flags(folder, "tcp://0.0.0.0:0"), log=folder / "log")
    with serving(server):
        yield server


def where(server: Server) -> str:
    return address_of(server).replace("0.0.0.0", "127.0.0.1")


def keys(folder: Path, name: str = "client", server: str = "server") -> tuple[bytes, bytes, bytes]:
    public, secret = zmq.auth.load_certificate(folder / f"{name}.key_secret")
    assert secret is not None
    return public, secret, zmq.auth.load_certificate(folder / f"{server}.key")[0]


def test_a_client_whose_key_is_known_is_served(secured: Server, folder: Path) -> None:
    with DirectClient(where(secured), keys=keys(folder)) as client:
        tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [BIG.size], "frame": 1}
        for number in range(1, 4):
            message = {"type": "infer", "id": number, "model": "echo", "inputs": [tensor]}
            reply, frames = client.ask(message, b"", BIG.tobytes())
            assert (reply["type"], frames) == ("reply", [BIG.tobytes()])
        for number in range(10, 200):
            client.send(infer(number, "echo", SMALL, "FP32"))
        assert {client.receive()[0]["id"] for _ in range(10, 200)} == set(range(10, 200))


def test_the_library_takes_keys_from_files(secured: Server, folder: Path) -> None:
    files: dict[str, Any] = {"key_file": f"{folder}/client.key_secret", "server_key_file": f"{folder}/server.key"}
    with Client(where(secured), **files) as client, client.infer("echo", {"INPUT0": BIG}) as result:
        assert (result["OUTPUT0"] == BIG).all()

    async def ask() -> None:
        async with AsyncClient(where(secured), **files) as client:
            with await client.infer("echo", {"INPUT0": SMALL}) as result:
                assert (result["OUTPUT0"] == SMALL).all()

    asyncio.run(ask())
    with pytest.raises(ValueError, match="given together"):
        Client(where(secured), key_file=files["key_file"])
    with pytest.raises(ValueError, match="no secret key"):
        Client(where(secured), key_file=files["server_key_file"], server_key_file=files["server_key_file"])


def test_a_client_whose_key_is_not_known_is_told_so_at_once(secured: Server, folder: Path) -> None:
    files: dict[str, Any] = {"key_file": f"{folder}/stranger.key_secret", "server_key_file": f"{folder}/server.key"}
    with pytest.raises(ConnectionLostError, match="does not know this client's key"):
        Client(where(secured), connect_timeout_s=60, **files)

    async def ask() -> None:
        async with AsyncClient(where(secured), connect_timeout_s=60, **files):
            pytest.fail("a stranger has come in")

    with pytest.raises(ConnectionLostError, match="does not know this client's key"):
        asyncio.run(ask())


def test_keys_come_and_go_while_the_server_runs(secured: Server, folder: Path) -> None:
    files: dict[str, Any] = {"key_file": f"{folder}/stranger.key_secret", "server_key_file": f"{folder}/server.key"}
    (folder / "known" / "broken.key").write_text("nothing")
    shutil.copy(folder / "stranger.key", folder / "known")
    with Client(where(secured), **files) as client:
        assert client.metadata()["ready"]
    (folder / "known" / "stranger.key").unlink()
    (folder / "known" / "broken.key").unlink()
    with pytest.raises(ConnectionLostError, match="does not know this client's key"):
        Client(where(secured), connect_timeout_s=60, **files)


def test_a_client_with_another_servers_key_or_none_hears_nothing(secured: Server, folder: Path) -> None:
    with pytest.raises(ConnectionLostError):
        Client(where(secured), connect_timeout_s=1)
    wrong: dict[str, Any] = {"key_file": f"{folder}/client.key_secret", "server_key_file": f"{folder}/stranger.key"}
    with pytest.raises(ConnectionLostError):
        Client(where(secured), connect_timeout_s=1, **wrong)


def test_nothing_that_is_said_can_be_read_on_the_way(secured: Server, folder: Path) -> None:
    heard = bytearray()
    host, _, port = where(secured).removeprefix("tcp://").rpartition(":")
    with socket.create_server(("127.0.0.1", 0)) as middle:
        relay = Relay(middle, (host, int(port)), heard)
        with DirectClient(f"tcp://127.0.0.1:{middle.getsockname()[1]}", keys=keys(folder)) as client:
            client.ask(infer(1, "echo", SMALL, "FP32"))
        relay.join(10)
    assert b"CURVE" in heard
    for word in (b"infer", b"echo", b"INPUT0", SMALL.tobytes(), *keys(folder)):
        assert word not in heard


def test_heartbeats_are_answered_in_boxes(secured: Server, folder: Path) -> None:
    with DirectClient(where(secured), keys=keys(folder), heartbeat_ms=200) as client, client.ends() as ends:
        # Four times without an answer would have ended it.
        assert not ends.poll(800)
        assert client.ask({"type": "ping", "id": 1})[0]["type"] == "pong"


def test_requests_of_a_client_that_leaves_leave_nothing(secured: Server, folder: Path) -> None:
    for _ in range(10):
        client = DirectClient(where(secured), keys=keys(folder))
        for number in range(1, 30):
            tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [BIG.size], "frame": 0}
            client.send({"type": "infer", "id": number, "model": "echo", "inputs": [tensor]}, BIG.tobytes())
        client.close()
    wait_pool_empty(secured)
    assert "Traceback" not in secured.log()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["--zmq-address=tcp://0.0.0.0:0"], "needs keys"),
        (["--zmq-address=tcp://127.0.0.1:0", "--zmq-client-keys={}/known"], "to be given together"),
        (["--zmq-address=ipc://{}/direct", "{server}", "{known}"], "keys are for tcp"),
        (["--zmq-address=tcp://*:0", "--zmq-server-secret-key-file={}/server.key", "{known}"], "has no secret-key"),
        (["--zmq-address=tcp://*:0", "--zmq-server-secret-key-file={}/none", "{known}"], "No such file"),
        (["--zmq-address=tcp://*:0", "{server}", "--zmq-client-keys={}/none"], "No such file"),
    ],
)
def test_without_keys_an_address_off_this_machine_is_refused(
    new_server: StartServer, tmp_path: Path, folder: Path, given: list[str], why: str
) -> None:
    (tmp_path / "models").mkdir()
    server_key, known = f"--zmq-server-secret-key-file={folder}/server.key_secret", f"--zmq-client-keys={folder}/known"
    server = new_server(tmp_path / "models", *(each.format(folder, server=server_key, known=known) for each in given))
    assert server.launch().wait_ended() == 1
    assert why in server.log()
