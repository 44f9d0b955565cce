"""Incidents of processes: killed, stopped for ever, stopped for a while, fallen over. One at a time, each to its end."""

import asyncio
import os
import signal
import time
from typing import Final

from tests.harness.processes import ServerProcess
from tools.soak_chaos import asks, plan
from tools.soak_chaos.clients import AnyClient, Open
from tools.soak_chaos.ledger import BESIDE, Incident
from tools.soak_chaos.models import INSTANCES, PYTHON
from tools.soak_chaos.scene import Scene

#: Silence of 10 s, or 15 s with a batch, a second for the stacks, and room for a machine that is busy.
_RECOVERY_S: Final = 60.0
_PAUSE_S: Final = (0.5, 5.0)


class Deaths:
    """What may be done to processes."""

    def __init__(self, scene: Scene) -> None:
        self._scene: Final = scene

    async def play(self, kind: str) -> None:
        """Do one of `plan.DEATHS` and wait until everybody is back and has answered."""
        if kind == plan.KILL_MANY:
            await self._kill_many()
        elif kind == plan.SEGFAULT:
            await self._segfault()
        else:
            verb, _, process = kind.partition(" ")
            victim = await asyncio.to_thread(self._choose, process)
            if victim is None:
                return
            await (self._pause(kind, victim) if verb == plan.PAUSE else self._kill(kind, victim))

    async def _kill(self, kind: str, victim: "Victim") -> None:
        scene = self._scene
        scene.killed.add(victim.process.pid)
        number = signal.SIGKILL if kind.startswith(plan.KILL) else signal.SIGSTOP
        incident = scene.ledger.open(kind, victim.what, victim.struck, [victim.kind])
        if _signal(victim.process, number):
            await scene.until(lambda: not victim.process.alive(), f"{kind} ({victim.what}) ends it", _RECOVERY_S)
        await self._recovers(incident)

    async def _pause(self, kind: str, victim: "Victim") -> None:
        """Nobody may lose anything but time by it."""
        scene = self._scene
        incident = scene.ledger.open(kind, victim.what, victim.struck)
        try:
            _signal(victim.process, signal.SIGSTOP)
            await asyncio.sleep(scene.random.uniform(*_PAUSE_S))
        finally:
            _signal(victim.process, signal.SIGCONT)
        await self._recovers(incident)
        if not victim.process.alive() and victim.kind != plan.WORKER:
            scene.problem(f"{kind} ({victim.what}): process {victim.process.pid} did not live on")

    async def _kill_many(self) -> None:
        """One of each kind, or all workers."""
        scene, server = self._scene, self._scene.server
        if scene.random.random() < 0.5:
            victims, what, kinds = server.workers(), "all workers", [plan.WORKER]
        else:
            workers, frontends = server.workers(), server.frontends()
            victims = [scene.random.choice(workers), scene.random.choice(frontends), server.scheduler()]
            what, kinds = "one of each kind", list(plan.PROCESSES)
        incident = scene.ledger.open(plan.KILL_MANY, what, scene.crowd.clients, kinds)
        for each in victims:
            scene.killed.add(each.pid)
            _signal(each, signal.SIGKILL)
        await self._recovers(incident)

    async def _segfault(self) -> None:
        """By a request that the model does not survive."""
        scene = self._scene
        # It may find its frontend or its scheduler gone: nothing else is killed meanwhile, so it should not.
        incident = scene.ledger.open(plan.SEGFAULT, PYTHON, scene.crowd.of(PYTHON), [plan.WORKER])
        client = scene.crowd.extra(PYTHON, lambda number, _: asks.fatal(number))
        await client.ask(Open.number())
        await client.close()
        await self._recovers(incident)

    async def _recovers(self, incident: Incident) -> None:
        scene = self._scene
        left = incident.detail
        await scene.until(
            lambda: not incident.missing, f"{incident.kind} ({left}): all clients are answered", _RECOVERY_S
        )
        end_s = time.monotonic() + _RECOVERY_S
        while not await asyncio.to_thread(scene.is_whole):
            if time.monotonic() > end_s:
                scene.problem(f"{incident.kind} ({left}): not whole again within {_RECOVERY_S:g} s")
                break
        scene.ledger.close(incident)

    def _choose(self, kind: str) -> "Victim | None":
        scene, server = self._scene, self._scene.server
        if kind == plan.SCHEDULER:
            return Victim(kind, server.scheduler(), "the scheduler", list(scene.crowd.clients))
        process = scene.random.choice(server.workers() if kind == plan.WORKER else server.frontends())
        if kind == plan.FRONTEND:
            # Who is connected to it the clients do not know: all have to be answered again.
            return Victim(kind, process, "a frontend", list(scene.crowd.clients))
        model = scene.model_of(process.pid)
        if not model:
            return None
        others = INSTANCES.get(model, 1) - 1
        what = f"{model}, {BESIDE}" if others else model
        return Victim(kind, process, what, list(scene.crowd.of(model)))


class Victim:
    """A process, what it is, and the clients that it serves."""

    def __init__(self, kind: str, process: ServerProcess, what: str, struck: list[AnyClient]) -> None:
        self.kind: Final = kind
        self.process: Final = process
        self.what: Final = what
        self.struck: Final = struck


def _signal(process: ServerProcess, number: signal.Signals) -> bool:
    """False where it has just ended by itself, such as a worker of a model that was loaded anew."""
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True
