"""The local cache: answers in this process's memory; those that were not used for longest make room. Pure logic.

What an answer takes is counted as the bytes of its outputs (each begins at a multiple of 64), of their names, datatypes and
shapes as they are packed, and `OVERHEAD_BYTES` for the key and what the index needs. The sum is never above the size.
"""

from collections import OrderedDict
from typing import Final

from tis.contracts.messages import CacheMetrics, encode
from tis.scheduler.cache.interface import Entry, Token

OVERHEAD_BYTES: Final = 512


def entry_bytes(entry: Entry) -> int:
    """What an answer takes."""
    return len(entry.data) + len(encode([entry.outputs, entry.parameters])) + OVERHEAD_BYTES


class LocalCache:
    """Follows `ResponseCache`."""

    fd = -1

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes: Final = size_bytes
        self.largest_bytes = size_bytes - OVERHEAD_BYTES
        self._used_bytes = 0
        #: The least recently used one first.
        self._entries: OrderedDict[bytes, tuple[Entry, int]] = OrderedDict()
        self._lookups = 0
        self._hits = 0
        self._evictions = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def used_bytes(self) -> int:
        """What all answers take together."""
        return self._used_bytes

    def look_up(self, key: bytes, token: Token) -> Entry | None:  # noqa: ARG002 - the protocol's
        """The answer kept under a key, which is now the most recently used one."""
        self._lookups += 1
        found = self._entries.get(key)
        if found is None:
            return None
        self._hits += 1
        self._entries.move_to_end(key)
        return found[0]

    def insert(self, key: bytes, entry: Entry) -> None:
        """Keep an answer, in place of one under the same key; one that is larger than the cache is not kept."""
        size_bytes = entry_bytes(entry)
        if size_bytes > self._size_bytes:
            return
        self._remove(key)
        while self._used_bytes + size_bytes > self._size_bytes:
            _, (_, evicted_bytes) = self._entries.popitem(last=False)
            self._used_bytes -= evicted_bytes
            self._evictions += 1
        self._entries[key] = (entry, size_bytes)
        self._used_bytes += size_bytes

    def completed(self) -> list[tuple[Token, Entry | None]]:
        """Every lookup is answered at once."""
        return []

    def forget(self, prefix: bytes) -> None:
        """Drop what is kept under keys that begin so. Looks at every key: it happens when a model goes."""
        for key in [key for key in self._entries if key.startswith(prefix)]:
            self._remove(key)

    def metrics(self) -> CacheMetrics:
        """What is counted here; durations are for whoever has a clock."""
        used = self._used_bytes / self._size_bytes
        misses = self._lookups - self._hits
        return CacheMetrics(used, len(self._entries), self._lookups, self._hits, misses, self._evictions, 0, 0)

    def close(self) -> None:
        """Drop everything."""
        self._entries.clear()
        self._used_bytes = 0

    def _remove(self, key: bytes) -> None:
        found = self._entries.pop(key, None)
        if found is not None:
            self._used_bytes -= found[1]
