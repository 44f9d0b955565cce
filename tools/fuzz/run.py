"""A server from its start to its stop, with the fuzzer in between, and what that has shown."""

import json
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.conformance.repository import write_repository
from tests.harness.observing import deaths, wait_pool_empty
from tests.harness.processes import pss_bytes
from tests.harness.raw_http import Connection, post
from tests.harness.server import HOST, Server
from tests.harness.shared_memory import SharedObject
from tools.fuzz.grpc_client import fuzz_grpc
from tools.fuzz.http_client import HttpFuzzer
from tools.fuzz.seeds import MODELS, REGION, REGION_BYTES
from tools.fuzz.seen import Seen

_GRPC_SHARE: Final = 0.2
_WARM_SHARE: Final = 0.2
_MOST_GROWTH_BYTES: Final = 32 << 20
_MIB: Final = 1 << 20
_SHM_ROUTE: Final = f"/v2/systemsharedmemory/region/{REGION}"


@dataclass
class Report:
    """What has been sent and what has come of it. No problems: the server has passed."""

    requests: int
    seen: Seen = field(default_factory=Seen)
    took_s: float = 0.0
    warm_bytes: int = 0
    end_bytes: int = 0
    problems: list[str] = field(default_factory=list)

    def text(self) -> str:
        """For people."""
        seen = self.seen
        lines = [
            f"broken     {seen.broken} in {self.took_s:.1f} s, {seen.broken / self.took_s:.0f}/s",
            f"good       {seen.good}",
            *(f"           {count} x {name}" for name, count in sorted(seen.outcomes.items())),
            f"memory     {self.warm_bytes / _MIB:.1f} MiB when warm, {self.end_bytes / _MIB:.1f} MiB at the end",
            *(f"PROBLEM    {problem}" for problem in self.problems),
            "FAILED" if self.problems else "PASSED",
        ]
        return "\n".join(lines)


def fuzz(requests: int, seed: int, folder: Path, *, show_progress: bool = False) -> Report:
    """Fuzz a server whose repository and log lie in a folder."""
    repository = write_repository(folder / "models", MODELS, reference=False)
    server = Server(repository, "--log-verbose=1", log=folder / "log")
    region = SharedObject(bytes(REGION_BYTES))
    report = Report(requests)
    try:
        server.start().wait_ready()
        _tell(server, f"{_SHM_ROUTE}/register", {"key": region.key, "offset": 0, "byte_size": REGION_BYTES})
        _fuzz(report, seed, server, show_progress=show_progress)
        _tell(server, f"{_SHM_ROUTE}/unregister", {})
        code = server.stop()
        if code:
            report.problems.append(f"the server's exit code is {code}")
    finally:
        region.unlink()
        try:
            server.close()
        except AssertionError as error:
            report.problems.append(str(error))
    return report


def _fuzz(report: Report, seed: int, server: Server, *, show_progress: bool) -> None:
    processes = sorted(server.processes())
    over_grpc = int(report.requests * _GRPC_SHARE)
    over_http = report.requests - over_grpc
    http = HttpFuzzer((HOST, server.http_port), seed)
    began_s = next_news_s = time.monotonic()

    def turn() -> None:
        nonlocal next_news_s
        if not report.warm_bytes and http.seen.broken >= over_http * _WARM_SHARE:
            report.warm_bytes = pss_bytes(server.processes())
        if show_progress and time.monotonic() >= next_news_s:
            next_news_s = time.monotonic() + 10
            print(f"{http.seen.broken} of {over_http} over HTTP", file=sys.stderr, flush=True)

    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        grpc = pool.submit(fuzz_grpc, server.grpc_address, seed + 1, over_grpc)
        report.seen.add(http.run(over_http, turn))
        report.seen.add(grpc.result())
    # The same as a moment ago, with everybody else gone.
    after = HttpFuzzer((HOST, server.http_port), seed + 2).run(100)
    report.seen.add(after)
    report.took_s = time.monotonic() - began_s
    report.problems += report.seen.problems
    if not after.good:
        report.problems.append("no good request at the end")
    try:
        wait_pool_empty(server)
    except AssertionError as error:
        report.problems.append(str(error).split("\n", 1)[0])
    report.problems += deaths(server).values()
    if sorted(server.processes()) != processes:
        report.problems.append(f"other processes than at the start: {processes}, {sorted(server.processes())}")
    report.end_bytes = pss_bytes(server.processes())
    if report.end_bytes - report.warm_bytes > _MOST_GROWTH_BYTES:
        report.problems.append(f"memory has grown by {(report.end_bytes - report.warm_bytes) / _MIB:.1f} MiB")


def _tell(server: Server, path: str, document: dict[str, object]) -> None:
    body = json.dumps(document).encode()
    with Connection(server) as connection:
        answer = connection.call(post(path, {"Content-Length": str(len(body))}, body))
    if answer.status != 200:
        raise AssertionError(f"{path}: {answer}")
