"""Where and on what a measurement was made, so that figures are not compared across machines by mistake."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from .venv import ROOT

CPUINFO = Path("/proc/cpuinfo")


def description() -> dict[str, str]:
    """The machine, the time and the state of the source."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "cpu": f"{len(os.sched_getaffinity(0))} of {cpu_model()}",
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def cpu_model() -> str:
    """The processor's name, or its architecture where Linux does not tell."""
    lines = CPUINFO.read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def commit() -> str:
    """The commit checked out, marked if the tree differs from it."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return finished.stdout.strip() or "unknown"
