"""A model whose requests pile up is refused at the door in time; another model is served as if nothing were."""

import contextlib
import select
import signal
from pathlib import Path

import numpy as np

from tests.harness.fixtures import StartServer
from tests.harness.models import identity
from tests.harness.observing import wait_pool_empty
from tests.harness.raw_http import Connection, binary_body, infer_post
from tests.harness.repository import one_cpu
from tests.harness.traffic import echo_call, is_echo
from tests.harness.waiting import eventually

_MIB = 1 << 20


def answered(connections: list[Connection]) -> list[Connection]:
    """Those that an answer has come for."""
    return select.select(connections, [], [], 0)[0]


def test_a_flood_for_one_model_leaves_room_for_another(new_server: StartServer, tmp_path: Path) -> None:
    for name in ("stuck", "echo"):
        identity("FP32", [-1]).write(tmp_path / "models", name, extra=one_cpu())
    # Half of the pool is the frontend's: room for sixteen requests of one mebibyte.
    server = new_server(tmp_path / "models", f"--pool-byte-size={32 * _MIB}").start()
    worker = server.worker_of("stuck")
    large = infer_post("stuck", binary_body({"INPUT0": np.zeros(_MIB // 4, np.float32)}))
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection(server)) for _ in range(15)]
        worker.kill(signal.SIGSTOP)
        for connection in connections:
            connection.send(large)
        # Those that are refused are answered first, while the others wait for the worker.
        eventually(lambda: len(answered(connections)) >= 3, "three of them are refused")
        refused = answered(connections)
        for connection in refused:
            answer = connection.response()
            assert answer.status == 503
            assert "model 'stuck' has" in answer.error
            assert "try again" in answer.error
        with Connection(server) as other:
            assert is_echo(other.call(echo_call(1)), 1)
        worker.kill(signal.SIGCONT)
        assert all(each.response().status == 200 for each in connections if each not in refused)
    wait_pool_empty(server)
