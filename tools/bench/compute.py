"""A model that computes: what is left of a bare loop of ONNX Runtime when the same batches come through this server."""

import argparse
import http.client
import json
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from . import load_wrk, machine
from .bare_loop import Bare, run_bare
from .compute_model import CLASSES, NAME, SHAPE, calibrated
from .errors import BenchError, RunError
from .load_tools import require
from .options import positive, split
from .payloads import HttpPayload
from .samples import Sample
from .servers import Endpoint, end_on_sigterm, serving
from .table import layout

AIM: Final = 0.97
CLIENTS: Final = 8
#: Half of the clients: while one batch runs, the requests of the next one come. With 8 all would wait for one batch, and the
#: instance for all of them.
PREFERRED: Final = (4,)
MAX_BATCH_SIZE: Final = 8
THREADS: Final = 1
CONFIG: Final = """\
name: "{name}"
backend: "onnxruntime"
max_batch_size: {max_batch_size}
input [ {{ name: "INPUT0" data_type: TYPE_FP32 dims: [ {dims} ] }} ]
output [ {{ name: "OUTPUT0" data_type: TYPE_FP32 dims: [ {classes} ] }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
dynamic_batching {{ preferred_batch_size: [ {preferred} ] }}
parameters {{ key: "intra_op_thread_count" value: {{ string_value: "{threads}" }} }}
"""
DESCRIPTION = f"""\
Serves a network of convolutions of some 4 ms an image with dynamic batching, one instance, {THREADS} thread and {CLIENTS}
clients, and then runs it in a bare loop of ONNX Runtime in a process of its own: the same thread count and batches of the
very sizes that the server ran, as often. Prints images per second of both and their ratio: rounds in turn, medians.
"""


@dataclass(frozen=True)
class Round:
    """The server under load, and after it the bare loop with its batches."""

    sample: Sample
    #: Size to number of executions.
    batches: dict[int, int]
    #: How long the server's instance was inside the model, by its statistics.
    computed_s: float
    seconds: float
    bare: Bare

    @property
    def ratio(self) -> float:
        """Images a second: ours divided by the bare loop's."""
        return self.sample.requests_per_s / self.bare.rows_per_s

    @property
    def busy(self) -> float:
        """The part of the time that the instance was inside the model."""
        return self.computed_s / self.seconds

    def as_json(self) -> dict[str, Any]:
        """Every figure as plain data."""
        return {
            "sample": self.sample.as_json(),
            "batches": self.batches,
            "busy": self.busy,
            "bare": {**vars(self.bare), "images_per_s": self.bare.rows_per_s},
            "ratio": self.ratio,
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the measurement; the exit status is 0 if it could be made, whether or not the aim is met."""
    end_on_sigterm()
    given = parser().parse_args(arguments)
    command = [*shlex.split(given.tis_command), *shlex.split(given.tis_args)]
    try:
        require("wrk")
        where = machine.description()
        print("\n".join(f"{key}: {value}" for key, value in where.items()), flush=True)
        preferred = tuple(int(size) for size in split(given.preferred))
        rounds = measure(command, config(preferred), given.rounds, given.seconds)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(rounds))
    if given.json:
        document = {"machine": where, "rounds": [each.as_json() for each in rounds], "ratio": ratio(rounds)}
        given.json.write_text(json.dumps(document, indent=2) + "\n")
    return 0


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    result = argparse.ArgumentParser("tools/bench/compute", description=DESCRIPTION)
    result.add_argument("--rounds", type=positive, default=5, help="of the server and the bare loop (default 5)")
    sizes = ",".join(map(str, PREFERRED))
    result.add_argument("--preferred", default=sizes, metavar="N,...", help=f"preferred batch sizes (default {sizes})")
    result.add_argument("--seconds", type=positive, default=5, help="length of each measurement (default 5)")
    result.add_argument("--tis-command", default=shlex.join([sys.executable, "-m", "tis", "serve"]))
    result.add_argument("--tis-args", default="", metavar="'ARG ...'", help="further arguments for that command")
    result.add_argument("--json", type=Path, metavar="FILE", help="also write every figure to a file")
    return result


def config(preferred: Sequence[int]) -> str:
    """The model's ``config.pbtxt``."""
    return CONFIG.format(
        name=NAME,
        max_batch_size=max(MAX_BATCH_SIZE, *preferred),
        dims=", ".join(map(str, SHAPE)),
        classes=CLASSES,
        preferred=", ".join(map(str, preferred)),
        threads=THREADS,
    )


def measure(command: Sequence[str], config_text: str, rounds: int, seconds: int) -> list[Round]:
    """Make the network, serve it once, and measure in turn."""
    with tempfile.TemporaryDirectory(prefix="tis-bench-") as name:
        folder = Path(name)
        network = folder / "network.onnx"
        width, found = calibrated(network)
        print(
            f"model: {width} channels, {found.fastest_ms:.2f} ms an image (median {found.p50_ms:.2f}), {THREADS} thread\n",
            flush=True,
        )
        version = folder / "models" / NAME / "1"
        version.mkdir(parents=True)
        (version.parent / "config.pbtxt").write_text(config_text)
        shutil.copy(network, version / "model.onnx")
        with serving(command, folder / "models", folder / "server.log") as running:
            measure_server(running.endpoint, 1, folder)  # for nothing but the warmth
            return [one_round(running.endpoint, network, seconds, folder) for _ in range(rounds)]


def one_round(endpoint: Endpoint, network: Path, seconds: int, folder: Path) -> Round:
    """The server, then the bare loop with its batches."""
    before, computed_before_s = executions(endpoint)
    sample = measure_server(endpoint, seconds, folder)
    after, computed_after_s = executions(endpoint)
    batches = {size: count - before.get(size, 0) for size, count in after.items() if count > before.get(size, 0)}
    bare = run_bare(network, SHAPE, batches=batches)
    images = sum(size * count for size, count in batches.items())
    # What the load generator measured of, where its own clock runs a little longer than it was told to.
    took_s = images / sample.requests_per_s
    done = Round(sample, batches, computed_after_s - computed_before_s, took_s, bare)
    print(
        f"{sample}; bare loop {bare.rows_per_s:,.1f}/s; {done.ratio:.3f}; batches {batches}",
        file=sys.stderr,
        flush=True,
    )
    return done


def measure_server(endpoint: Endpoint, seconds: int, folder: Path) -> Sample:
    """Load the server; raises if it does not answer as it should."""
    sample = load_wrk.measure(endpoint, payload(), CLIENTS, seconds, folder)
    if sample.error:
        raise RunError(sample.error)
    return sample


def payload() -> HttpPayload:
    """One image, in binary."""
    image = np.random.default_rng(seed=0).random(SHAPE, dtype=np.float32).tobytes()
    entry = {
        "name": "INPUT0",
        "shape": [1, *SHAPE],
        "datatype": "FP32",
        "parameters": {"binary_data_size": len(image)},
    }
    header = json.dumps({"inputs": [entry], "parameters": {"binary_data_output": True}}).encode()
    return HttpPayload(f"/v2/models/{NAME}/infer", header + image, len(header), image, CLASSES * 4)


def executions(endpoint: Endpoint) -> tuple[dict[int, int], float]:
    """How often batches of each size have run so far, and how many seconds they took inside the model together."""
    connection = http.client.HTTPConnection(endpoint.host, endpoint.http_port, timeout=30)
    try:
        connection.request("GET", f"/v2/models/{NAME}/stats")
        return read_batches(json.loads(connection.getresponse().read()))
    except (OSError, http.client.HTTPException) as error:
        raise RunError(f"no statistics: {error!r}") from error
    finally:
        connection.close()


def read_batches(statistics: Mapping[str, Any]) -> tuple[dict[int, int], float]:
    """The same from the statistics' document."""
    entries = statistics["model_stats"][0].get("batch_stats", [])
    counts = {int(each["batch_size"]): int(each["compute_infer"]["count"]) for each in entries}
    return counts, sum(int(each["compute_infer"]["ns"]) for each in entries) / 1e9


def ratio(rounds: Sequence[Round]) -> float:
    """The median of the rounds' ratios: each round's halves ran one right after the other."""
    return median(each.ratio for each in rounds)


def table(rounds: Sequence[Round]) -> str:
    """Medians of both, and the aim."""
    rows = [["", "images/s", "p50 ms of", "", "images a run", "inside the model"]]
    samples, bares = [each.sample for each in rounds], [each.bare for each in rounds]
    images_a_run = f"{median(each.rows / each.runs for each in bares):.2f}"
    rows.append(
        [
            "this server",
            f"{median(each.requests_per_s for each in samples):.1f}",
            "a request",
            f"{median(each.p50_ms for each in samples):.2f}",
            images_a_run,
            f"{median(each.busy for each in rounds):.1%}",
        ]
    )
    rows.append(
        [
            "bare loop",
            f"{median(each.rows_per_s for each in bares):.1f}",
            "a run",
            f"{median(each.p50_ms for each in bares):.2f}",
            images_a_run,
            "",
        ]
    )
    found = ratio(rounds)
    spread = f"{min(each.ratio for each in rounds):.3f} to {max(each.ratio for each in rounds):.3f}"
    met = "yes" if found >= AIM else "no"
    return f"{layout(rows)}\nours/bare: {found:.3f} (rounds from {spread}); aim: at least {AIM:g}: {met}"
