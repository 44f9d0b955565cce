"""Large answers of one batch lie in one range of the pool: each client gets its own, whoever is slow, dies or comes next."""

import contextlib
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness.ensembles import Ensemble, Step
from tests.harness.faces import FACES, Call
from tests.harness.fixtures import StartServer
from tests.harness.models import doubled
from tests.harness.observing import batch_counts, pool_use, statistics, wait_pool_empty
from tests.harness.processes import open_sockets
from tests.harness.python_models import PythonModel
from tests.harness.raw_http import Connection, Response, binary_body, infer_post
from tests.harness.repository import DELAYED_BATCHING, one_cpu
from tests.harness.server import Server
from tests.harness.waiting import eventually

Array = np.ndarray[Any, np.dtype[np.float32]]

_MIB = 1 << 20


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    doubled().write(folder, "wide", max_batch_size=8, extra=one_cpu() + DELAYED_BATCHING)
    doubled().write(folder, "ready", max_batch_size=8, extra=one_cpu() + "dynamic_batching { }\n")
    steps = (
        Step("ready", {"INPUT0": "INPUT0"}, {"OUTPUT0": "between"}),
        Step("ready", {"INPUT0": "between"}, {"OUTPUT0": "OUTPUT0"}),
    )
    Ensemble({"INPUT0": ("FP32", "-1")}, {"OUTPUT0": ("FP32", "-1")}, steps).write(folder, "twice")
    return folder


def rows(count: int, width: int, seed: float) -> Array:
    return (np.arange(count * width, dtype=np.float32) + np.float32(seed)).reshape(count, width)


def call_of(array: Array, model: str = "wide") -> bytes:
    return infer_post(model, binary_body({"INPUT0": array}))


def is_right(response: Response, array: Array) -> bool:
    return response.status == 200 and response.body.endswith(np.tile(array, 2).tobytes())


def together(count: int, work: Callable[[int], None]) -> None:
    """Do it for each number at the same time."""
    barrier = threading.Barrier(count)

    def run(number: int) -> None:
        barrier.wait(30)
        work(number)

    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(run, number) for number in range(count)]:
            done.result(60)


def test_each_client_of_a_batch_gets_its_own_rows(new_server: StartServer, repository: Path) -> None:
    server = new_server(repository).start()
    for width in (20_000, 37_501):

        def ask(number: int, width: int = width) -> None:
            client = FACES["http" if number % 2 else "grpc"](server)
            for turn in range(4):
                sent = rows(1 + number % 3, width, 100 * number + turn)
                answer = client.infer(Call("wide", {"INPUT0": sent}))
                assert np.array_equal(answer.outputs["OUTPUT0"], np.tile(sent, 2))
            client.close()

        together(6, ask)
    assert max(batch_counts(statistics(server, "wide"))) > 3
    wait_pool_empty(server)


def test_a_frontend_that_dies_with_answers_of_a_batch_takes_nothing_with_it(
    new_server: StartServer, repository: Path
) -> None:
    server = new_server(repository, "--frontends=2").start()
    sent = [rows(1, 1_000_000, number) for number in range(8)]
    with Connection(server) as connection:
        # From here on the shape is known.
        assert is_right(connection.call(call_of(sent[0])), sent[0])
    with contextlib.ExitStack() as stack:
        # Nobody reads, so that the frontends hold what they cannot send.
        connections = [stack.enter_context(Connection(server, receive_buffer_bytes=4096)) for _ in sent]
        for connection, array in zip(connections, sent, strict=True):
            connection.send(call_of(array))
        since = len(server.log())
        eventually(lambda: _held_bytes(server, since) > 30 * _MIB, "answers wait for their readers")
        victim = max(server.frontends(), key=lambda each: open_sockets(each.pid))
        victim.kill()
        outcomes: list[bool | None] = []
        for connection, array in zip(connections, sent, strict=True):
            try:
                outcomes.append(is_right(connection.response(), array))
            except OSError:
                outcomes.append(None)
    assert False not in outcomes
    assert None in outcomes
    eventually(lambda: victim.pid not in {each.pid for each in server.frontends()}, "it is replaced")
    server.wait_ready()
    with Connection(server) as connection:
        assert is_right(connection.call(call_of(sent[0])), sent[0])
    wait_pool_empty(server)


def _held_bytes(server: Server, since: int) -> int:
    return sum(used for used, pending in pool_use(server, since).values() if not pending)


#: Asks `ready` six times at once, writes into each answer, and says whether each is still what it should be.
_ASKS = """\
import asyncio
import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    async def execute(self, requests):
        return [await self.answer(pb.get_input_tensor_by_name(each, "SEED").as_numpy()[0]) for each in requests]

    async def answer(self, seed):
        sent = [np.arange(30_001, dtype=np.float32)[None] + seed + at for at in range(6)]
        asked = [
            pb.InferenceRequest(
                model_name="ready", requested_output_names=["OUTPUT0"], inputs=[pb.Tensor("INPUT0", each)]
            )
            for each in sent
        ]
        answers = await asyncio.gather(*[each.async_exec() for each in asked])
        arrays = [pb.get_output_tensor_by_name(each, "OUTPUT0").as_numpy() for each in answers]
        for array in arrays:
            array *= 2
        right = [np.array_equal(array, np.tile(each, 2) * 2) for array, each in zip(arrays, sent)]
        return pb.InferenceResponse([pb.Tensor("RIGHT", np.array(right))])
"""
_ASKS_TENSORS = """\
input [ { name: "SEED" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "RIGHT" data_type: TYPE_BOOL dims: [ 6 ] } ]
"""


def test_a_model_that_asks_writes_only_into_its_own_answers(new_server: StartServer, repository: Path) -> None:
    PythonModel(_ASKS, _ASKS_TENSORS).write(repository, "asks")
    server = new_server(repository).start()
    with Connection(server) as connection:
        for seed in range(5):
            body = binary_body({"SEED": np.array([seed], np.float32)})
            response = connection.call(infer_post("asks", body))
            assert response.status == 200, response.error
            assert response.body.endswith(b"\1" * 6)
    assert max(batch_counts(statistics(server, "ready"))) > 1
    wait_pool_empty(server)


def test_mixed_sizes_for_some_seconds_leave_nothing_behind(new_server: StartServer, repository: Path) -> None:
    server = new_server(repository, "--pool-byte-size=134217728").start()
    end_s = time.monotonic() + 4
    asked: list[int] = []

    def ask(number: int) -> None:
        pick = random.Random(number)
        with Connection(server) as connection:
            while time.monotonic() < end_s:
                array = rows(pick.choice([1, 1, 2, 5]), pick.choice([1, 40, 257, 8192, 30_000, 30_000]), pick.random())
                model = pick.choice(["ready", "ready", "twice"])
                response = connection.call(call_of(array, model))
                expected = np.tile(array, 4 if model == "twice" else 2)
                assert response.status == 200, response.error
                assert response.body.endswith(expected.tobytes())
                asked.append(number)

    together(8, ask)
    assert len(asked) > 100
    assert max(batch_counts(statistics(server, "ready"))) > 1
    wait_pool_empty(server)
