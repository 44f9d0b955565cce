"""Cold start and idle memory of this server with one model, beside the aims."""

import argparse
import json
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from . import machine
from .errors import BenchError
from .memory import tree, tree_pss_bytes
from .servers import end_on_sigterm, serving
from .table import layout
from .venv import ROOT

AIM_READY_S = 3.0
AIM_PSS_MB = 350.0
IDLE_S = 2
MB = 1024 * 1024
DESCRIPTION = """\
Starts this server with one ONNX model and prints the time from its start to ready, and the summed proportional set
size (PSS) of all its processes once it has been idle for a while: medians over the rounds, and the aims.
"""


@dataclass(frozen=True)
class Start:
    """One start of the server."""

    ready_s: float
    pss_mb: float
    processes: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the measurement; the exit status is 0 if it could be made, whether or not the aims are met."""
    end_on_sigterm()
    given = parser().parse_args(arguments)
    command = [*shlex.split(given.tis_command), *shlex.split(given.tis_args)]
    try:
        starts = measure(command, given.model, given.rounds)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    where = machine.description()
    print("\n".join(f"{key}: {value}" for key, value in where.items()) + "\n")
    print(table(starts))
    if given.json:
        document = {"machine": where, "starts": [vars(each) for each in starts]}
        given.json.write_text(json.dumps(document, indent=2) + "\n")
    return 0


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    result = argparse.ArgumentParser("tools/bench/startup", description=DESCRIPTION)
    result.add_argument("--rounds", type=int, default=5, help="starts (default 5)")
    result.add_argument("--model", type=Path, default=ROOT / "model_repository" / "simple", help="a model's folder")
    result.add_argument("--tis-command", default=shlex.join([sys.executable, "-m", "tis", "serve"]))
    result.add_argument("--tis-args", default="", metavar="'ARG ...'", help="further arguments for that command")
    result.add_argument("--json", type=Path, metavar="FILE", help="also write every figure to a file")
    return result


def measure(command: Sequence[str], model: Path, rounds: int) -> list[Start]:
    """Start and stop the server so many times, with a repository that holds just the one model."""
    if not (model / "config.pbtxt").exists() and not (model / "1").exists():
        raise BenchError(f"{model} is not a model's folder; --model names another")
    starts = []
    with tempfile.TemporaryDirectory(prefix="tis-bench-") as name:
        repository = Path(name) / "repository"
        shutil.copytree(model, repository / model.name)
        for number in range(1, rounds + 1):
            with serving(command, repository, Path(name) / "server.log") as running:
                time.sleep(IDLE_S)
                start = Start(running.ready_after_s, tree_pss_bytes(running.pid) / MB, len(tree(running.pid)))
            starts.append(start)
            print(f"round {number}: ready after {start.ready_s:.2f} s, {start.pss_mb:.0f} MB", file=sys.stderr)
    return starts


def table(starts: list[Start]) -> str:
    """Medians and extremes beside the aims."""
    rows = [["", "median", "min", "max", "aim", "met", "processes"]]
    processes = str(max(start.processes for start in starts))
    figures = (
        ("cold start, s", [start.ready_s for start in starts], AIM_READY_S),
        ("idle PSS, MB", [start.pss_mb for start in starts], AIM_PSS_MB),
    )
    for name, values, aim in figures:
        middle = median(values)
        cells = [f"{value:.2f}" for value in (middle, min(values), max(values))]
        rows.append([name, *cells, f"{aim:g}", "yes" if middle <= aim else "no", processes])
    return layout(rows)
