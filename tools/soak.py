"""A soak test: very many small requests, workers killed at random, every answer accounted for, nothing left behind.

    python -m tools.soak --requests=2000000 --frontends=2 --instances=2 --clients=16 --kills-every-s=20

Starts the real server, sends requests with unique values over persistent HTTP connections and kills processes of the
server (SIGKILL) at random moments. Every request must end in its own values or in an error; at the end nobody may hold
anything of the pool, and the server's memory may not have grown.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.harness.models import identity
from tests.harness.observing import deaths, wait_pool_empty
from tests.harness.processes import ServerProcess, pss_bytes
from tests.harness.server import HOST, Server
from tools.soak_client import Outcomes, SoakClient

_MODEL: Final = "echo"
_POOL_BYTES: Final = 256 << 20
_WARM_SHARE: Final = 0.1
_MOST_GROWTH_BYTES: Final = 32 << 20
_POOL_DEADLINE_S: Final = 15.0
_MIB: Final = 1 << 20


@dataclass(frozen=True)
class Plan:
    """What a soak does."""

    requests: int = 100_000
    frontends: int = 2
    instances: int = 2
    clients: int = 16
    #: Mean time between kills in seconds; 0 for none.
    kills_every_s: float = 20.0
    #: Whom to kill: any of `worker`, `frontend`, `scheduler`.
    victims: tuple[str, ...] = ("worker",)
    seed: int = 0


@dataclass
class Report:
    """What a soak has shown. No problems: it has passed."""

    plan: Plan
    outcomes: Outcomes
    took_s: float
    kills: dict[str, int]
    warm_bytes: int
    end_bytes: int
    problems: list[str] = field(default_factory=list)

    def text(self) -> str:
        """For people."""
        outcomes = self.outcomes
        rate = outcomes.done / self.took_s
        lines = [
            f"requests   {outcomes.sent} in {self.took_s:.1f} s, {rate:.0f}/s; longest {outcomes.longest_s * 1000:.0f} ms",
            f"right      {outcomes.right}",
            f"refused    {outcomes.refused.total()}",
            *(f"           {count} x {status} {text}" for (status, text), count in outcomes.refused.most_common(5)),
            f"lost       {outcomes.lost}",
            f"wrong      {len(outcomes.wrong)}",
            f"kills      {', '.join(f'{count} x {name}' for name, count in self.kills.items() if count) or 'none'}",
            f"memory     {self.warm_bytes / _MIB:.1f} MiB when warm, {self.end_bytes / _MIB:.1f} MiB at the end",
            *(f"PROBLEM    {problem}" for problem in self.problems),
            "FAILED" if self.problems else "PASSED",
        ]
        return "\n".join(lines)


class _Reaper:
    """Kills at random moments, and takes the measure of the server once it is warm."""

    def __init__(self, plan: Plan, server: Server, *, show_progress: bool) -> None:
        self._plan = plan
        self._server = server
        self._show_progress = show_progress
        self._random = random.Random(plan.seed)
        self._next_kill_s = float("inf")
        self._next_news_s = time.monotonic()
        self.kills = dict.fromkeys(plan.victims, 0)
        self.killed: set[int] = set()
        self.warm_bytes = 0

    def turn(self, outcomes: Outcomes) -> None:
        """Called some times a second."""
        now_s = time.monotonic()
        if not self.warm_bytes and outcomes.done >= self._plan.requests * _WARM_SHARE:
            # Everybody lives yet: killing begins when the measure has been taken.
            self.warm_bytes = pss_bytes(self._server.processes())
            self._next_kill_s = self._next()
        if now_s >= self._next_kill_s:
            self._next_kill_s = self._next()
            self._kill()
        if self._show_progress and now_s >= self._next_news_s:
            self._next_news_s = now_s + 10
            print(f"{outcomes.done} of {self._plan.requests} requests", file=sys.stderr, flush=True)

    def _next(self) -> float:
        every_s = self._plan.kills_every_s
        return time.monotonic() + self._random.uniform(0.5, 1.5) * every_s if every_s else float("inf")

    def _kill(self) -> None:
        kind = self._random.choice(self._plan.victims)
        candidates: list[ServerProcess]
        if kind == "worker":
            candidates = self._server.workers()
        elif kind == "frontend":
            candidates = self._server.frontends()
        else:
            candidates = [self._server.scheduler()]
        if candidates:
            victim = self._random.choice(candidates)
            victim.kill()
            self.killed.add(victim.pid)
            self.kills[kind] += 1


def soak(plan: Plan, folder: Path, *, show_progress: bool = False) -> Report:
    """Run a soak with a server whose repository and log lie in a folder."""
    instances = f"instance_group [ {{ kind: KIND_CPU count: {plan.instances} }} ]\n"
    repository = folder / "models"
    identity("INT64", ["b", 2]).write(repository, _MODEL, max_batch_size=8, extra=instances + "dynamic_batching { }\n")
    flags = (f"--frontends={plan.frontends}", f"--pool-byte-size={_POOL_BYTES}", "--log-verbose=1")
    server = Server(repository, *flags, log=folder / "log")
    try:
        server.start().wait_ready()
        report = _soak(plan, server, show_progress=show_progress)
        code = server.stop()
        if code:
            report.problems.append(f"the server's exit code is {code}")
        return report
    finally:
        server.close()


def _soak(plan: Plan, server: Server, *, show_progress: bool) -> Report:
    reaper = _Reaper(plan, server, show_progress=show_progress)
    client = SoakClient((HOST, server.http_port), _MODEL, plan.clients, plan.seed)
    began_s = time.monotonic()
    problems = []
    try:
        client.run(plan.requests, reaper.turn)
    except TimeoutError as error:
        problems.append(str(error))
    took_s = time.monotonic() - began_s
    try:
        server.wait_ready(30)
        wait_pool_empty(server, _POOL_DEADLINE_S)
    except AssertionError as error:
        problems.append(str(error).split("\n", 1)[0])
    problems += [text for pid, text in deaths(server).items() if pid not in reaper.killed]
    end_bytes = pss_bytes(server.processes())
    report = Report(plan, client.outcomes, took_s, reaper.kills, reaper.warm_bytes, end_bytes, problems)
    _judge(report)
    return report


def _judge(report: Report) -> None:
    outcomes, problems = report.outcomes, report.problems
    problems += [f"a wrong answer: {text}" for text in outcomes.wrong[:5]]
    if not outcomes.done == outcomes.sent == report.plan.requests:
        problems.append(f"{outcomes.sent} requests sent, {outcomes.done} accounted for")
    problems += [f"{count} x {status} {text}" for (status, text), count in outcomes.refused.items() if status != 503]
    if outcomes.lost and not report.kills.get("frontend"):
        problems.append(f"{outcomes.lost} connections lost though no frontend was killed")
    if not sum(report.kills.values()) and outcomes.refused:
        problems.append("requests refused though nobody was killed")
    if report.end_bytes - report.warm_bytes > _MOST_GROWTH_BYTES:
        problems.append(f"memory has grown by {(report.end_bytes - report.warm_bytes) / _MIB:.1f} MiB")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a soak as the command line says; exit code 1 where it shows a problem."""
    default = Plan()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=default.requests)
    parser.add_argument("--frontends", type=int, default=default.frontends)
    parser.add_argument("--instances", type=int, default=default.instances)
    parser.add_argument(
        "--clients", type=int, default=default.clients, help="connections, one request in flight on each"
    )
    parser.add_argument("--kills-every-s", type=float, default=default.kills_every_s, help="on average; 0 for none")
    parser.add_argument("--victims", default="worker", help="comma-separated: worker, frontend, scheduler")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)), help="of values and kills")
    parser.add_argument("--folder", type=Path, help="where to keep models and log; a temporary one unless given")
    given = parser.parse_args(argv)
    plan = Plan(
        requests=given.requests,
        frontends=given.frontends,
        instances=given.instances,
        clients=given.clients,
        kills_every_s=given.kills_every_s,
        victims=tuple(given.victims.split(",")),
        seed=given.seed,
    )
    print(f"seed       {plan.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="tis-soak-") as folder:
        report = soak(plan, given.folder or Path(folder), show_progress=True)
    print(report.text())
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
