"""A chaos run: everything goes wrong on purpose while requests flow, and every request is accounted for.

Workers, the scheduler and frontends are killed (SIGKILL), stopped until the server's own watch kills them (SIGSTOP), stopped
for a while (SIGCONT), and fall over by themselves; a model is loaded anew, from half a file and with a broken config; the
disk that holds the log is full; large requests fill the pool of shared memory; clients vanish in the middle of requests.
All by a plan that the seed decides, first with models that are loaded by calls, then with a repository that is followed.

Every request has to end in its own values, in an error that what happened just then explains, or lost with the frontend
that had it. At the end every process is in its place, the pool is empty, and there is no more memory, no more descriptors
and no more shared memory than before.
"""

import asyncio
import random
import re
import sys
import time
from pathlib import Path
from typing import Final

from tests.harness.observing import deaths, wait_pool_empty
from tests.harness.server import HOST
from tools.soak_chaos.asks import Generations
from tools.soak_chaos.clients import Crowd
from tools.soak_chaos.deaths import Deaths
from tools.soak_chaos.disk import Disk
from tools.soak_chaos.holdings import Holdings
from tools.soak_chaos.judge import judge
from tools.soak_chaos.ledger import Ledger
from tools.soak_chaos.models import ChangingFiles, write_models
from tools.soak_chaos.plan import EXPLICIT, SEGFAULT, Plan, shuffled
from tools.soak_chaos.report import Part, Report
from tools.soak_chaos.scene import DiskServer, Scene
from tools.soak_chaos.troubles import Troubles
from tools.soak_mixed.tally import How

_POOL_BYTES: Final = 64 << 20
_READY_S: Final = 90.0
_QUIET_S: Final = 30.0
_MOST_GROWTH_BYTES: Final = 48 << 20
_MOST_DESCRIPTORS: Final = 6
_NEWS_S: Final = 10.0
_LOST_LINES: Final = re.compile(r"(\d+) lines of the log were lost")
_FLAGS: Final = {
    EXPLICIT: ("--model-control-mode=explicit", "--load-model=*"),
    "poll": ("--model-control-mode=poll", "--repository-poll-secs=1"),
}


def chaos(plan: Plan, folder: Path, *, show_progress: bool = False) -> Report:
    """Run it, with servers whose repositories and logs lie in a folder."""
    report = Report(plan, Ledger())
    for number, (mode, seconds) in enumerate(plan.seconds):
        if seconds > 0:
            _part(report, mode, seconds, folder / mode, plan.seed + number, show_progress=show_progress)
    report.problems += judge(report.ledger)
    return report


def _part(report: Report, mode: str, seconds: float, folder: Path, seed: int, *, show_progress: bool) -> None:
    """One server from its start to its stop."""
    plan, problems = report.plan, report.problems
    repository = write_models(folder / "models")
    flags = (*_FLAGS[mode], f"--frontends={plan.frontends}", f"--pool-byte-size={_POOL_BYTES}", "--log-verbose=1")
    disk = Disk(folder / "disk")
    server = DiskServer(repository, *flags, disk=disk, console=folder / "console")
    try:
        server.start().wait_ready(_READY_S)
        asyncio.run(_play(report, mode, seconds, server, seed, show_progress=show_progress))
        code = server.stop()
        if code:
            problems.append(f"{mode}: the server's exit code is {code}")
    except AssertionError as error:
        problems.append(f"{mode}: {_first_line(error)}")
    finally:
        server.leave_disk()
        try:
            server.close()
        except AssertionError as error:
            # The rest of the report is worth reading, too.
            problems.append(f"{mode}: {_first_line(error)}")


async def _play(
    report: Report, mode: str, seconds: float, server: DiskServer, seed: int, *, show_progress: bool
) -> None:
    """Warm up, measure, chaos, measure."""
    plan, generations = report.plan, Generations()
    part = Part(mode)
    report.parts.append(part)
    rng = random.Random(seed)
    address = (HOST, server.http_port, server.grpc_port)

    def crowd() -> Crowd:
        return Crowd(address, plan.clients, report.ledger, generations, rng.getrandbits(32))

    files = ChangingFiles(server.repository)
    scene = Scene(plan, mode, server, report.ledger, files, generations, rng, crowd())
    troubles = Troubles(scene)
    scene.crowd.begin()
    warm_until_s = time.monotonic() + plan.warm_s
    # What fills the pool once has touched all of it, before and after.
    await troubles.play("full pool")
    await asyncio.sleep(max(0.0, warm_until_s - time.monotonic()))
    await scene.crowd.end()
    part.before = await _held(server)
    scene.crowd = crowd()
    part.began_s = time.monotonic()
    scene.crowd.begin()
    end_s = part.began_s + seconds
    tracks = [
        asyncio.create_task(_track(Deaths(scene).play, plan.deaths, scene, end_s)),
        asyncio.create_task(_track(troubles.play, plan.troubles, scene, end_s)),
    ]
    next_news_s = time.monotonic()
    while not all(each.done() for each in tracks):
        await asyncio.wait(tracks, timeout=0.5)
        if show_progress and time.monotonic() >= next_news_s:
            next_news_s += _NEWS_S
            _news(scene, part)
    for each in tracks:
        each.result()
    for text in scene.crowd.failed():
        scene.problem(f"a client ended with {text}")
    await scene.crowd.end()
    part.ended_s = time.monotonic()
    part.after = await _held(server)
    report.refused_for_room += troubles.refused_for_room
    report.vanished += troubles.vanished
    report.problems += scene.problems
    _after(report, scene, part)


async def _track(play: object, deck: tuple[str, ...], scene: Scene, end_s: float) -> None:
    """One incident after the other until the time is over."""
    assert callable(play)
    for kind in shuffled(deck, scene.random):
        await asyncio.sleep(scene.random.uniform(*scene.plan.calm_s))
        if time.monotonic() >= end_s:
            return
        await play(kind)


async def _held(server: DiskServer) -> Holdings:
    """What the server holds once nobody asks and the pool is empty."""
    server.wait_ready(_READY_S)
    await asyncio.to_thread(wait_pool_empty, server, _QUIET_S)
    return await asyncio.to_thread(Holdings.of, server)


def _after(report: Report, scene: Scene, part: Part) -> None:
    """Judge what the server said and what it holds."""
    log = scene.server.log()
    part.lost_lines = sum(int(count) for count in _LOST_LINES.findall(log))
    fallen = sum(each.kind == SEGFAULT for each in report.ledger.incidents)
    for pid, text in deaths(scene.server).items():
        if pid in scene.killed:
            continue
        fallen -= "SIGSEGV" in text
        if "SIGSEGV" not in text or fallen < 0:
            scene.problem(f"nobody did anything to it: {text}")
    grown = part.before.grown(part.after, _MOST_GROWTH_BYTES, _MOST_DESCRIPTORS)
    report.problems += [f"{part.mode}: {text}" for text in grown]


def _news(scene: Scene, part: Part) -> None:
    ledger = scene.ledger
    print(
        f"{scene.mode} {time.monotonic() - part.began_s:4.0f} s: {ledger.count(How.RIGHT)} right, "
        f"{ledger.count(How.REFUSED)} refused, {ledger.count(How.LOST)} lost, {ledger.count(How.WRONG)} wrong; "
        f"{len(ledger.incidents)} incidents, at last: {ledger.incidents[-1].kind} {ledger.incidents[-1].detail}",
        file=sys.stderr,
        flush=True,
    )


def _first_line(error: AssertionError) -> str:
    return str(error).split("\n", 1)[0]
