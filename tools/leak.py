"""A leak test of Python models: very many requests, every tenth of which raises, with streams given up among them.

    python -m tools.leak --requests=200000

Starts the real server with a model that answers in every way there is (arrays of its own, arrays in shared memory, by
sender, by exception) and an async decoupled one whose clients go away in the midst. Every answer is checked. At the end
nobody may hold anything of the pool, and memory and descriptors of the server's processes may not have grown since the
first tenth.
"""

import argparse
import http.client
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.harness.observing import deaths, wait_pool_empty
from tests.harness.processes import pss_bytes
from tests.harness.python_models import PythonModel
from tests.harness.server import HOST, Server

_IN_FLIGHT: Final = 8
_RAISES_EVERY: Final = 10
_STREAM_EVERY: Final = 200
_WARM_SHARE: Final = 0.1
_MOST_GROWTH_BYTES: Final = 24 << 20
_MOST_NEW_DESCRIPTORS: Final = 8
_DEADLINE_S: Final = 60.0
_MIB: Final = 1 << 20

_IO: Final = (
    'input [ { name: "IN" data_type: TYPE_FP32 dims: [ -1 ] } ]\n'
    'output [ { name: "OUT" data_type: TYPE_FP32 dims: [ -1 ] } ]\n'
)
_ANSWERS: Final = PythonModel(
    """\
import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def initialize(self, args):
        self.family = pb.MetricFamily("leak_seen", "Requests seen", pb.MetricFamily.COUNTER)
        self.seen = self.family.Metric()

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        self.seen.increment(1)
        given = pb.get_input_tensor_by_name(request, "IN").as_numpy()
        number = int(given[0])
        if number % 10 == 0:
            raise ValueError(f"the {number}th")
        if number % 3 == 0:
            out = pb.tis.empty_output(request, "OUT", given.shape, np.float32)
            out.as_numpy()[:] = given
            if number % 2:
                pb.tis.empty_output(request, "OUT", (1000,), np.float32)
        else:
            out = pb.Tensor("OUT", given)
        response = pb.InferenceResponse([out])
        if number % 7 == 0:
            request.get_response_sender().send(response, pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
            return None
        return response
""",
    _IO,
)
_STREAMS: Final = PythonModel(
    """\
import asyncio
import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    async def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            given = pb.get_input_tensor_by_name(request, "IN").as_numpy().copy()
            for number in range(50):
                if sender.is_cancelled():
                    break
                sender.send(pb.InferenceResponse([pb.Tensor("OUT", given + number)]))
                await asyncio.sleep(0.005)
            if int(given[0]) % 2:
                raise ValueError("at its end")
            sender.send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
""",
    _IO + "model_transaction_policy { decoupled: true }\n",
)


@dataclass
class Report:
    """What came of it. No problems: it has passed."""

    requests: int = 0
    raised: int = 0
    streams: int = 0
    took_s: float = 0.0
    warm: tuple[int, int] = (0, 0)
    end: tuple[int, int] = (0, 0)
    problems: list[str] = field(default_factory=list)

    def text(self) -> str:
        """For people."""
        lines = [
            f"requests     {self.requests} in {self.took_s:.1f} s, {self.raised} of them raised",
            f"streams      {self.streams}, each given up by its client",
            f"memory       {self.warm[0] / _MIB:.1f} MiB when warm, {self.end[0] / _MIB:.1f} MiB at the end",
            f"descriptors  {self.warm[1]} when warm, {self.end[1]} at the end",
            *(f"PROBLEM      {problem}" for problem in self.problems),
            "FAILED" if self.problems else "PASSED",
        ]
        return "\n".join(lines)


def leak(requests: int, folder: Path, *, show_progress: bool = False) -> Report:
    """Run the test with a server whose repository and log lie in a folder."""
    _ANSWERS.write(folder / "models", "answers")
    _STREAMS.write(folder / "models", "streams")
    server = Server(folder / "models", "--log-verbose=1", log=folder / "log")
    try:
        server.start().wait_ready()
        report = _run(requests, server, show_progress=show_progress)
        if server.stop():
            report.problems.append("the server's exit code is not 0")
        return report
    finally:
        server.close()


def _run(requests: int, server: Server, *, show_progress: bool) -> Report:
    report = Report()
    connections = [http.client.HTTPConnection(HOST, server.http_port, timeout=_DEADLINE_S) for _ in range(_IN_FLIGHT)]
    began_s = time.monotonic()
    while report.requests < requests and len(report.problems) < 5:
        _burst(connections, report)
        if report.requests % _STREAM_EVERY < _IN_FLIGHT:
            _stream(server, report)
        if not report.warm[0] and report.requests >= requests * _WARM_SHARE:
            report.warm = _measure(server)
        if show_progress and report.requests % 20_000 < _IN_FLIGHT:
            print(f"{report.requests} of {requests} requests", file=sys.stderr, flush=True)
    report.took_s = time.monotonic() - began_s
    for connection in connections:
        connection.close()
    try:
        wait_pool_empty(server, _DEADLINE_S)
    except AssertionError as error:
        report.problems.append(str(error).split("\n", 1)[0])
    report.problems += deaths(server).values()
    report.end = _measure(server)
    if report.end[0] - report.warm[0] > _MOST_GROWTH_BYTES:
        report.problems.append(f"memory has grown by {(report.end[0] - report.warm[0]) / _MIB:.1f} MiB")
    if report.end[1] - report.warm[1] > _MOST_NEW_DESCRIPTORS:
        report.problems.append(f"there are {report.end[1] - report.warm[1]} descriptors more")
    return report


def _burst(connections: Sequence[http.client.HTTPConnection], report: Report) -> None:
    """One request on each connection, then their answers."""
    first = report.requests
    for number, connection in enumerate(connections, first):
        given = {"name": "IN", "datatype": "FP32", "shape": [2], "data": [number, 0.5]}
        connection.request("POST", "/v2/models/answers/infer", json.dumps({"inputs": [given]}))
    for number, connection in enumerate(connections, first):
        answer = connection.getresponse()
        told = json.loads(answer.read())
        if number % _RAISES_EVERY == 0:
            report.raised += 1
            right = answer.status == 500 and f"ValueError: the {number}th" in told["error"]
        else:
            right = answer.status == 200 and told["outputs"][0]["data"] == [number, 0.5]
        if not right:
            report.problems.append(f"request {number} was answered {answer.status}: {str(told)[:200]}")
    report.requests += len(connections)


def _stream(server: Server, report: Report) -> None:
    """A stream whose client goes away after the first response."""
    connection = http.client.HTTPConnection(HOST, server.http_port, timeout=_DEADLINE_S)
    connection.request("POST", "/v2/models/streams/generate_stream", json.dumps({"IN": [report.streams]}))
    line = connection.getresponse().readline()
    if not line.startswith(b"data: "):
        report.problems.append(f"a stream began with {line!r}")
    connection.close()
    report.streams += 1


def _measure(server: Server) -> tuple[int, int]:
    """Memory of all processes of the server, in bytes, and their descriptors."""
    pids = server.processes()
    return pss_bytes(pids), sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the test as the command line says; exit code 1 where it shows a problem."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--folder", type=Path, help="where to keep models and log; a temporary one unless given")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="tis-leak-") as temporary:
        report = leak(given.requests, given.folder or Path(temporary), show_progress=True)
    print(report.text())
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
