"""How large a pool this machine allows: physical memory and the control group's limit. Reads /proc and /sys only."""

from pathlib import Path
from typing import Final

from tis_shm.pool import PoolError

#: Below this no useful server runs.
MINIMUM_POOL_BYTES: Final = 16 << 20
_UNSET_POOL_FRACTION: Final = 2


def memory_limit_bytes(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """The smallest of the machine's memory and the limits of this process's control groups, in bytes."""
    limits = [_memory_total_bytes(proc)]
    for line in _lines(proc / "self" / "cgroup"):
        _, _, path = line.split(":", 2)
        group = cgroup / path.lstrip("/")
        limits += [
            int(text)
            for folder in (group, *group.parents)
            if folder == cgroup or cgroup in folder.parents
            for text in _lines(folder / "memory.max")
            if text.isdigit()
        ]
    limits += [int(text) for text in _lines(cgroup / "memory" / "memory.limit_in_bytes") if text.isdigit()]
    return min(limits)


def choose_pool_bytes(asked_bytes: int, limit_bytes: int) -> int:
    """The pool's size: as asked, or half of the memory limit where nothing (0) was asked.

    Raises:
        PoolError: more than the machine has, or too little to serve with.
    """
    chosen = asked_bytes or limit_bytes // _UNSET_POOL_FRACTION
    if chosen > limit_bytes:
        raise PoolError(
            f"--pool-byte-size={asked_bytes} is more than the memory that this machine or its control group allows "
            f"({limit_bytes} bytes); give a smaller pool or raise the limit"
        )
    if chosen < MINIMUM_POOL_BYTES:
        raise PoolError(
            f"the shared-memory pool would be {chosen} bytes (memory limit {limit_bytes}); "
            f"at least {MINIMUM_POOL_BYTES} bytes are needed: raise the memory limit or give a larger --pool-byte-size"
        )
    return chosen


def _memory_total_bytes(proc: Path) -> int:
    for line in _lines(proc / "meminfo"):
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    raise PoolError(f"{proc}/meminfo does not say how much memory the machine has")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
