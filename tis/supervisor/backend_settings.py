"""What `--backend-config` says: the setting that is acted on, and word of those that have no meaning here."""

from typing import Final

from tis.config.completion import DEFAULT_MAX_BATCH_SIZE
from tis.log import get_logger
from tis.settings import ServerSettings

#: Settings of Triton's Python backend, and why they are not needed.
_MOOT_OF_PYTHON: Final = {
    "shm-default-byte-size": "tensors lie in the one pool of --pool-byte-size",
    "shm-growth-byte-size": "tensors lie in the one pool of --pool-byte-size",
    "shm-region-prefix-name": "the pool has no name",
    "stub-timeout-seconds": "--model-load-timeout-secs bounds a load",
    "thread-pool-size": "calls of models take no threads of the server",
}

_log = get_logger(__name__)


def default_max_batch_size(settings: ServerSettings, backend: str) -> int:
    """`--backend-config=default-max-batch-size=N`, for all backends or one; 4 where it is not given."""
    chosen = DEFAULT_MAX_BATCH_SIZE
    for name, key, value in settings.backend_config:
        if key == "default-max-batch-size" and name in ("", backend) and value.isdigit():
            chosen = int(value)
    return chosen


def tell_moot(settings: ServerSettings) -> None:
    """Log the settings of the Python backend that this server accepts and does nothing with."""
    for name, key, value in settings.backend_config:
        if name == "python" and key in _MOOT_OF_PYTHON:
            _log.info("--backend-config=%s,%s=%s has no effect: %s", name, key, value, _MOOT_OF_PYTHON[key])
