"""The load generators as programs: found or named with the package that has them, run with a deadline."""

import shutil
import subprocess
from collections.abc import Sequence

from .errors import BenchError, RunError

OVERTIME_S = 60
PACKAGES = {"wrk": "wrk", "h2load": "nghttp2-client"}


def require(program: str) -> str:
    """The program's path; raises with the Debian package to install if it is missing."""
    found = shutil.which(program)
    if found is None:
        raise BenchError(f"{program} is missing; install it with: apt-get install {PACKAGES[program]}")
    return found


def run_tool(command: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a load generator that means to take so long; raises if it hangs."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + OVERTIME_S)
    except subprocess.TimeoutExpired as error:
        raise RunError(f"{command[0]} did not end {OVERTIME_S} s after its time") from error
