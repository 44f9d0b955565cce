"""What serving costs beyond the framework's own call: a table over every backend whose framework is installed here.

    python -m tools.bench.backend_overhead [NAME...] [--calls=N]

The models are the small ones of the contract (`tests/frameworks/subjects`), so that the framework's share is as small as it
gets. One client, one request at a time, over HTTP on one kept connection. `bare` is the framework's call in a process of its
own, `executed` what the worker takes for a request (from the statistics: input, inference and output), `answered` what the
client waits. The first row is the backend `identity`, which calls no framework: the floor for `answered`.
"""

import argparse
import contextlib
import http.client
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import tritonclient.http as httpclient
from tritonclient.utils import np_to_triton_dtype

from tests.frameworks.prepare import prepared
from tests.frameworks.subjects import NAMES, subject
from tests.harness.native_models import write_identity
from tests.harness.repository import one_cpu
from tests.harness.server import HOST, Server, serving
from tools.bench.bare_calls import LOADERS, ROWS, median_us
from tools.bench.table import layout
from tools.bench.venv import ROOT

_HEADINGS: Final = ("backend", "rows", "bare us", "executed us", "answered us", "worker adds", "server adds")
_MODEL: Final = "model"
_HEADER_LENGTH: Final = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Measured:
    """Medians and means, in microseconds, for one backend and number of rows."""

    name: str
    rows: int
    #: 0 where there is no framework.
    bare_us: float
    executed_us: float
    answered_us: float

    def cells(self) -> list[str]:
        """A row of the table."""
        adds = self.executed_us - self.bare_us, self.answered_us - self.bare_us
        return [
            self.name,
            str(self.rows),
            *(f"{us:,.0f}" for us in (self.bare_us, self.executed_us, self.answered_us, *adds)),
        ]


class Client:
    """One connection that asks for the same again and again."""

    def __init__(self, server: Server, inputs: Mapping[str, Any]) -> None:
        tensors = []
        for name, array in inputs.items():
            tensor = httpclient.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
            tensor.set_data_from_numpy(array)
            tensors.append(tensor)
        self._body, length = httpclient.InferenceServerClient.generate_request_body(tensors)
        self._headers = {"Content-Type": "application/octet-stream", _HEADER_LENGTH: str(length)}
        self._connection = http.client.HTTPConnection(HOST, server.http_port)

    def ask(self) -> bytes:
        """Send the request and read the answer."""
        self._connection.request("POST", f"/v2/models/{_MODEL}/infer", self._body, self._headers)
        response = self._connection.getresponse()
        answer = response.read()
        if response.status != http.client.OK:
            raise RuntimeError(f"status {response.status}: {answer[:300]!r}")
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def main() -> int:
    """Measure what is asked for, or everything that can be measured here."""
    parser = argparse.ArgumentParser(description="Overhead of serving over the framework's own call, per backend.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(NAMES)}; all by default")
    parser.add_argument("--calls", type=int, default=1000, help="requests and bare calls of each measurement")
    arguments = parser.parse_args()
    rows = [list(_HEADINGS)]
    rows += [measured.cells() for measured in _identity(arguments.calls)]
    for name in arguments.names or NAMES:
        reason = "there is no bare call for it" if name not in LOADERS else subject(name).lacks
        if reason:
            print(f"{name}: left out: {reason}", file=sys.stderr)
            continue
        rows += [measured.cells() for measured in _of(name, arguments.calls)]
    print(layout(rows))
    return 0


def _identity(calls: int) -> list[Measured]:
    with tempfile.TemporaryDirectory() as folder:
        write_identity(Path(folder) / "models", _MODEL, dims="6", max_batch_size=max(ROWS))
        inputs = {"INPUT0": np.ones((max(ROWS), 6), np.float32)}
        return list(_served("identity", Path(folder), inputs, dict.fromkeys(map(str, ROWS), 0.0), calls))


def _of(name: str, calls: int) -> list[Measured]:
    chosen = subject(name)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "made").mkdir()
        made = prepared(name, folder / "made")
        target = folder / "models" / _MODEL / "1"
        target.parent.mkdir(parents=True)
        made.models[0].parent.rename(target)
        model = target / made.models[0].name
        chosen.write_config(folder / "models", _MODEL, max_batch_size=max(ROWS), extra=one_cpu())
        program = [sys.executable, "-m", "tools.bench.bare_calls", name, str(model), str(folder / "made" / "inputs")]
        done = subprocess.run([*program, str(calls)], capture_output=True, text=True, cwd=ROOT, check=False)
        if done.returncode:
            raise RuntimeError(f"{name}: {done.stderr}")
        bare = json.loads(done.stdout.splitlines()[-1])
        return list(_served(name, folder, made.inputs, bare, calls))


def _served(
    name: str, folder: Path, inputs: Mapping[str, Any], bare: Mapping[str, float], calls: int
) -> Iterable[Measured]:
    # The server's log, which is printed when it has ended, is not what this is about.
    with contextlib.redirect_stdout(io.StringIO()), serving(Server(folder / "models", log=folder / "log")) as server:
        server.wait_ready()
        for rows in ROWS:
            client = Client(server, {key: array[:rows] for key, array in inputs.items()})
            try:
                before = _executed(server)
                answered_us = median_us(client.ask, calls)
                after = _executed(server)
            finally:
                client.close()
            executed_us = (after[1] - before[1]) / 1e3 / (after[0] - before[0])
            yield Measured(name, rows, bare[str(rows)], executed_us, answered_us)


def _executed(server: Server) -> tuple[int, int]:
    """Requests that the model has executed, and for how many nanoseconds."""
    (stats,) = json.loads(server.get(f"/v2/models/{_MODEL}/stats")[1])["model_stats"]
    told = stats["inference_stats"]
    spent_ns = sum(told[part]["ns"] for part in ("compute_input", "compute_infer", "compute_output"))
    return told["success"]["count"], spent_ns


if __name__ == "__main__":
    sys.exit(main())
