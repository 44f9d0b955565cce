"""The response cache that the operator asks for: tried at start, so that a mistake is told before anything runs."""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tis.contracts.cache_config import RedisCacheConfig, cache_config
from tis.errors import invalid, unavailable
from tis.settings import ServerSettings
from tis.supervisor.grants import Grants

#: What the scheduler gets at its start for answers from the cache; it asks for more when that is too little.
_FIRST_GRANT_BYTES: Final = 4 << 20


def check_cache(settings: ServerSettings) -> None:
    """Raise where the cache that is asked for cannot be had. Whether a Redis server is there now does not matter.

    Raises:
        TisError: INVALID_ARG for its settings, UNAVAILABLE where a package is missing.
    """
    config = cache_config(settings.cache_config, settings.cache_directory)
    if not isinstance(config, RedisCacheConfig):
        return
    if find_spec("redis") is None:
        raise unavailable("the cache 'redis' needs a package that is not installed: pip install 'tis[redis]'")
    for flag, path in (("cert", config.cert), ("key", config.key), ("cacert", config.cacert)):
        try:
            if path:
                with Path(path).open("rb"):
                    pass
        except OSError as error:
            raise invalid(f"Failed to initialize RedisCache: '{flag}': {error}") from None


def scheduler_grants(settings: ServerSettings, grants: Grants, peer: int) -> tuple[tuple[int, int], ...]:
    """The ranges of the pool that a scheduler begins with: it writes there only what it answers from the cache."""
    grant = grants.grant(peer, _FIRST_GRANT_BYTES) if settings.cache_config else None
    return (grant,) if grant is not None else ()
