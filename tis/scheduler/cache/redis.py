"""The Redis cache: answers in a Redis server, which other servers may share and which outlives this one.

Threads do what waits, each with a connection of its own; the scheduler's loop hears of the ends of lookups through an
eventfd. A server that is slow or down means misses and one warning, never an error and never a request that is held up for
longer than the timeouts say. Answers have no lifetime here: how much is kept, and for how long, is Redis' own setting
(`maxmemory` and `maxmemory-policy`).
"""

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final, NamedTuple

import msgspec

from tis.contracts.cache_config import RedisCacheConfig
from tis.contracts.messages import CacheMetrics
from tis.log import get_logger
from tis.scheduler.cache.interface import LATER, Entry, Later, Token

#: Changes when what is written under a key changes its form.
_PREFIX: Final = b"tis-response-cache:1:"
#: How long a server that failed is left alone.
_PAUSE_S: Final = 1.0
#: Jobs that wait at most; further lookups are misses, further answers are not kept.
_MOST_WAITING: Final = 1000
_MOST_WAITING_BYTES: Final = 64 << 20
#: Jobs of one packet to the server.
_MOST_TOGETHER: Final = 32

_log = get_logger(__name__)
_decoder = msgspec.msgpack.Decoder(Entry)


class _Job(NamedTuple):
    """A lookup, or with a `value` an insertion."""

    key: bytes
    token: Token
    since_s: float
    value: bytes | None = None


class RedisCache:
    """Follows `ResponseCache`. `connect` makes a client; the default one makes those of the package `redis`."""

    def __init__(self, config: RedisCacheConfig, connect: Callable[[RedisCacheConfig], Any] | None = None) -> None:
        self._config: Final = config
        self._connect: Final = connect or _client
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.largest_bytes = _MOST_WAITING_BYTES
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._completed: deque[tuple[Token, Entry | None]] = deque()
        self._waiting_bytes = 0
        #: Until when the server is left alone; written by the threads, each write by itself.
        self._down_until_s = 0.0
        self._is_down = False
        self._threads = [Thread(target=self._work, name=f"redis {n}", daemon=True) for n in range(config.pool_size)]
        for thread in self._threads:
            thread.start()

    def look_up(self, key: bytes, token: Token) -> Later | None:
        """Ask the server, unless it is left alone or has too much to do."""
        now_s = time.monotonic()
        if now_s < self._down_until_s or self._jobs.qsize() >= _MOST_WAITING:
            return None
        self._jobs.put(_Job(key, token, now_s))
        return LATER

    def insert(self, key: bytes, entry: Entry) -> None:
        """Have an answer written."""
        now_s = time.monotonic()
        if now_s < self._down_until_s or self._jobs.qsize() >= _MOST_WAITING:
            return
        if self._waiting_bytes + len(entry.data) > _MOST_WAITING_BYTES:
            return
        value = msgspec.msgpack.encode(entry)
        self._waiting_bytes += len(value)
        self._jobs.put(_Job(key, (0, len(value)), now_s, value))

    def completed(self) -> list[tuple[Token, Entry | None]]:
        """Lookups that have ended."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.fd)
        found: list[tuple[Token, Entry | None]] = []
        while self._completed:
            token, entry = self._completed.popleft()
            if token[0]:
                found.append((token, entry))
            else:
                # An insertion, by its size.
                self._waiting_bytes -= token[1]
        return found

    def forget(self, prefix: bytes) -> None:
        """What is kept in the server stays there: another one may ask for it."""

    def metrics(self) -> CacheMetrics | None:
        """Redis counts for itself."""
        return None

    def close(self) -> None:
        """End the threads, without waiting for what they are at."""
        for _ in self._threads:
            self._jobs.put(None)

    # ---- in the threads --------------------------------------------------------------------------------------------

    def _work(self) -> None:
        client: Any = None
        while True:
            job = self._jobs.get()
            if job is None:
                return
            jobs = [job]
            with contextlib.suppress(Empty):
                while len(jobs) < _MOST_TOGETHER:
                    job = self._jobs.get_nowait()
                    if job is None:
                        # Another one's turn to end comes after this.
                        self._jobs.put(None)
                        break
                    jobs.append(job)
            found: list[Entry | None] = [None] * len(jobs)
            timely = [place for place, each in enumerate(jobs) if self._is_timely(each)]
            if timely:
                try:
                    client = client or self._connect(self._config)
                    for place, value in zip(timely, _ask(client, [jobs[place] for place in timely]), strict=True):
                        found[place] = _entry(value) if jobs[place].value is None else None
                    self._up()
                except Exception as error:  # noqa: BLE001 - whatever the client raises, the server cannot be had
                    self._down(error)
            self._completed.extend(zip([each.token for each in jobs], found, strict=True))
            os.eventfd_write(self.fd, 1)

    def _is_timely(self, job: _Job) -> bool:
        """Whether it is still worth asking: a lookup that waited for a connection for too long is a miss."""
        now_s = time.monotonic()
        if now_s < self._down_until_s:
            return False
        patience_s = self._config.wait_timeout / 1000
        return job.value is not None or not patience_s or now_s - job.since_s <= patience_s

    def _up(self) -> None:
        if self._is_down:
            self._is_down = False
            _log.info("the Redis server at %s:%d answers again", self._config.host, self._config.port)

    def _down(self, error: Exception) -> None:
        self._down_until_s = time.monotonic() + _PAUSE_S
        if not self._is_down:
            self._is_down = True
            _log.warning(
                "the Redis server at %s:%d cannot be used: %s; until it can, every request runs as if it were not cached",
                self._config.host,
                self._config.port,
                error,
            )


def _ask(client: Any, jobs: list[_Job]) -> list[bytes | None]:
    """What the server answers to each job."""
    together = client.pipeline(transaction=False)
    for job in jobs:
        if job.value is None:
            together.get(_PREFIX + job.key)
        else:
            together.set(_PREFIX + job.key, job.value)
    answers: list[bytes | None] = together.execute(raise_on_error=True)
    return answers


def _entry(value: bytes | None) -> Entry | None:
    """What was written under a key; None for nothing, and for what cannot be an answer."""
    if value is None:
        return None
    try:
        entry = _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    size_bytes = len(entry.data)
    for ref in entry.outputs:
        if ref.region or ref.block or ref.start < 0 or not 0 <= ref.size_bytes <= size_bytes - ref.start:
            return None
    return entry


def _client(config: RedisCacheConfig) -> Any:
    """A client of the package, with one connection and no patience beyond what the config says."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    encryption: dict[str, Any] = {}
    if config.encrypted:
        encryption = {
            "ssl": True,
            "ssl_certfile": config.cert or None,
            "ssl_keyfile": config.key or None,
            "ssl_ca_certs": config.cacert or None,
            "ssl_ca_path": config.cacert_dir or None,
        }
    return redis.Redis(
        host=config.host,
        port=config.port,
        username=config.user or None,
        password=config.password or None,
        db=config.db,
        socket_connect_timeout=config.connect_timeout / 1000 or None,
        socket_timeout=config.socket_timeout / 1000 or None,
        max_connections=1,
        retry=Retry(NoBackoff(), 0),
        **encryption,
    )
