"""Tensors in shared memory, measured: direct clients of ours, and NVIDIA's clients of both servers."""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from . import load_perf_analyzer, machine
from .direct_load import Load
from .errors import BenchError
from .models import Model, Serving, write_repository
from .options import BEST_INSTANCES, BEST_MAX_BATCH_SIZE, find, positive, split
from .samples import Sample, median_of, percentile
from .scripts import Script
from .servers import Endpoint, end_on_sigterm, serving
from .table import layout
from .venv import ROOT

_LARGE: Final = Model("large", 153_600)
_SMALL: Final = Model("small", 16)
_IN_PLACE: Final = "in_place"
_IN_PLACE_CONFIG: Final = """\
name: "in_place"
backend: "identity"
input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ -1 ] } ]
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ -1 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""
_SIZES: Final = (64, 4 << 10, 64 << 10, 1 << 20, 16 << 20, 64 << 20)
_CLIENTS: Final = (1, 8)
_PERF_CLIENTS: Final = (1, 8)
_START_DEADLINE_S: Final = 120


class Row(NamedTuple):
    """A line of the table: what is asked, on which side, in which way."""

    case: str
    clients: int
    side: str
    way: str


@dataclass(frozen=True)
class Options:
    """The command line, understood."""

    rounds: int
    seconds: int
    reference: Path | None
    perf_analyzer: Path | None
    only: tuple[str, ...]
    serving: Serving
    ours: tuple[str, ...]
    json: Path | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit status is 0 if every run was good."""
    end_on_sigterm()
    try:
        options = parse(arguments)
        where = machine.description()
        print("\n".join(f"{key}: {value}" for key, value in where.items()))
        samples = compare(options)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(samples))
    for line in aims(samples):
        print(line)
    if options.json:
        rows = [{**row._asdict(), "samples": [each.as_json() for each in of]} for row, of in samples.items()]
        options.json.write_text(json.dumps({"machine": where, "rows": rows}, indent=2) + "\n")
    failed = [f"{row}: {each.error}" for row, of in samples.items() for each in of if each.error]
    print("\n".join(failed), file=sys.stderr)
    return 1 if failed else 0


def parse(arguments: Sequence[str] | None) -> Options:
    """Read the command line; raises if it asks for something that is not there."""
    parser = argparse.ArgumentParser("tools/bench/direct", description=__doc__)
    parser.add_argument("--rounds", type=positive, default=3, help="rounds of ours, theirs (default 3)")
    parser.add_argument("--seconds", type=positive, default=3, help="length of each measurement (default 3)")
    parser.add_argument("--only", default="", metavar="CASE,...", help=f"of {', '.join(CASES)} (default: all but perf)")
    parser.add_argument("--max-batch-size", type=int, default=BEST_MAX_BATCH_SIZE, help="0: no batching")
    parser.add_argument("--reference", type=Path, help="Triton (or $TIS_REFERENCE_TRITON)")
    parser.add_argument("--perf-analyzer", type=Path, help="perf_analyzer (or $TIS_PERF_ANALYZER)")
    parser.add_argument("--tis-command", default=shlex.join([sys.executable, "-m", "tis", "serve"]))
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure to a file")
    given = parser.parse_args(arguments)
    only = tuple(split(given.only)) or tuple(case for case in CASES if case != "perf")
    if unknown := sorted(set(only).difference(CASES)):
        raise BenchError(f"no such case: {', '.join(unknown)}; there are: {', '.join(CASES)}")
    perf_analyzer = find(given.perf_analyzer, "TIS_PERF_ANALYZER", "perf-analyzer")
    if "perf" in only and perf_analyzer is None:
        raise BenchError("there is no perf_analyzer here; name it by --perf-analyzer or TIS_PERF_ANALYZER")
    reference = find(given.reference, "TIS_REFERENCE_TRITON", "triton")
    ours = tuple(shlex.split(given.tis_command))
    models = Serving(given.max_batch_size, BEST_INSTANCES)
    return Options(given.rounds, given.seconds, reference, perf_analyzer, only, models, ours, given.json)


def compare(options: Options) -> dict[Row, list[Sample]]:
    """Measure all cases on each side in each round, with a fresh server each time."""
    samples: dict[Row, list[Sample]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="tb-") as name:
        folder = Path(name)
        ours = write_repository(folder / "ours", "python", options.serving, (_LARGE, _SMALL))
        Script(_IN_PLACE, _IN_PLACE_CONFIG).write(ours)
        theirs = write_repository(folder / "theirs", "python", options.serving, (_LARGE, _SMALL))
        address = f"ipc://{folder}/direct"
        sides = [("ours", (*options.ours, f"--zmq-address={address}"), ours)]
        if options.reference is not None:
            sides.append(("theirs", (str(options.reference),), theirs))
        for number in range(1, options.rounds + 1):
            for side, command, repository in sides:
                with serving(command, repository, folder / f"{side}.log") as running:
                    for row, load in rows(options, side, address, running.endpoint):
                        for size, sample in measure(options, row, load, running.endpoint, folder):
                            samples[size].append(sample)
                            print(f"round {number} {' '.join(map(str, size))}: {sample}", file=sys.stderr, flush=True)
    return samples


def rows(options: Options, side: str, address: str, endpoint: Endpoint) -> list[tuple[Row, Load]]:
    """What is measured on a side, and by what load; perf_analyzer's row names its protocol alone."""
    found: list[tuple[Row, Load]] = []
    http = Load("http", endpoint.http_address, _LARGE.name, _LARGE.elements * 4, options.seconds)
    http = replace(http, is_batched=options.serving.max_batch_size > 0)
    grpc = replace(http, way="grpc", address=endpoint.grpc_address)
    direct = replace(http, way="zmq", address=address)
    ways = [http, grpc] if side == "theirs" else [direct, http, grpc]
    if "large" in options.only:
        found += [(Row("600 KB", count, side, load.way), load) for count in _CLIENTS for load in ways]
    if "small" in options.only and side == "ours":
        small = [replace(load, model=_SMALL.name, tensor_bytes=64, is_shared=False) for load in ways]
        found += [(Row("16 floats inline", 1, side, load.way), load) for load in small]
    if "sizes" in options.only and side == "ours":
        smallest, *others = _SIZES
        load = replace(direct, way="zmq-in-place", model=_IN_PLACE, tensor_bytes=smallest, is_batched=False)
        found.append((Row(_in_place(smallest), 1, side, load.way), replace(load, others_bytes=tuple(others))))
    if "perf" in options.only:
        loads = [(count, load) for count in _PERF_CLIENTS for load in (http, grpc)]
        found += [(Row("perf_analyzer", count, side, load.way), load) for count, load in loads]
    return found


CASES: Final = ("large", "small", "sizes", "perf")


def _in_place(tensor_bytes: int) -> str:
    return f"in place {tensor_bytes} B"


def measure(options: Options, row: Row, load: Load, endpoint: Endpoint, folder: Path) -> list[tuple[Row, Sample]]:
    """Measure a row, and with it those of the sizes that take turns with its own."""
    if row.case == "perf_analyzer" and options.perf_analyzer is not None:
        report = folder / "perf_analyzer.csv"
        about = (load.way, row.clients)
        sample = load_perf_analyzer.measure(
            options.perf_analyzer, endpoint, _LARGE, about, options.seconds, report, shared_bytes=load.tensor_bytes
        )
        return [(row, sample)]
    found = run(load, row.clients)
    others = [row._replace(case=_in_place(size)) for size in load.others_bytes]
    return list(zip((row, *others), found, strict=True))


def run(load: Load, clients: int) -> list[Sample]:
    """Start so many clients, let them go at the same moment, and put together what they saw: a sample for each size."""
    command = [sys.executable, "-m", "tools.bench.direct_load", load.to_json()]
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(clients)
    ]
    try:
        for each in processes:
            assert each.stdout is not None
            if each.stdout.readline() != "ready\n":
                return [Sample(error=each.communicate()[1].strip()[-300:])] * len(load.sizes())
        for each in processes:
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        took_us: list[list[int]] = [[] for _ in load.sizes()]
        for each in processes:
            said, errors = each.communicate(timeout=load.seconds * len(took_us) + _START_DEADLINE_S)
            if each.returncode:
                return [Sample(error=errors.strip()[-300:])] * len(took_us)
            for of_all, of_one in zip(took_us, json.loads(said), strict=True):
                of_all += of_one
    finally:
        for each in processes:
            each.kill()
            each.wait()
    return [_sample(sorted(each), load.seconds) for each in took_us]


def _sample(took_us: list[int], seconds: float) -> Sample:
    p50_ms, p99_ms = percentile(took_us, 0.5) / 1000, percentile(took_us, 0.99) / 1000
    return Sample(len(took_us) / seconds, p50_ms, p99_ms)


def table(samples: dict[Row, list[Sample]]) -> str:
    """Medians over the rounds."""
    lines = [["case", "clients", "server", "by", "requests/s", "p50 ms", "p99 ms"]]
    for row in sorted(samples, key=lambda row: (row.case, row.clients, row.side, row.way)):
        middle = median_of(samples[row])
        figures = ["-"] * 3
        if middle is not None:
            figures = [f"{middle.requests_per_s:,.0f}", f"{middle.p50_ms:.3f}", f"{middle.p99_ms:.3f}"]
        lines.append([row.case, str(row.clients), row.side, row.way, *figures])
    return layout(lines)


def aims(samples: dict[Row, list[Sample]]) -> list[str]:
    """The ratios that count, each with what it should be."""
    middle = {row: found for row, of in samples.items() if (found := median_of(of)) is not None}
    lines: list[str] = []

    def say(text: str, ratio: float, aim: str) -> None:
        lines.append(f"{text}: {ratio:.2f} (aim {aim})")

    for way in ("http", "grpc"):
        for clients in _CLIENTS:
            ours, theirs = (
                middle.get(Row("600 KB", clients, "ours", "zmq")),
                middle.get(Row("600 KB", clients, "theirs", way)),
            )
            if ours and theirs and clients == 1:
                say(f"600 KB, 1 client, p50, ours/theirs by {way}", ours.p50_ms / theirs.p50_ms, "0.5 or less")
            if ours and theirs and clients > 1:
                ratio = ours.requests_per_s / theirs.requests_per_s
                say(f"600 KB, {clients} clients, requests/s, ours/theirs by {way}", ratio, "2 or more")
    direct, http = (middle.get(Row("16 floats inline", 1, "ours", way)) for way in ("zmq", "http"))
    if direct and http:
        say("16 floats inline, 1 client, p50, ZeroMQ/HTTP, both ours", direct.p50_ms / http.p50_ms, "0.6 or less")
    sizes = [each.p50_ms for row, each in middle.items() if row.way == "zmq-in-place"]
    if sizes:
        say("in place, 64 bytes to 64 MiB, p50, slowest/fastest", max(sizes) / min(sizes), "1.2 or less")
    for way in ("http", "grpc"):
        for clients in _PERF_CLIENTS:
            ours, theirs = (middle.get(Row("perf_analyzer", clients, side, way)) for side in ("ours", "theirs"))
            if ours and theirs:
                ratio = ours.requests_per_s / theirs.requests_per_s
                say(f"perf_analyzer, {way}, {clients} client(s), requests/s, ours/theirs", ratio, "1.2 or more")
    return lines
