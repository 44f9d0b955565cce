"""How long clients' regions live, who knows of them, and that an operator may forbid them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from tests.harness.faces import FACES
from tests.harness.fixtures import StartServer
from tests.harness.models import add_sub, identity
from tests.harness.region_client import LEFT, RIGHT, TENSOR_BYTES, RegionClient
from tests.harness.repository import one_cpu
from tests.harness.shared_memory import SharedObjects, shared_objects
from tests.harness.waiting import eventually

__all__ = ["shared_objects"]


def test_regions_survive_the_death_of_a_worker_and_of_a_frontend(
    new_server: StartServer, shared_objects: SharedObjects, tmp_path: Path
) -> None:
    add_sub().write(tmp_path / "models", "simple", max_batch_size=8, extra=one_cpu())
    server = new_server(tmp_path / "models").start()
    server.wait_ready()
    made = shared_objects.make(LEFT.tobytes() + RIGHT.tobytes())
    client = RegionClient(FACES["http"](server))
    client.ask("register_system_shared_memory", "r", made.key, 2 * TENSOR_BYTES)
    for victim in (server.workers()[0], server.frontends()[0]):
        server.kill(victim)

        def answers() -> bool:
            fresh = RegionClient(FACES["http"](server))
            try:
                result = fresh.infer("simple", fresh.add_sub_inputs("r"), [fresh.wanted("OUTPUT0")])
            except (InferenceServerException, OSError):
                return False
            finally:
                fresh.close()
            return bool((result.as_numpy("OUTPUT0") == LEFT + RIGHT).all())

        eventually(answers, "the region is known to the process that was started again")
    client.close()


def test_a_worker_lets_an_unregistered_region_go(
    new_server: StartServer, shared_objects: SharedObjects, tmp_path: Path
) -> None:
    identity("FP32", [-1]).write(tmp_path / "models", "echo", extra=one_cpu())
    server = new_server(tmp_path / "models").start()
    server.wait_ready()
    made = shared_objects.make(bytes(4096))
    client = RegionClient(FACES["grpc"](server))
    client.ask("register_system_shared_memory", "r", made.key, 4096)
    client.infer("echo", [client.placed("INPUT0", [4], "FP32", "r", 16)], [client.wanted("OUTPUT0", "r", 16, 16)])
    pids = [server.process.pid, server.workers()[0].pid]

    def holders() -> list[int]:
        held = []
        for pid in pids:
            held += [pid] if made.name in Path(f"/proc/{pid}/maps").read_text() else []
        return held

    assert holders() == pids[1:]
    client.ask("unregister_system_shared_memory", "r")
    eventually(lambda: not holders(), "nobody maps the region any more")
    client.close()


def test_clients_memory_may_be_disallowed(
    new_server: StartServer, shared_objects: SharedObjects, tmp_path: Path
) -> None:
    add_sub().write(tmp_path / "models", "simple", max_batch_size=8, extra=one_cpu())
    server = new_server(tmp_path / "models", "--allow-client-shm=false").start()
    made = shared_objects.make(bytes(100))
    for name, status in (("http", "501"), ("grpc", "UNIMPLEMENTED")):
        client = RegionClient(FACES[name](server))
        for method, arguments in (
            ("register_system_shared_memory", ("r", made.key, 100)),
            ("unregister_system_shared_memory", ()),
            ("unregister_cuda_shared_memory", ()),
        ):
            with pytest.raises(InferenceServerException) as refused:
                client.ask(method, *arguments)
            assert status in str(refused.value.status())
            assert refused.value.message() == (
                "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable."
            )
        client.close()


def test_regions_known_to_one_frontend_are_known_to_all(
    new_server: StartServer, shared_objects: SharedObjects, tmp_path: Path
) -> None:
    add_sub().write(tmp_path / "models", "simple", max_batch_size=8, extra=one_cpu())
    server = new_server(tmp_path / "models", "--frontends=3").start()
    server.wait_ready()
    for value in range(20):
        made = shared_objects.make(np.full(32, value, np.int32).tobytes())
        clients = [RegionClient(FACES[name](server)) for name in ("http", "grpc", "http")]
        clients[value % 3].ask("register_system_shared_memory", "r", made.key, 2 * TENSOR_BYTES)
        for client in clients:
            result = client.infer("simple", client.add_sub_inputs("r"), [client.wanted("OUTPUT0")])
            assert result.as_numpy("OUTPUT0").tolist() == [[2 * value] * 16]
        clients[value % 2].ask("unregister_system_shared_memory", "r")
        for client in clients:
            client.close()


_ASKS_UNTIL_IT_IS_KILLED = """
import sys
import tritonclient.http as http
url, key = sys.argv[1:]
client = http.InferenceServerClient(url)
client.register_system_shared_memory("r", key, 1 << 20)
tensor = http.InferInput("INPUT0", [1 << 17], "FP32")
tensor.set_shared_memory("r", 1 << 19)
output = http.InferRequestedOutput("OUTPUT0")
output.set_shared_memory("r", 1 << 19, offset=1 << 19)
while True:
    client.infer("echo", [tensor], outputs=[output])
    print("answered", flush=True)
"""


def test_a_client_that_is_killed_leaves_its_region_and_nothing_else(
    new_server: StartServer, shared_objects: SharedObjects, tmp_path: Path
) -> None:
    identity("FP32", [-1]).write(tmp_path / "models", "echo", extra=one_cpu())
    server = new_server(tmp_path / "models").start()
    server.wait_ready()
    made = shared_objects.make(bytes(1 << 20))
    for _ in range(3):
        program = [sys.executable, "-c", _ASKS_UNTIL_IT_IS_KILLED, server.http_address, made.key]
        with subprocess.Popen(program, stdout=subprocess.PIPE) as killed:
            assert killed.stdout is not None
            assert killed.stdout.readline() == b"answered\n"
            killed.kill()
        client = RegionClient(FACES["grpc"](server))
        assert list(client.ask("get_system_shared_memory_status")["regions"]) == ["r"]
        inputs = [client.placed("INPUT0", [4], "FP32", "r", 16)]
        assert client.infer("echo", inputs, [client.wanted("OUTPUT0")]).as_numpy("OUTPUT0").tolist() == [0, 0, 0, 0]
        client.ask("unregister_system_shared_memory", "r")
        client.close()
    server.wait_for_log(r"uses 0 bytes of the pool, 0 requests pending")
