"""`--spin-us` reaches the processes that it is about: with 0 they sleep whenever there is nothing to do."""

from pathlib import Path
from typing import Final

import numpy as np

from tests.harness.fixtures import StartServer
from tests.harness.models import identity
from tests.harness.raw_http import Connection, binary_body, infer_post
from tests.harness.repository import one_cpu

_REQUESTS: Final = 200


def sleeps(pid: int) -> int:
    """How often a process has gone to sleep by itself; giving the core away between two looks is no sleep."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("voluntary_ctxt_switches:"):
            return int(line.split()[1])
    raise AssertionError("the kernel does not tell")


def test_with_0_every_process_sleeps_between_requests(new_server: StartServer, tmp_path: Path) -> None:
    identity("FP32", [-1]).write(tmp_path / "models", "echo", extra=one_cpu())
    server = new_server(tmp_path / "models", "--spin-us=0").start()
    request = infer_post("echo", binary_body({"INPUT0": np.arange(4, dtype=np.float32)}))
    (worker,) = server.workers()
    with Connection(server) as connection:
        assert connection.call(request).status == 200
        processes = [server.scheduler(), worker, server.frontends()[0]]
        before = [sleeps(each.pid) for each in processes]
        for _ in range(_REQUESTS):
            assert connection.call(request).status == 200
        after = [sleeps(each.pid) for each in processes]
    # On a busy machine a request may be there before the process has fallen asleep.
    for process, first, last in zip(processes, before, after, strict=True):
        assert last - first >= _REQUESTS // 2, process.module


def test_with_much_of_it_the_server_answers_and_stops_in_order(new_server: StartServer, tmp_path: Path) -> None:
    identity("FP32", [-1]).write(tmp_path / "models", "echo", extra=one_cpu())
    server = new_server(tmp_path / "models", "--spin-us=100000").start()
    request = infer_post("echo", binary_body({"INPUT0": np.arange(4, dtype=np.float32)}))
    with Connection(server) as connection:
        for _ in range(_REQUESTS):
            assert connection.call(request).status == 200
    assert server.stop() == 0
