"""Processes as /proc shows them: who belongs to a server, what each one is, and what they hold."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.harness.waiting import eventually

_PROC: Final = Path("/proc")
_STAT_STATE: Final = 0
_STAT_SESSION: Final = 3
_STAT_USER_TIME: Final = 11


@dataclass(frozen=True)
class ServerProcess:
    """A child of a server and the module that it runs."""

    pid: int
    module: str

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def alive(self) -> bool:
        """False once it has ended, reaped or not."""
        return _state(self.pid) not in ("", "Z", "X")


def successor(look: Callable[[], list[ServerProcess]], old: ServerProcess) -> ServerProcess:
    """Wait for a process in the place of one that was killed."""
    return eventually(lambda: [each for each in look() if each != old], f"a successor of process {old.pid}")[-1]


@contextmanager
def computing(process: ServerProcess) -> Iterator[None]:
    """Give a worker something to do inside; leaves once it has begun with it."""
    before = cpu_ticks(process.pid)
    yield
    # More ticks than its heartbeats explain.
    eventually(lambda: cpu_ticks(process.pid) > before + 3, f"process {process.pid} computes")


def session_pids(session: int) -> list[int]:
    """Living processes of a session. A server under test leads one, so these are the server and all it started."""
    return [
        int(entry.name)
        for entry in _PROC.iterdir()
        if entry.name.isdigit() and _session(int(entry.name)) == session and _state(int(entry.name)) not in ("Z", "X")
    ]


def children_of(session: int, module: str) -> list[ServerProcess]:
    """Living processes of a session that run a module of the server, oldest first."""
    found = [ServerProcess(pid, module) for pid in session_pids(session) if _runs(pid, module)]
    return sorted(found, key=lambda each: each.pid)


def is_held(path: Path) -> bool:
    """True while some process has a file mapped or open."""
    for process in _PROC.iterdir():
        if not process.name.isdigit():
            continue
        with suppress(OSError):
            if str(path) in (process / "maps").read_text(errors="replace"):
                return True
            for entry in (process / "fd").iterdir():
                with suppress(OSError):
                    if entry.readlink() == path:
                        return True
    return False


def open_files(pid: int) -> list[str]:
    """What the descriptors of a process lead to."""
    found = []
    for entry in (_PROC / str(pid) / "fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            found.append(str(entry.readlink()))
    return found


def open_sockets(pid: int) -> int:
    """How many sockets a process holds."""
    return sum(each.startswith("socket:") for each in open_files(pid))


def cpu_ticks(pid: int) -> int:
    """How long a process has computed, in the kernel's ticks (hundredths of a second); 0 where it is gone."""
    return int(_stat(pid, _STAT_USER_TIME) or 0)


def pss_bytes(pids: list[int]) -> int:
    """Memory of some processes together; pages that several share are divided among them."""
    return sum(_pss_bytes(pid) for pid in pids)


def anonymous_bytes(pid: int) -> int:
    """A process's own memory in use, without what it maps of files and of the pool; 0 where it is gone."""
    try:
        lines = (_PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:")), 0)


def _pss_bytes(pid: int) -> int:
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def _runs(pid: int, module: str) -> bool:
    try:
        return module in (_PROC / str(pid) / "cmdline").read_bytes().decode().split("\0")
    except OSError:
        return False


def _state(pid: int) -> str:
    return _stat(pid, _STAT_STATE)


def _session(pid: int) -> int:
    return int(_stat(pid, _STAT_SESSION) or 0)


def _stat(pid: int, field: int) -> str:
    """A field of /proc/PID/stat, counted behind the name, which may hold spaces; empty where the process is gone."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[field]
    except OSError:
        return ""
