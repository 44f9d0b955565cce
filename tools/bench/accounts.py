"""What the kernel has charged the processes of a server: processor time and context switches, read from ``/proc``.

Nothing is attached to the processes, so that measuring changes nothing about them. A thread that ends between two looks takes
what it used with it, which is why load is put on a server before the first of them: its threads are there by then.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .memory import tree

PROC: Final = Path("/proc")
SUPERVISOR: Final = "supervisor"
#: The order in which processes are listed: as a request meets them.
ROLES: Final = ("frontend", "scheduler", "worker", SUPERVISOR)
_VOLUNTARY: Final = "voluntary_ctxt_switches"
_INVOLUNTARY: Final = "nonvoluntary_ctxt_switches"
#: Which field behind the name in `stat` has the minor faults.
_STAT_FAULTS: Final = 7
_TITLE: Final = re.compile(r"instance '[^']*' of model '([^']*)' version (\d+) runs as process (\d+)")


@dataclass(frozen=True)
class Account:
    """What one process has used since it began, or between two looks."""

    cpu_ns: int = 0
    #: It waited and was woken.
    voluntary: int = 0
    #: Another one took its core from it.
    involuntary: int = 0
    #: Pages that it touched for the first time, the kernel's zeroing of them included.
    faults: int = 0

    def __add__(self, other: "Account") -> "Account":
        return Account(
            self.cpu_ns + other.cpu_ns,
            self.voluntary + other.voluntary,
            self.involuntary + other.involuntary,
            self.faults + other.faults,
        )

    def __sub__(self, other: "Account") -> "Account":
        """What was used since `other`; never less than nothing, which ended threads would make of it."""
        return Account(
            max(self.cpu_ns - other.cpu_ns, 0),
            max(self.voluntary - other.voluntary, 0),
            max(self.involuntary - other.involuntary, 0),
            max(self.faults - other.faults, 0),
        )


@dataclass(frozen=True)
class Process:
    """One process of a server."""

    pid: int
    role: str
    #: The model that a worker serves, where the log told.
    model: str = ""

    def __str__(self) -> str:
        return f"{self.role} of {self.model}" if self.model else self.role


def processes(supervisor_pid: int, log: str = "") -> list[Process]:
    """The server's living processes, in the order of `ROLES`; a log written with `--log-verbose=1` tells workers' models."""
    models = models_in(log)
    found = [
        Process(pid, SUPERVISOR if pid == supervisor_pid else role_of(pid), models.get(pid, ""))
        for pid in tree(supervisor_pid)
    ]
    return sorted(found, key=lambda each: (rank(each.role), each.model, each.pid))


def role_of(pid: int) -> str:
    """What a process is, by the name that it has given itself."""
    try:
        return (PROC / str(pid) / "comm").read_text().strip().removeprefix("tis-")
    except OSError:
        return "gone"


def rank(role: str) -> int:
    """Where a role comes in a list; what is not known comes last."""
    return ROLES.index(role) if role in ROLES else len(ROLES)


def models_in(log: str) -> dict[int, str]:
    """Process id to the name of the model that it serves."""
    return {int(pid): model for model, _version, pid in _TITLE.findall(log)}


def look(found: Iterable[Process]) -> dict[Process, Account]:
    """What each has used by now."""
    return {each: account_of(each.pid) for each in found}


def account_of(pid: int) -> Account:
    """The sum over a process' threads; nothing where it is gone."""
    try:
        threads = list((PROC / str(pid) / "task").iterdir())
        total = Account(faults=faults_in((PROC / str(pid) / "stat").read_text()))
    except OSError:
        return Account()
    for thread in threads:
        try:
            total += parse((thread / "schedstat").read_text(), (thread / "status").read_text())
        except OSError:  # the thread has ended
            continue
    return total


def parse(schedstat: str, status: str) -> Account:
    """One thread's account: nanoseconds on a core are the first field of `schedstat`."""
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return Account(int(schedstat.split()[0]), int(fields[_VOLUNTARY]), int(fields[_INVOLUNTARY]))


def faults_in(stat: str) -> int:
    """A process' minor page faults; the name in `stat`, in parentheses, may itself hold spaces and parentheses."""
    return int(stat.rpartition(")")[2].split()[_STAT_FAULTS])


def used(before: Mapping[Process, Account], after: Mapping[Process, Account]) -> dict[Process, Account]:
    """What each process used between two looks."""
    return {each: after[each] - before[each] for each in before if each in after}


def by_role(accounts: Mapping[Process, Account]) -> dict[str, tuple[int, Account]]:
    """The processes of a role together: how many, and what they used."""
    sums: dict[str, tuple[int, Account]] = {}
    for each, account in accounts.items():
        count, total = sums.get(each.role, (0, Account()))
        sums[each.role] = (count + 1, total + account)
    return sums
