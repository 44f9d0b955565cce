"""The command line of ``tools/bench/run``."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .cases import GROUPS, NAMES, Case, select
from .errors import BenchError
from .models import Backend, Serving
from .venv import ROOT

REFERENCE_FOLDER = ROOT.parent / "shared" / "reference"
SIDES = ("ours", "theirs")
DESCRIPTION = """\
Starts this server and the reference (genuine Triton 2.51) in turn on this machine, puts the same load on both, and
prints requests per second, p50 and p99: medians over the rounds, and the ratios ours/theirs.
"""
EPILOG = f"""\
cases: {", ".join(NAMES)}; groups of cases, which run only when asked for:
{", ".join(f"{group} ({', '.join(names)})" for group, names in GROUPS.items())}"""
# Measured to be the reference's best at 16 clients, by throughput.
BEST_MAX_BATCH_SIZE = 16
BEST_INSTANCES = 1


@dataclass(frozen=True)
class Side:
    """One of the two servers: ``ours`` or ``theirs``."""

    name: str
    command: tuple[str, ...]
    backend: Backend


@dataclass(frozen=True)
class Options:
    """The command line, understood."""

    sides: list[Side]
    cases: list[Case]
    serving: Serving
    rounds: int
    seconds: int
    warmup_s: int
    perf_analyzer: Path | None
    json: Path | None
    limits: bool


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line; raises if it asks for something that is not there."""
    given = parser().parse_args(arguments)
    only = split(given.only)
    clients = [int(count) for count in split(given.clients)] or None
    cases = select(only, clients, with_perf=given.with_perf_analyzer)
    wanted_sides = split(given.sides)
    if not wanted_sides or set(wanted_sides) - set(SIDES):
        raise BenchError(f"--sides takes {','.join(SIDES)}, not {given.sides!r}")
    sides = []
    if "ours" in wanted_sides:
        command = [*shlex.split(given.tis_command), *shlex.split(given.tis_args)]
        sides.append(Side("ours", tuple(command), given.tis_backend))
    reference = find(given.reference, "TIS_REFERENCE_TRITON", "triton")
    if "theirs" in wanted_sides and reference is not None:
        sides.append(Side("theirs", (str(reference),), "python"))
    return Options(
        sides=sides,
        cases=cases,
        serving=Serving(given.max_batch_size, given.instances),
        rounds=given.rounds,
        seconds=given.seconds,
        warmup_s=given.warmup,
        perf_analyzer=find(given.perf_analyzer, "TIS_PERF_ANALYZER", "perf-analyzer"),
        json=given.json,
        limits=given.limits,
    )


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    result = argparse.ArgumentParser("tools/bench/run", description=DESCRIPTION, epilog=EPILOG)
    load = result.add_argument_group("load")
    load.add_argument("--rounds", type=positive, default=3, help="rounds of ours, theirs (default 3)")
    load.add_argument("--seconds", type=positive, default=5, help="length of each measurement (default 5)")
    load.add_argument("--warmup", type=int, default=1, metavar="SECONDS", help="load before each (default 1)")
    load.add_argument("--only", default="", metavar="CASE,...", help="only these cases (see below)")
    load.add_argument("--clients", default="", metavar="N,...", help="only these numbers of clients")
    load.add_argument("--with-perf-analyzer", action="store_true", help="also measure with perf_analyzer; slow")
    models = result.add_argument_group("models (the same on both sides; the defaults are the reference's best)")
    models.add_argument("--max-batch-size", type=int, default=BEST_MAX_BATCH_SIZE, help="0: no batching")
    models.add_argument("--instances", type=positive, default=BEST_INSTANCES, help="instances of each model")
    servers = result.add_argument_group("servers")
    servers.add_argument("--sides", default=",".join(SIDES), help="which to measure (default: ours,theirs)")
    servers.add_argument("--tis-command", default=shlex.join([sys.executable, "-m", "tis", "serve"]))
    servers.add_argument("--tis-args", default="", metavar="'ARG ...'", help="further arguments for that command")
    servers.add_argument("--tis-backend", choices=("onnxruntime", "python"), default="onnxruntime")
    servers.add_argument("--reference", type=Path, help="Triton (or $TIS_REFERENCE_TRITON)")
    servers.add_argument("--perf-analyzer", type=Path, help="perf_analyzer (or $TIS_PERF_ANALYZER)")
    result.add_argument("--no-limits", action="store_false", dest="limits", help="leave out the machine's own limits")
    result.add_argument("--json", type=Path, metavar="FILE", help="also write every figure to a file")
    return result


def positive(text: str) -> int:
    """A number from 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def split(text: str) -> list[str]:
    """The parts of a list given with commas."""
    return [part for part in text.split(",") if part]


def find(given: Path | None, variable: str, name: str) -> Path | None:
    """A reference program: the one named, by flag or variable, which must exist, or else the usual one if it does."""
    named = given or (Path(os.environ[variable]) if os.environ.get(variable) else None)
    if named is None:
        usual = REFERENCE_FOLDER / name
        return usual if usual.exists() else None
    if not named.exists():
        raise BenchError(f"{named} does not exist")
    return named.absolute()
