"""What `--cache-config` asks for, read and checked. No cache lives here."""

from collections.abc import Mapping
from typing import Final

import msgspec

from tis.errors import invalid

_REDIS_NUMBERS: Final = ("port", "db", "connect_timeout", "socket_timeout", "pool_size", "wait_timeout")
_REDIS_TEXTS: Final = ("host", "user", "password", "cert", "key", "cacert", "cacert_dir", "sni")


class LocalCacheConfig(msgspec.Struct, frozen=True):
    """`local`: answers are kept in the memory of the scheduler, the least recently used ones make room."""

    size_bytes: int


class RedisCacheConfig(msgspec.Struct, frozen=True):
    """`redis`: answers are kept in a Redis server. Names and meanings are those of Triton's Redis cache.

    Times are milliseconds, 0 for any time. Unlike there the default is not to wait for any time: a server that does not
    answer must not hold requests up.
    """

    host: str
    port: int
    user: str = ""
    password: str = ""
    db: int = 0
    connect_timeout: int = 1000
    socket_timeout: int = 1000
    pool_size: int = 1
    #: How long a lookup waits for a connection before it counts as a miss.
    wait_timeout: int = 100
    cert: str = ""
    key: str = ""
    cacert: str = ""
    cacert_dir: str = ""
    sni: str = ""

    @property
    def encrypted(self) -> bool:
        """TLS is used where anything is said of it."""
        return bool(self.cert or self.key or self.cacert or self.cacert_dir or self.sni)


CacheConfig = LocalCacheConfig | RedisCacheConfig


def cache_config(given: tuple[tuple[str, str, str], ...], directory: str = "") -> CacheConfig | None:
    """The cache that (cache, setting, value) ask for; None where nothing is asked for. A later value counts.

    Raises:
        TisError: INVALID_ARG.
    """
    if not given:
        return None
    names = {name for name, _, _ in given}
    if len(names) > 1:
        raise invalid("found multiple cache configurations, but only a single cache is currently supported")
    [name] = names
    settings = {setting: value for _, setting, value in given}
    if name == "local":
        return _local(settings)
    if name == "redis":
        return _redis(settings)
    raise invalid(
        f"unable to find 'libtritoncache_{name}.so' for cache. Searched: {directory}; this server has the caches 'local' and "
        "'redis'"
    )


def _local(settings: Mapping[str, str]) -> LocalCacheConfig:
    _refuse_unknown("LocalCache", settings, ("size",))
    if "size" not in settings:
        raise invalid("Failed to initialize LocalCache: config didn't contain a valid 'size' field.")
    size_bytes = _number("LocalCache", "size", settings["size"])
    if not size_bytes:
        raise invalid("Failed to initialize LocalCache: 'size' is 0 bytes, in which nothing can be kept")
    return LocalCacheConfig(size_bytes)


def _redis(settings: Mapping[str, str]) -> RedisCacheConfig:
    _refuse_unknown("RedisCache", settings, (*_REDIS_TEXTS, *_REDIS_NUMBERS))
    if "host" not in settings or "port" not in settings:
        raise invalid(
            "Failed to initialize RedisCache, didn't specify address. Must at a minimum specify 'host' and 'port' in the "
            "configuration - e.g. tritonserver --cache-config redis,host=redis --cache-config redis,port=6379 "
            "--model-repository=/models ..."
        )
    numbers = {name: _number("RedisCache", name, settings[name]) for name in _REDIS_NUMBERS if name in settings}
    texts = {name: settings[name] for name in _REDIS_TEXTS if name in settings}
    found = msgspec.convert({**texts, **numbers}, RedisCacheConfig)
    if not 0 < found.port < 1 << 16:
        raise invalid(f"Failed to initialize RedisCache: 'port' is {found.port}, which is none")
    if not 0 < found.pool_size <= 64:
        raise invalid(f"Failed to initialize RedisCache: 'pool_size' is {found.pool_size}; 1 to 64 are possible")
    return found


def _refuse_unknown(cache: str, settings: Mapping[str, str], known: tuple[str, ...]) -> None:
    for name in settings:
        if name not in known:
            raise invalid(f"Failed to initialize {cache}: it has no setting '{name}'; it has {', '.join(known)}")


def _number(cache: str, name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise invalid(f"Failed to initialize {cache}: '{name}' is '{text}', which is no number")
    return int(text)
