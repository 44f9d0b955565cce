"""Between models and the cache: keys, copies out of the pool, blocks for answers, and how long all that takes."""

import time
from collections.abc import Callable, Iterable
from itertools import count
from typing import Final, Protocol

from tis.contracts import messages as m
from tis.contracts.cache_config import LocalCacheConfig, RedisCacheConfig, cache_config
from tis.contracts.control import ControlLink
from tis.scheduler.cache.interface import LATER, Entry, Later, ResponseCache
from tis.scheduler.cache.lending import Lender
from tis.scheduler.cache.local import LocalCache
from tis.scheduler.decisions import Decision
from tis.settings import ServerSettings
from tis_shm.pool import Block, Pool, PoolError

_ALIGNMENT_BYTES: Final = 64


class Waiter(Protocol):
    """Whoever has looked something up and was told to wait."""

    def looked_up(self, number: int, entry: Entry | None, now_ns: int) -> Iterable[Decision]:
        """The lookup of this number has ended."""


class Caching:
    """What a cached model needs; the loop's only door to the cache."""

    def __init__(
        self, cache: ResponseCache, lender: Lender, pool: Pool, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._cache: Final = cache
        self._lender: Final = lender
        self._pool: Final = pool
        #: Nanoseconds; for durations only.
        self.clock: Final = clock
        self._waiting: dict[int, Waiter] = {}
        self._numbers = count(1)
        self._lookup_ns = 0
        self._insertion_ns = 0

    @property
    def fd(self) -> int:
        """A descriptor that is readable when lookups have ended; -1 where none has to wait."""
        return self._cache.fd

    @property
    def used_bytes(self) -> int:
        """Bytes of the pool that are lent, as far as has been seen; sees what has been given back."""
        self._lender.collect()
        return self._lender.used_bytes

    # ---- for models ------------------------------------------------------------------------------------------------

    def look_up(self, key: bytes, waiter: Waiter) -> tuple[Entry | Later | None, int]:
        """What is kept under a key, and the number of the lookup, by which `waiter` hears of it in the case of LATER."""
        began_ns = self.clock()
        number = next(self._numbers)
        found = self._cache.look_up(key, (number, 0))
        if found is LATER:
            self._waiting[number] = waiter
        self._lookup_ns += self.clock() - began_ns
        return found, number

    def keep(self, key: bytes, reply: m.Reply) -> None:
        """Keep an answer whose blocks are still held."""
        began_ns = self.clock()
        entry = self._copy(reply)
        if entry is not None:
            self._cache.insert(key, entry)
        self._insertion_ns += self.clock() - began_ns

    def reply(self, request_id: int, entry: Entry, reader: int) -> m.Reply | None:
        """A kept answer for somebody; None where the pool has no room for it now."""
        blocks = self._lender.lend(entry, reader)
        return None if blocks is None else m.Reply(request_id, blocks, entry.outputs, entry.parameters)

    def forget(self, prefix: bytes) -> None:
        """Nobody will ask for keys that begin so any more."""
        self._cache.forget(prefix)

    def _copy(self, reply: m.Reply) -> Entry | None:
        """An answer with its data in one piece; None where it has none, or some that are not the server's to keep."""
        if reply.outputs is None or sum(ref.size_bytes for ref in reply.outputs) > self._cache.largest_bytes:
            return None
        refs: list[m.OutputRef] = []
        parts: list[memoryview | bytes] = []
        at = 0
        try:
            for ref in reply.outputs:
                if ref.region:
                    return None
                refs.append(m.OutputRef(ref.name, ref.datatype, ref.shape, at, ref.size_bytes))
                if not ref.size_bytes:
                    continue
                block = reply.blocks[ref.block]
                parts.append(self._pool.view(Block(block.offset, block.generation), ref.start, ref.size_bytes))
                padding_bytes = -ref.size_bytes % _ALIGNMENT_BYTES
                parts.append(bytes(padding_bytes))
                at += ref.size_bytes + padding_bytes
        except PoolError:
            # Its worker has died, and the frontend will say so.
            return None
        return Entry(tuple(refs), reply.parameters, b"".join(parts))

    # ---- for the loop ----------------------------------------------------------------------------------------------

    def completed(self, now_ns: int) -> list[Decision]:
        """What comes of the lookups that have ended."""
        decisions: list[Decision] = []
        for (number, _), entry in self._cache.completed():
            decisions += self._waiting.pop(number).looked_up(number, entry, now_ns)
        return decisions

    def granted(self, reply: m.GrantReply) -> None:
        """The supervisor has answered a request for memory."""
        self._lender.granted(reply)

    def metrics(self) -> m.CacheMetrics | None:
        """The cache as a whole."""
        metrics = self._cache.metrics()
        if metrics is not None:
            metrics.lookup_us = self._lookup_ns // 1000
            metrics.insertion_us = self._insertion_ns // 1000
        return metrics

    def close(self) -> None:
        """The process ends."""
        self._cache.close()


def caching_of(
    settings: ServerSettings, pool: Pool, grants: tuple[tuple[int, int], ...], control: ControlLink
) -> Caching | None:
    """The cache that the operator asks for."""
    config = cache_config(settings.cache_config)
    if config is None:
        return None
    return Caching(_cache_of(config), Lender(pool, grants, control.peer, control.send), pool)


def _cache_of(config: LocalCacheConfig | RedisCacheConfig) -> ResponseCache:
    if isinstance(config, LocalCacheConfig):
        return LocalCache(config.size_bytes)
    from tis.scheduler.cache.redis import RedisCache

    return RedisCache(config)
