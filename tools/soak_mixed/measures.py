"""What the processes of a server hold: memory and file descriptors. Taken when it is idle, before and after the load."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness.processes import pss_bytes
from tests.harness.server import Server


def descriptors(pid: int) -> int:
    """How many file descriptors a process has; 0 where it is gone."""
    try:
        return sum(1 for _ in (Path("/proc") / str(pid) / "fd").iterdir())
    except OSError:
        return 0


@dataclass(frozen=True)
class Measures:
    """Memory of all processes together, and descriptors by process."""

    memory_bytes: int = 0
    descriptors: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, server: Server) -> "Measures":
        """As it is now."""
        pids = server.processes()
        return cls(pss_bytes(pids), {pid: descriptors(pid) for pid in pids})

    def leaked(self, later: "Measures", most: int, pids: Iterable[int]) -> list[str]:
        """Which of some processes, as far as they live still, have more than so many descriptors more."""
        return [
            f"process {pid} had {self.descriptors[pid]} descriptors and has {later.descriptors[pid]} now"
            for pid in pids
            if pid in later.descriptors and later.descriptors[pid] - self.descriptors.get(pid, 1 << 30) > most
        ]
