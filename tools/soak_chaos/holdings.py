"""What a server holds while nobody asks: processes, memory, descriptors and shared memory, kind by kind."""

import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.harness.processes import pss_bytes
from tests.harness.server import Server
from tools.soak_mixed.measures import descriptors

_SHM_PATH: Final = re.compile(r"/dev/shm/\S+")


@dataclass(frozen=True)
class Holdings:
    """By kind of process: how many there are, their memory together (shared pages divided), and the most descriptors."""

    processes: Counter[str] = field(default_factory=Counter)
    memory_bytes: Counter[str] = field(default_factory=Counter)
    descriptors: dict[str, int] = field(default_factory=dict)
    #: Entries of /dev/shm that they have mapped or open. What they leave there unheld the harness finds at the end.
    shm_entries: int = 0

    @classmethod
    def of(cls, server: Server) -> "Holdings":
        """As it is now."""
        found = cls(shm_entries=len(set().union(*(_shm_entries(pid) for pid in server.processes()))))
        workers, frontends = {each.pid for each in server.workers()}, {each.pid for each in server.frontends()}
        scheduler = server.scheduler().pid
        for pid in server.processes():
            kind = "worker" if pid in workers else "frontend" if pid in frontends else "scheduler"
            if kind == "scheduler" and pid != scheduler:
                kind = "supervisor" if pid == server.process.pid else "other"
            found.processes[kind] += 1
            found.memory_bytes[kind] += pss_bytes([pid])
            found.descriptors[kind] = max(found.descriptors.get(kind, 0), descriptors(pid))
        return found

    @property
    def whole_bytes(self) -> int:
        """Memory of all."""
        return self.memory_bytes.total()

    def grown(self, later: "Holdings", most_bytes: int, most_descriptors: int) -> list[str]:
        """What there is more of than there may be."""
        problems = []
        if later.processes != self.processes:
            problems.append(f"there were {dict(self.processes)} and are {dict(later.processes)}")
        if later.whole_bytes - self.whole_bytes > most_bytes:
            problems.append(f"memory has grown by {(later.whole_bytes - self.whole_bytes) / (1 << 20):.1f} MiB")
        problems += [
            f"a {kind} had {self.descriptors.get(kind, 0)} descriptors and has {count} now"
            for kind, count in later.descriptors.items()
            if count - self.descriptors.get(kind, 0) > most_descriptors
        ]
        if later.shm_entries > self.shm_entries:
            problems.append(f"/dev/shm had {self.shm_entries} entries and has {later.shm_entries}")
        return problems


def _shm_entries(pid: int) -> set[str]:
    """Paths in /dev/shm that a process holds; strangers have theirs there, too."""
    found = set()
    with suppress(OSError):
        found |= set(_SHM_PATH.findall((Path("/proc") / str(pid) / "maps").read_text(errors="replace")))
        for entry in (Path("/proc") / str(pid) / "fd").iterdir():
            with suppress(OSError):
                found |= set(_SHM_PATH.findall(str(entry.readlink())))
    return found
