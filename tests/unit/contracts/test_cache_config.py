"""`--cache-config`: one cache, its settings checked, Triton's words where it has some."""

import pytest

from tis.contracts.cache_config import LocalCacheConfig, RedisCacheConfig, cache_config
from tis.errors import Code, TisError


def test_without_the_flag_there_is_no_cache() -> None:
    assert cache_config(()) is None


def test_the_local_cache_has_a_size_and_the_last_one_counts() -> None:
    assert cache_config((("local", "size", "5"), ("local", "size", "1048576"))) == LocalCacheConfig(1048576)


def test_the_redis_cache_has_an_address_and_the_settings_of_tritons() -> None:
    given = {"host": "h", "port": "6379", "user": "u", "password": "p,=:", "db": "2", "socket_timeout": "0"}
    found = cache_config(tuple(("redis", name, value) for name, value in given.items()))
    assert found == RedisCacheConfig("h", 6379, "u", "p,=:", 2, socket_timeout=0)
    assert not found.encrypted
    assert RedisCacheConfig("h", 1, cacert="f").encrypted


ADDRESS = (("redis", "host", "h"), ("redis", "port", "6379"))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            (("local", "size", "1"), *ADDRESS),
            "found multiple cache configurations, but only a single cache is currently supported",
        ),
        (
            (("local", "foo", "1"),),
            "Failed to initialize LocalCache: it has no setting 'foo'; it has size",
        ),
        (
            (("local", "size", "1k"),),
            "Failed to initialize LocalCache: 'size' is '1k', which is no number",
        ),
        (
            (("local", "size", "0"),),
            "Failed to initialize LocalCache: 'size' is 0 bytes, in which nothing can be kept",
        ),
        (
            ADDRESS[:1],
            "Failed to initialize RedisCache, didn't specify address. Must at a minimum specify 'host' and 'port' in the "
            "configuration - e.g. tritonserver --cache-config redis,host=redis --cache-config redis,port=6379 "
            "--model-repository=/models ...",
        ),
        (
            (*ADDRESS, ("redis", "port", "0")),
            "Failed to initialize RedisCache: 'port' is 0, which is none",
        ),
        (
            (*ADDRESS, ("redis", "pool_size", "0")),
            "Failed to initialize RedisCache: 'pool_size' is 0; 1 to 64 are possible",
        ),
        (
            (("mine", "size", "1"),),
            "unable to find 'libtritoncache_mine.so' for cache. Searched: /caches; this server has the caches 'local' and "
            "'redis'",
        ),
    ],
)
def test_a_mistake_is_told(given: tuple[tuple[str, str, str], ...], text: str) -> None:
    with pytest.raises(TisError) as caught:
        cache_config(given, "/caches")
    assert (caught.value.code, caught.value.message) == (Code.INVALID_ARG, text)
