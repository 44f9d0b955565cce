"""What this server uses while nobody asks it anything, with five models loaded."""

import argparse
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from . import machine
from .accounts import Account, Process, look, processes, used
from .errors import BenchError
from .models import LARGE, PYTHON_LARGE, PYTHON_SMALL, SMALL, Model, Serving, write_repository
from .options import BEST_MAX_BATCH_SIZE, positive
from .servers import end_on_sigterm, serving
from .table import layout

AIM_PERCENT: Final = 1.0
#: Three by ONNX Runtime, two in Python.
MODELS: Final = (SMALL, LARGE, Model("middle", 1024), PYTHON_SMALL, PYTHON_LARGE)
_SETTLE_S: Final = 3.0
DESCRIPTION = f"""\
Starts this server with {len(MODELS)} models (three by ONNX Runtime, two in Python), leaves it alone until its start is over,
and prints what its processes use of a core while nobody asks anything, and how often they wake.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the measurement; the exit status is 0 if it could be made, whether or not the aim is met."""
    end_on_sigterm()
    given = parser().parse_args(arguments)
    command = [*shlex.split(given.tis_command), "--log-verbose=1", *shlex.split(given.tis_args)]
    try:
        accounts = measure(command, given.seconds)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    where = machine.description()
    print("\n".join(f"{key}: {value}" for key, value in where.items()) + "\n")
    print(table(accounts, given.seconds))
    if given.json:
        document = {"machine": where, "seconds": given.seconds, "processes": as_json(accounts, given.seconds)}
        given.json.write_text(json.dumps(document, indent=2) + "\n")
    return 0


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    result = argparse.ArgumentParser("tools/bench/idle", description=DESCRIPTION)
    result.add_argument("--seconds", type=positive, default=10, help="how long to look on (default 10)")
    result.add_argument("--tis-command", default=shlex.join([sys.executable, "-m", "tis", "serve"]))
    result.add_argument("--tis-args", default="", metavar="'ARG ...'", help="further arguments for that command")
    result.add_argument("--json", type=Path, metavar="FILE", help="also write every figure to a file")
    return result


def measure(command: Sequence[str], seconds: int) -> dict[Process, Account]:
    """Start the server and look at its processes twice."""
    with tempfile.TemporaryDirectory(prefix="tis-bench-") as name:
        folder = Path(name)
        repository = write_repository(folder / "models", "onnxruntime", Serving(BEST_MAX_BATCH_SIZE, 1), MODELS)
        log = folder / "server.log"
        with serving(command, repository, log) as running:
            time.sleep(_SETTLE_S)
            found = processes(running.pid, log.read_text(errors="replace"))
            before = look(found)
            time.sleep(seconds)
            return used(before, look(found))


def percent(account: Account, seconds: float) -> float:
    """Processor time in hundredths of a core."""
    return account.cpu_ns / 1e7 / seconds


def table(accounts: Mapping[Process, Account], seconds: float) -> str:
    """A row for each process, and their sum beside the aim."""
    rows = [["process", "% of a core", "wake-ups/s"]]
    for process, account in accounts.items():
        rows.append([str(process), f"{percent(account, seconds):.2f}", f"{account.voluntary / seconds:.1f}"])
    total = sum(accounts.values(), Account())
    rows.append(["all", f"{percent(total, seconds):.2f}", f"{total.voluntary / seconds:.1f}"])
    met = "yes" if percent(total, seconds) < AIM_PERCENT else "no"
    return f"{layout(rows)}\naim: all together less than {AIM_PERCENT:g} % of a core: {met}"


def as_json(accounts: Mapping[Process, Account], seconds: float) -> list[dict[str, Any]]:
    """Every figure as plain data."""
    return [
        {"process": str(process), "percent": percent(account, seconds), "wakeups_per_s": account.voluntary / seconds}
        for process, account in accounts.items()
    ]
