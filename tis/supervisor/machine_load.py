"""How busy the machine is: processor and memory, as the kernel's /proc tells them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
#: Fields of the first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal; guests are in user.
_IDLE: Final = (3, 4)
_FIELDS: Final = 8


@dataclass(slots=True)
class MachineLoad:
    """The machine as last looked at. Everything is 0 before the first look, and utilization before the second."""

    proc: Path = _PROC
    cpu_utilization: float = 0.0
    memory_total_bytes: int = 0
    memory_used_bytes: int = 0
    _ticks: tuple[int, int] = field(default=(0, 0))

    def look(self) -> None:
        """Look now; utilization is that since the look before."""
        try:
            self._look_at_processor((self.proc / "stat").read_text())
            self._look_at_memory((self.proc / "meminfo").read_text())
        except (OSError, ValueError, IndexError):
            # Not every container has them; the values stay as they are.
            return

    def _look_at_processor(self, text: str) -> None:
        ticks = [int(each) for each in text.split("\n", 1)[0].split()[1 : 1 + _FIELDS]]
        total, idle = sum(ticks), sum(ticks[position] for position in _IDLE)
        total_before, idle_before = self._ticks
        if total_before and total > total_before:
            busy = 1 - (idle - idle_before) / (total - total_before)
            self.cpu_utilization = min(max(busy, 0.0), 1.0)
        self._ticks = (total, idle)

    def _look_at_memory(self, text: str) -> None:
        kibibytes = {line.partition(":")[0]: int(line.split()[1]) for line in text.splitlines() if ":" in line}
        self.memory_total_bytes = kibibytes.get("MemTotal", 0) * 1024
        self.memory_used_bytes = self.memory_total_bytes - kibibytes.get("MemAvailable", 0) * 1024
