"""The comparison: rounds of ours and theirs in turn, then the table."""

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from . import machine
from .cases import LIGHT_LOADS, Conditions, measure
from .errors import BenchError
from .limits import Limit, measure_limits
from .load_tools import require
from .models import write_repository
from .options import Options, Side, parse
from .results import Results
from .servers import end_on_sigterm, serving
from .table import comparison_table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit status is 0 if every run was good."""
    end_on_sigterm()
    try:
        options = parse(arguments)
        check_tools(options)
        where = machine.description()
        limits = measure_limits() if options.limits else []
        announce(options, where, limits)
        results = compare(options)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(comparison_table(results, [side.name for side in options.sides], options.rounds))
    errors = results.errors()
    for line in errors:
        print(f"error: {line}", file=sys.stderr)
    if options.json:
        write_json(options, where, limits, results)
    return 1 if errors else 0


def check_tools(options: Options) -> None:
    """Raise now, rather than after an hour, if a server or a load generator is missing."""
    if not options.sides:
        raise BenchError("nothing to measure: there is no reference here; name it by --reference")
    for load, program in LIGHT_LOADS.items():
        if any(case.load == load for case in options.cases):
            require(program)
    if options.perf_analyzer is None and any(case.load not in LIGHT_LOADS for case in options.cases):
        raise BenchError("there is no perf_analyzer here; name it by --perf-analyzer or TIS_PERF_ANALYZER")


def announce(options: Options, where: dict[str, str], limits: Sequence[Limit]) -> None:
    """Say what is measured, and where."""
    print("\n".join(f"{key}: {value}" for key, value in where.items()))
    print("\n".join(f"limit: {limit}" for limit in limits), end="\n" if limits else "")
    models = options.serving
    print(f"models: max_batch_size {models.max_batch_size}, {models.instances} instance(s) each")
    for side in options.sides:
        print(f"{side.name}: {' '.join(side.command)} ({side.backend} backend for identities)")
    if all(side.name != "theirs" for side in options.sides):
        print("theirs: not measured; name Triton by --reference or TIS_REFERENCE_TRITON")
    print(f"{options.rounds} round(s) of {options.seconds} s after {options.warmup_s} s of warm-up\n", flush=True)


def compare(options: Options) -> Results:
    """Measure all the cases on each side in each round, with a fresh server each time."""
    results = Results()
    with tempfile.TemporaryDirectory(prefix="tis-bench-") as name:
        folder = Path(name)
        repositories = {
            side.name: write_repository(
                folder / side.name, side.backend, options.serving, [case.model for case in options.cases]
            )
            for side in options.sides
        }
        for number in range(1, options.rounds + 1):
            for side in options.sides:
                measure_side(options, side, repositories[side.name], number, results)
    return results


def measure_side(options: Options, side: Side, repository: Path, number: int, results: Results) -> None:
    """Start one server and measure all the cases on it."""
    folder = repository.parent
    conditions = Conditions(options.serving, options.seconds, options.warmup_s, options.perf_analyzer, folder)
    with serving(side.command, repository, folder / f"{side.name}.log") as running:
        for case in options.cases:
            sample = measure(case, running.endpoint, conditions)
            results.add(case, side.name, sample)
            print(f"round {number} {side.name} {case.name} {case.clients}: {sample}", file=sys.stderr, flush=True)


def write_json(options: Options, where: dict[str, str], limits: Sequence[Limit], results: Results) -> None:
    """Write every figure, with what it takes to repeat them."""
    document = {
        "machine": where,
        "limits": [vars(limit) for limit in limits],
        "serving": vars(options.serving),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "warmup_s": options.warmup_s,
        "sides": {side.name: {"command": side.command, "backend": side.backend} for side in options.sides},
        "results": results.as_json(),
    }
    if options.json:
        options.json.write_text(json.dumps(document, indent=2) + "\n")
