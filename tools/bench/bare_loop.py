"""ONNX Runtime in a bare loop: what a model does without any server, in a process of its own.

Run as ``python -m tools.bench.bare_loop``, by `run_bare` only: it prints what it measured as one line of JSON.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from .errors import BenchError
from .venv import ROOT

_WARM_UP_RUNS: Final = 3
_PATIENCE_S: Final = 600


@dataclass(frozen=True)
class Bare:
    """What the loop did."""

    runs: int
    rows: int
    seconds: float
    #: The median run's length.
    p50_ms: float
    #: The shortest run's: what it takes where nothing disturbs it.
    fastest_ms: float

    @property
    def rows_per_s(self) -> float:
        """Rows (images, say) a second."""
        return self.rows / self.seconds

    @property
    def runs_per_s(self) -> float:
        """Runs a second."""
        return self.runs / self.seconds


def run_bare(
    model: Path,
    shape: Sequence[int],
    *,
    seconds: float = 0.0,
    batches: Mapping[int, int] | None = None,
    one_core: bool = False,
) -> Bare:
    """Run a model of one input and one thread: for so long one row at a time, or `batches`: size to number of runs.

    `shape` is a row's. With `one_core` the process is bound to one core. Raises `BenchError` where it fails, such as where
    there is no ONNX Runtime.
    """
    command = [sys.executable, "-m", "tools.bench.bare_loop", str(model), ",".join(map(str, shape))]
    command += [f"--seconds={seconds}", f"--batches={json.dumps(dict(batches or {}))}"]
    done = subprocess.run(
        [*command, *(["--one-core"] if one_core else [])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE_S,
    )
    if done.returncode:
        last_line = done.stderr.strip().rpartition("\n")[2]
        raise BenchError(f"the bare loop failed: {last_line}")
    return Bare(**json.loads(done.stdout))


def plan(batches: Mapping[int, int]) -> list[int]:
    """The batch sizes in the order in which they run: mixed, and the same in each run."""
    sizes = [size for size, count in sorted(batches.items()) for _ in range(count)]
    random.Random(0).shuffle(sizes)
    return sizes


def main() -> int:
    """Load the model, warm up, run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("shape")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--batches", type=json.loads)
    parser.add_argument("--one-core", action="store_true")
    given = parser.parse_args()
    if given.one_core:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    shape = [int(size) for size in given.shape.split(",")]
    sizes = plan({int(size): count for size, count in given.batches.items()})
    print(json.dumps(vars(loop(given.model, shape, sizes, given.seconds))))
    return 0


def loop(model: str, shape: Sequence[int], sizes: Sequence[int], seconds: float) -> Bare:
    """Run these batch sizes one after the other, or without any, single rows for so long."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    rng = np.random.default_rng(seed=0)
    inputs: dict[int, dict[str, Any]] = {
        size: {name: rng.random((size, *shape), dtype=np.float32)} for size in {1, *sizes}
    }
    for feed in inputs.values():
        for _ in range(_WARM_UP_RUNS):
            session.run(None, feed)
    lengths_ns: list[int] = []
    rows = 0
    began_ns = before_ns = time.perf_counter_ns()
    end_ns = began_ns + int(seconds * 1e9)
    coming = iter(sizes)
    while True:
        size = next(coming, 0) if sizes else int(before_ns < end_ns)
        if not size:
            break
        session.run(None, inputs[size])
        now_ns = time.perf_counter_ns()
        lengths_ns.append(now_ns - before_ns)
        before_ns = now_ns
        rows += size
    p50_ns, fastest_ns = statistics.median(lengths_ns), min(lengths_ns)
    return Bare(len(lengths_ns), rows, (before_ns - began_ns) / 1e9, p50_ns / 1e6, fastest_ns / 1e6)


if __name__ == "__main__":
    sys.exit(main())
