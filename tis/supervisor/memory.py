"""How much memory a process has for itself, as the kernel says."""

from pathlib import Path
from typing import Final

_COUNTED: Final = ("RssAnon:", "VmSwap:")


def own_memory_bytes(pid: int, proc: Path = Path("/proc")) -> int:
    """Memory that is the process's alone, swapped or not; 0 where the kernel does not say, or the process is gone.

    Left out are files that it has mapped, which the kernel drops when it needs the room, and shared memory: that would
    still be there after the process.
    """
    try:
        lines = (proc / str(pid) / "status").read_text().splitlines()
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(_COUNTED))
    except (OSError, ValueError, IndexError):
        return 0
