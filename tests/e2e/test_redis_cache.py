"""The response cache in a Redis server: a real one, where it is installed (Debian's package `redis-server`)."""

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.harness.faces import Call, GrpcFace, HttpFace
from tests.harness.fixtures import StartServer
from tests.harness.models import add_constant
from tests.harness.observing import statistics, wait_pool_empty
from tests.harness.repository import one_cpu
from tests.harness.server import HOST, Server
from tests.harness.waiting import eventually

pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="needs a Redis server: apt install redis-server"
)

CACHED = "response_cache { enable: true }\n"


class Redis:
    """A Redis server that keeps everything in memory and listens here only."""

    def __init__(self) -> None:
        with socket.create_server((HOST, 0)) as free:
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> "Redis":
        command = [
            "redis-server",
            "--port",
            str(self.port),
            "--bind",
            HOST,
            "--save",
            "",
            "--appendonly",
            "no",
            *options,
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(self._answers, "Redis answers")
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def flags(self, **more: str) -> list[str]:
        settings = {"host": HOST, "port": str(self.port), **more}
        return [f"--cache-config=redis,{name}={value}" for name, value in settings.items()]

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return bool(connection.recv(100))
        return False


@pytest.fixture
def redis() -> Iterator[Redis]:
    made = Redis()
    yield made
    made.stop()


def write(folder: Path, constant: int = 1) -> Path:
    add_constant(constant).write(folder, "plus", max_batch_size=4, extra=one_cpu() + CACHED)
    return folder


def ask(server: Server, value: int) -> int:
    with contextlib.closing(GrpcFace(server)) as face:
        answer = face.infer(Call("plus", {"INPUT0": np.full((1, 4), value, np.int32)}))
    return int(answer.outputs["OUTPUT0"][0, 3])


def looked_up(server: Server) -> tuple[int, int]:
    stats = statistics(server, "plus")["inference_stats"]
    return stats["cache_hit"]["count"], stats["cache_miss"]["count"]


def hit(server: Server, value: int) -> bool:
    """Whether a request is answered from the cache; what was just answered may still be on its way there."""
    before = looked_up(server)[0]
    assert ask(server, value) == value + 1
    return looked_up(server)[0] > before


def test_what_was_answered_is_found_again_after_a_restart_and_by_another_server(
    new_server: StartServer, tmp_path: Path, redis: Redis
) -> None:
    redis.start()
    first = new_server(write(tmp_path / "models"), *redis.flags()).start()
    assert ask(first, 5) == 6
    eventually(lambda: hit(first, 5), "the answer is in Redis")
    wait_pool_empty(first)
    assert first.stop() == 0
    second = new_server(tmp_path / "models", *redis.flags(db="0")).start()
    assert hit(second, 5)
    assert looked_up(second) == (1, 0)
    assert statistics(second, "plus")["execution_count"] == 0


def test_a_model_that_has_changed_is_asked_anew(new_server: StartServer, tmp_path: Path, redis: Redis) -> None:
    redis.start()
    first = new_server(write(tmp_path / "models"), *redis.flags()).start()
    assert ask(first, 5) == 6
    eventually(lambda: hit(first, 5), "the answer is in Redis")
    assert first.stop() == 0
    shutil.rmtree(tmp_path / "models")
    second = new_server(write(tmp_path / "models", 10), *redis.flags()).start()
    assert ask(second, 5) == 15
    assert looked_up(second) == (0, 1)


def test_without_redis_every_request_runs_and_one_warning_says_so(
    new_server: StartServer, tmp_path: Path, redis: Redis
) -> None:
    server = new_server(write(tmp_path / "models"), *redis.flags()).start()
    for _ in range(5):
        assert ask(server, 5) == 6
    assert looked_up(server) == (0, 5)
    assert server.log().count("cannot be used") == 1
    redis.start()
    eventually(lambda: hit(server, 5), "Redis is used once it is there")
    assert "answers again" in server.log()
    redis.stop()
    for _ in range(5):
        assert ask(server, 5) == 6
    wait_pool_empty(server)


def test_a_password_is_needed_where_redis_asks_for_one(new_server: StartServer, tmp_path: Path, redis: Redis) -> None:
    redis.start("--requirepass", "secret")
    server = new_server(write(tmp_path / "models"), *redis.flags(password="secret")).start()
    eventually(lambda: hit(server, 5), "the password is right")
    stranger = new_server(tmp_path / "models", *redis.flags(password="wrong")).start()
    for _ in range(3):
        assert ask(stranger, 5) == 6
    assert looked_up(stranger) == (0, 3)
    assert stranger.log().count("cannot be used") == 1
    assert "wrong" not in stranger.log()


def test_requests_of_many_clients_are_looked_up_while_others_run(
    new_server: StartServer, tmp_path: Path, redis: Redis
) -> None:
    redis.start()
    server = new_server(write(tmp_path / "models"), *redis.flags(pool_size="2")).start()
    with contextlib.ExitStack() as stack:
        faces = [stack.enter_context(contextlib.closing(HttpFace(server))) for _ in range(8)]
        for turn in range(40):
            for number, face in enumerate(faces):
                value = (turn * number) % 7
                answer = face.infer(Call("plus", {"INPUT0": np.full((1, 4), value, np.int32)}))
                assert (answer.outputs["OUTPUT0"] == value + 1).all()
    hits, misses = looked_up(server)
    assert hits + misses == 320
    assert hits > 280
    wait_pool_empty(server)
