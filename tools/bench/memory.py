"""The memory of a process and all its descendants."""

from pathlib import Path

PROC = Path("/proc")


def tree_pss_bytes(pid: int) -> int:
    """The summed proportional set size: pages shared by several processes are counted once, divided among them."""
    return sum(pss_bytes(each) for each in tree(pid))


def tree(pid: int) -> list[int]:
    """The process and its descendants, also those in sessions of their own."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            children.setdefault(parent(int(entry.name)), []).append(int(entry.name))
    found = [pid]
    for each in found:  # grows while it is walked
        found += children.get(each, [])
    return found


def parent(pid: int) -> int:
    """The parent's id; 0, which no process has, if the process is gone."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    # The name, in parentheses, may itself hold spaces and parentheses: state and parent come after the last one.
    return int(stat.rpartition(")")[2].split()[1])


def pss_bytes(pid: int) -> int:
    """One process's share; 0 if it is gone."""
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
