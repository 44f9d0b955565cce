"""Load by NVIDIA's perf_analyzer: the client whose figures Triton's users know. Slow, and itself the limit at speed."""

import csv
from pathlib import Path

from .load_tools import run_tool
from .models import Model
from .samples import Sample
from .servers import Endpoint

MAX_TRIALS = 10


def measure(
    program: Path,
    endpoint: Endpoint,
    model: Model,
    load: tuple[str, int],
    seconds: int,
    report: Path,
    *,
    shared_bytes: int = 0,
) -> Sample:
    """Load the server and return what perf_analyzer saw; ``load`` is the protocol and the number of clients.

    It repeats windows of the given length until three of them agree, so it takes longer than the time given. With
    `shared_bytes` tensors lie in system shared memory, of so many bytes for an output.
    """
    protocol, clients = load
    report.unlink(missing_ok=True)
    address = endpoint.http_address if protocol == "http" else endpoint.grpc_address
    command = [str(program), "-m", model.name, "-i", protocol, "-u", address, "--async"]
    command += [f"--concurrency-range={clients}", f"--measurement-interval={seconds * 1000}"]
    command += ["--stability-percentage=25", f"--max-trials={MAX_TRIALS}", "-f", str(report)]
    if shared_bytes:
        command += ["--shared-memory=system", f"--output-shared-memory-size={shared_bytes}"]
    finished = run_tool(command, seconds * (MAX_TRIALS + 1))
    if finished.returncode or not report.exists():
        return Sample(error=f"perf_analyzer: {(finished.stdout + finished.stderr).strip()[-300:]}")
    return parse(report.read_text())


def parse(report: str) -> Sample:
    """Read the CSV report, which has one row for the one concurrency asked for; its latencies are in microseconds."""
    rows = list(csv.DictReader(report.splitlines()))
    if not rows:
        return Sample(error="perf_analyzer: its report is empty")
    row = rows[0]
    return Sample(float(row["Inferences/Second"]), float(row["p50 latency"]) / 1000, float(row["p99 latency"]) / 1000)
