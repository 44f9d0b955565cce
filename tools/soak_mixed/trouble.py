"""What goes wrong on purpose while the mixed soak runs: processes are killed, models are loaded anew."""

import asyncio
import http.client
import os
import random
from collections import Counter
from typing import Final

from tests.harness.processes import ServerProcess
from tests.harness.server import HOST, Server
from tools.soak_mixed.models import ASKED, STEPS
from tools.soak_mixed.plan import Plan

_LOAD_DEADLINE_S: Final = 60


class Trouble:
    """Makes trouble at random moments until it is cancelled."""

    def __init__(self, plan: Plan, server: Server) -> None:
        self._plan: Final = plan
        self._server: Final = server
        self._random: Final = random.Random(plan.seed)
        self.kills: Counter[str] = Counter()
        self.killed: set[int] = set()
        self.reloads = 0
        self.problems: list[str] = []

    async def run(self) -> None:
        """All that the plan wants."""
        async with asyncio.TaskGroup() as group:
            if self._plan.kills_every_s:
                group.create_task(self._kill_now_and_then(self._plan.kills_every_s))
            if self._plan.reloads_every_s:
                group.create_task(self._load_now_and_then(self._plan.reloads_every_s))

    async def _kill_now_and_then(self, every_s: float) -> None:
        while True:
            await asyncio.sleep(self._random.uniform(0.5, 1.5) * every_s)
            kind = self._random.choice(self._plan.victims)
            candidates: list[ServerProcess]
            candidates = self._server.workers() if kind == "worker" else self._server.frontends()
            if candidates:
                victim = self._random.choice(candidates)
                victim.kill()
                self.killed.add(victim.pid)
                self.kills[kind] += 1

    async def _load_now_and_then(self, every_s: float) -> None:
        while True:
            await asyncio.sleep(self._random.uniform(0.5, 1.5) * every_s)
            model = self._random.choice((*ASKED, *STEPS))
            os.utime(self._server.repository / model / "config.pbtxt")
            problem = await asyncio.to_thread(self._load, model)
            if problem:
                self.problems.append(f"the load of '{model}': {problem}")
            self.reloads += 1

    def _load(self, model: str) -> str:
        """Load a model over HTTP; the error's text where that fails."""
        connection = http.client.HTTPConnection(HOST, self._server.http_port, timeout=_LOAD_DEADLINE_S)
        try:
            connection.request("POST", f"/v2/repository/models/{model}/load", b"", {"Connection": "close"})
            response = connection.getresponse()
            text = response.read().decode()
            return "" if response.status == 200 else f"{response.status} {text}"
        except (OSError, http.client.HTTPException) as error:
            return "" if "frontend" in self._plan.victims else repr(error)
        finally:
            connection.close()
