"""The Redis cache with a server played by the test: whatever goes wrong is a miss, and nobody is held up."""

import logging
import select
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tis.contracts.cache_config import RedisCacheConfig
from tis.contracts.messages import OutputRef, encode
from tis.scheduler.cache import redis
from tis.scheduler.cache.interface import LATER, Entry, Token
from tis.scheduler.cache.redis import RedisCache

PATIENCE_S = 10.0
CONFIG = RedisCacheConfig("nowhere", 1, wait_timeout=0)
ENTRY = Entry((OutputRef("OUT", "UINT8", (3,), 0, 3),), {"p": 1}, b"abc")


class FakeRedis:
    """A server, the client of it and its pipeline in one."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}
        self.error: Exception | None = None
        self.asked = 0
        #: Cleared: the server does not answer.
        self.answers = threading.Event()
        self.answers.set()
        self.was_asked = threading.Event()
        self._todo: list[tuple[bytes, bytes | None]] = []

    def pipeline(self, **_: bool) -> "FakeRedis":
        self._todo = []
        return self

    def get(self, key: bytes) -> None:
        self._todo.append((key, None))

    def set(self, key: bytes, value: bytes) -> None:
        self._todo.append((key, value))

    def execute(self, **_: bool) -> list[Any]:
        self.asked += 1
        self.was_asked.set()
        assert self.answers.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error
        found: list[Any] = []
        for key, value in self._todo:
            if value is None:
                found.append(self.kept.get(key))
            else:
                self.kept[key] = value
                found.append(True)
        return found


@pytest.fixture
def server() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
def cache(server: FakeRedis) -> Iterator[RedisCache]:
    made = RedisCache(CONFIG, lambda _: server)
    yield made
    server.answers.set()
    made.close()
    for thread in made._threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def completed(cache: RedisCache) -> list[tuple[Token, Entry | None]]:
    """The next lookups that end; insertions that ended are passed over."""
    while True:
        assert select.select([cache.fd], [], [], PATIENCE_S)[0], "nothing has ended"
        if found := cache.completed():
            return found


def looked_up(cache: RedisCache, key: bytes = b"k") -> Entry | None:
    if cache.look_up(key, (7, 0)) is None:
        return None
    [(token, entry)] = completed(cache)
    assert token == (7, 0)
    return entry


def test_what_was_kept_is_found(cache: RedisCache) -> None:
    assert looked_up(cache) is None
    cache.insert(b"k", ENTRY)
    assert looked_up(cache) == ENTRY
    assert looked_up(cache, b"l") is None


def test_a_server_that_is_down_means_misses_and_one_warning(
    cache: RedisCache, server: FakeRedis, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.error = ConnectionRefusedError("Connection refused")
    monkeypatch.setattr(redis, "_PAUSE_S", 0.0)
    with caplog.at_level(logging.INFO, redis._log.name):
        for _ in range(3):
            assert looked_up(cache) is None
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "nowhere:1 cannot be used: Connection refused" in caplog.text
        server.error = None
        cache.insert(b"k", ENTRY)
        assert looked_up(cache) == ENTRY
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_a_server_that_failed_is_left_alone_for_a_while(cache: RedisCache, server: FakeRedis) -> None:
    server.error = TimeoutError("no answer")
    assert looked_up(cache) is None
    asked = server.asked
    for _ in range(100):
        assert cache.look_up(b"k", (8, 0)) is None
        cache.insert(b"k", ENTRY)
    assert server.asked == asked


def test_a_lookup_that_waited_for_a_connection_for_too_long_is_a_miss(
    server: FakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [100.0]
    monkeypatch.setattr(redis, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    server.answers.clear()
    impatient = RedisCache(RedisCacheConfig("nowhere", 1, wait_timeout=1), lambda _: server)
    assert impatient.look_up(b"k", (1, 0)) is LATER
    assert server.was_asked.wait(PATIENCE_S)
    assert impatient.look_up(b"l", (2, 0)) is LATER
    now_s[0] += 0.1
    server.answers.set()
    found: list[tuple[Token, Entry | None]] = []
    while len(found) < 2:
        found += completed(impatient)
    assert found == [((1, 0), None), ((2, 0), None)]
    assert server.asked == 1
    impatient.close()


def test_a_server_that_does_not_answer_does_not_gather_requests_or_memory(cache: RedisCache, server: FakeRedis) -> None:
    server.answers.clear()
    taken = sum(cache.look_up(b"k", (number, 0)) is LATER for number in range(1, 3000))
    assert 1000 <= taken < 1100
    large = Entry((), {}, bytes(20 << 20))
    for _ in range(10):
        cache.insert(b"k", large)
    assert cache._waiting_bytes <= 64 << 20
    server.answers.set()
    ended = 0
    while ended < taken:
        ended += len(completed(cache))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"no answer",
        encode([[[["OUT", "UINT8", [3], 0, 4, 0, 0]], {}, b"abc"]])[1:],
        encode([[[["OUT", "UINT8", [3], -1, 3, 0, 0]], {}, b"abc"]])[1:],
        encode([[[["OUT", "UINT8", [3], 0, 3, 1, 0]], {}, b"abc"]])[1:],
        encode([[[["OUT", "UINT8", [3], 0, 3, 0, 1]], {}, b"abc"]])[1:],
        encode([[[["OUT", "UINT8", [3], 0, -3, 0, 0]], {}, b"abc"]])[1:],
    ],
)
def test_what_cannot_be_an_answer_is_a_miss(cache: RedisCache, server: FakeRedis, value: bytes) -> None:
    cache.insert(b"k", ENTRY)
    assert looked_up(cache) == ENTRY
    [key] = server.kept
    server.kept[key] = value
    assert looked_up(cache) is None
