"""A mixed soak from the server's start to its stop, and what it has shown.

Every request must end in its right answer or in an error that the plan explains. At the end the server's counters and the
clients' own must balance, nobody may hold anything of the pool, no slot of a sequence may be taken, and no process,
descriptor or memory may be left over.
"""

import asyncio
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.harness.observing import deaths, wait_pool_empty
from tests.harness.server import HOST, Server
from tools.soak_mixed.asks import in_sequence
from tools.soak_mixed.balance import Balance, balance
from tools.soak_mixed.callers import HttpCaller
from tools.soak_mixed.clients import Budget, make_clients
from tools.soak_mixed.measures import Measures
from tools.soak_mixed.models import FLAGS, IDLE_S, REMEMBERING_SLOTS, SUMMING_SLOTS, write_models
from tools.soak_mixed.plan import Plan
from tools.soak_mixed.tally import Outcomes
from tools.soak_mixed.trouble import Trouble

_POOL_BYTES: Final = 256 << 20
_POOL_DEADLINE_S: Final = 20.0
_READY_S: Final = 60.0
_WARM_SHARE: Final = 0.1
_MOST_GROWTH_BYTES: Final = 48 << 20
_MOST_DESCRIPTORS: Final = 6
_TURN_S: Final = 0.1
_NEWS_S: Final = 10.0
_SLOT_TRIES: Final = 3
#: Ids of sequences that no client has.
_FIRST_OF_TURN: Final = 10**9
_MIB: Final = 1 << 20


@dataclass
class Report:
    """What a mixed soak has shown. No problems: it has passed."""

    plan: Plan
    outcomes: Outcomes = field(default_factory=Outcomes)
    took_s: float = 0.0
    balance: Balance = field(default_factory=Balance)
    kills: dict[str, int] = field(default_factory=dict)
    reloads: int = 0
    #: While nobody asked yet; early under load; when nobody asks any more.
    idle: Measures = field(default_factory=Measures)
    warm: Measures = field(default_factory=Measures)
    end: Measures = field(default_factory=Measures)
    problems: list[str] = field(default_factory=list)

    def text(self) -> str:
        """For people."""
        outcomes = self.outcomes
        lines = [
            f"requests   {outcomes.sent} in {self.took_s:.1f} s, {outcomes.sent / max(self.took_s, 1e-9):.0f}/s; "
            f"longest {outcomes.longest_s * 1000:.0f} ms",
            f"sequences  {outcomes.sequences_whole} whole, {outcomes.sequences_broken} broken off",
            f"kills      {', '.join(f'{count} x {name}' for name, count in self.kills.items()) or 'none'}",
            f"reloads    {self.reloads}",
            f"memory     {self.warm.memory_bytes / _MIB:.1f} MiB when warm, "
            f"{self.end.memory_bytes / _MIB:.1f} MiB at the end",
            f"{'':12} {'sent':>8} {'right':>8} {'errors':>7} {'given up':>8} {'lost':>5}   success    fail  by reason",
        ]
        for model, counted in self.balance.counted.items():
            tally = outcomes.by_model[model]
            reasons = ", ".join(f"{count} {name}" for name, count in counted.reasons.items() if count)
            lines.append(
                f"{model:12} {tally.sent:8} {tally.right:8} {tally.errors.total():7} {tally.given_up:8} {tally.lost:5} "
                f"{counted.success:9} {counted.fail:7}  {reasons}"
            )
            lines += [f"{'':12} {count:8} x {text}" for text, count in tally.errors.most_common(6)]
        lines += [f"PROBLEM    {problem}" for problem in self.problems]
        return "\n".join([*lines, "FAILED" if self.problems else "PASSED"])


def soak(plan: Plan, folder: Path, *, show_progress: bool = False) -> Report:
    """Run a mixed soak with a server whose repository and log lie in a folder."""
    flags = [*FLAGS, f"--frontends={plan.frontends}", f"--pool-byte-size={_POOL_BYTES}"]
    if plan.reloads_every_s:
        flags += ["--model-control-mode=explicit", "--load-model=*"]
    server = Server(write_models(folder / "models"), *flags, "--metrics-port=0", "--log-verbose=1", log=folder / "log")
    report = Report(plan)
    try:
        server.start().wait_ready(_READY_S)
        wait_pool_empty(server, _POOL_DEADLINE_S)
        report.idle = Measures.of(server)
        trouble = Trouble(plan, server)
        asyncio.run(_load(plan, server, report, trouble, show_progress=show_progress))
        _after(server, report, trouble)
        code = server.stop()
        if code:
            report.problems.append(f"the server's exit code is {code}")
        return report
    finally:
        try:
            server.close()
        except AssertionError as error:
            # The rest of the report is worth reading, too.
            report.problems.append(str(error).split("\n", 1)[0])


async def _load(plan: Plan, server: Server, report: Report, trouble: Trouble, *, show_progress: bool) -> None:
    """All clients until the last request has come to its end; trouble begins when the server is warm."""
    address = (HOST, server.http_port, server.grpc_port)
    budget = Budget(plan.requests)
    clients = make_clients(address, plan.clients, report.outcomes, budget, plan.cancelled, plan.seed)
    began_s = next_news_s = time.monotonic()
    makes_trouble: asyncio.Task[None] | None = None
    running = [asyncio.create_task(client.run()) for client in clients]
    try:
        while not all(task.done() for task in running):
            await asyncio.wait(running, timeout=_TURN_S)
            if makes_trouble is None and report.outcomes.done >= plan.requests * _WARM_SHARE:
                report.warm = await asyncio.to_thread(Measures.of, server)
                makes_trouble = asyncio.create_task(trouble.run())
            if show_progress and time.monotonic() >= next_news_s:
                next_news_s += _NEWS_S
                print(f"{report.outcomes.done} of {plan.requests} requests", file=sys.stderr, flush=True)
        for task in running:
            task.result()
    finally:
        report.took_s = time.monotonic() - began_s
        if makes_trouble is not None:
            makes_trouble.cancel()
            await asyncio.wait([makes_trouble])
        for client in clients:
            await client.close()


def _after(server: Server, report: Report, trouble: Trouble) -> None:
    """Look at what is left, and judge."""
    outcomes, problems = report.outcomes, report.problems
    try:
        server.wait_ready(_READY_S)
        wait_pool_empty(server, _POOL_DEADLINE_S)
        report.balance = balance(server, outcomes)
        if not report.plan.reloads_every_s:
            # Statistics begin anew with each load.
            problems += report.balance.problems
        problems += asyncio.run(_slots(server))
        wait_pool_empty(server, _POOL_DEADLINE_S)
    except AssertionError as error:
        problems.append(str(error).split("\n", 1)[0])
    problems += [text for pid, text in deaths(server).items() if pid not in trouble.killed]
    problems += trouble.problems
    report.end = Measures.of(server)
    report.kills, report.reloads = dict(trouble.kills), trouble.reloads
    # Under load frontends have their clients' connections, and the others first open those to each other.
    frontends = {each.pid for each in server.frontends()}
    problems += report.idle.leaked(report.end, _MOST_DESCRIPTORS, frontends)
    problems += report.warm.leaked(report.end, _MOST_DESCRIPTORS, report.warm.descriptors.keys() - frontends)
    _judge(report)


def _judge(report: Report) -> None:
    outcomes, problems = report.outcomes, report.problems
    if not outcomes.done == outcomes.sent == report.plan.requests:
        problems.append(f"{outcomes.sent} requests sent, {outcomes.done} accounted for")
    for model, tally in outcomes.by_model.items():
        problems += [f"{model}: a wrong answer: {text}" for text in tally.wrong[:3]]
        problems += [f"{model}: {count} x {text}" for text, count in tally.unexplained().items()]
        if tally.lost and not report.kills.get("frontend"):
            problems.append(f"{model}: {tally.lost} connections lost though no frontend was killed")
        if not report.kills and any(" died" in text for text in tally.errors):
            problems.append(f"{model}: instances died though nobody was killed")
    growth_bytes = report.end.memory_bytes - report.warm.memory_bytes
    if growth_bytes > _MOST_GROWTH_BYTES:
        problems.append(f"memory has grown by {growth_bytes / _MIB:.1f} MiB")


async def _slots(server: Server) -> list[str]:
    """Sequences that would fill every slot begin at once: each has to get one before any of them can have idled."""
    problems = []
    for model, slots in (("summing", SUMMING_SLOTS), ("remembering", REMEMBERING_SLOTS)):
        for turn in range(1, _SLOT_TRIES + 1):
            problem = await _fill(server, model, slots, turn)
            if not problem:
                break
            await asyncio.sleep(IDLE_S)
            if turn == _SLOT_TRIES:
                problems.append(f"{model}: {problem}")
    return problems


async def _fill(server: Server, model: str, slots: int, turn: int) -> str:
    """Begin and end so many sequences; what was wrong with that."""
    sequences = range(_FIRST_OF_TURN * turn, _FIRST_OF_TURN * turn + slots)
    callers = [HttpCaller(HOST, server.http_port) for _ in sequences]
    starts = [in_sequence(model, each, 1, 1, start=True, end=False) for each in sequences]
    ends = [in_sequence(model, each, 1, 2, start=False, end=True) for each in sequences]
    began_s = time.monotonic()
    told = await asyncio.gather(*(each.call(ask, "") for each, ask in zip(callers, starts, strict=True)))
    took_s = time.monotonic() - began_s
    await asyncio.gather(*(each.call(ask, "") for each, ask in zip(callers, ends, strict=True)))
    for each in callers:
        await each.close()
    wrong = [each.error for each, ask in zip(told, starts, strict=True) if each.outputs != ask.expected]
    if not wrong and took_s < IDLE_S / 2:
        return ""
    return f"its {slots} slots took {took_s:.1f} s to be filled; errors: {wrong}"
