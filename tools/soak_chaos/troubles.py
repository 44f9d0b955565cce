"""Incidents of everything but processes: models that change or are broken, a full disk, a full pool, clients that vanish."""

import asyncio
import random
import shutil
from collections.abc import Awaitable, Callable
from typing import Final

from tests.harness.server import HOST
from tools.soak_chaos import asks, plan
from tools.soak_chaos.clients import Open
from tools.soak_chaos.models import CHANGING, LARGE, NEWCOMER
from tools.soak_chaos.scene import Scene
from tools.soak_mixed.callers import GrpcCaller, http_request

_TAKEN_OVER_S: Final = 60.0
#: A server that polls every second and waits for a second of quiet has tried a broken model by then.
_BROKEN_S: Final = 3.5
_COPYING_S: Final = 1.5
_SHARE: Final = 0.6
_DISK_FULL_S: Final = (2.0, 4.0)
_BURST: Final = 24
_VANISHING: Final = 6
_LOST_LINES: Final = " lines of the log were lost before this one"
#: Of a model that cannot be loaded, and of one whose config cannot be read.
_LOAD_REFUSED: Final = (400, 500)
_LOAD_TRIES: Final = 20


class Troubles:
    """What may go wrong beside the deaths of processes."""

    def __init__(self, scene: Scene) -> None:
        self._scene: Final = scene
        self._play: Final[dict[str, Callable[[], Awaitable[None]]]] = {
            plan.RELOAD: self._reload,
            plan.HALF_MODEL: self._half_model,
            plan.BROKEN_CONFIG: self._broken_config,
            plan.FULL_DISK: self._full_disk,
            plan.FULL_POOL: self.full_pool,
            plan.VANISH: self._vanish,
        }
        self.refused_for_room = 0
        self.vanished = 0

    async def play(self, kind: str) -> None:
        """Do one of `plan.TROUBLES` and wait until it is over."""
        incident = self._scene.ledger.open(kind)
        try:
            await self._play[kind]()
        finally:
            self._scene.ledger.close(incident)

    # ---- models ----------------------------------------------------------------------------------------------------

    async def _reload(self) -> None:
        """A newer generation takes over, and no request fails by it."""
        scene = self._scene
        scene.generations.newest += 1
        if scene.mode == plan.POLL and scene.random.random() < 0.5:
            await asyncio.to_thread(scene.files.begin, scene.generations.newest, _SHARE)
            await asyncio.sleep(_COPYING_S)
            await asyncio.to_thread(scene.files.finish, scene.generations.newest, _SHARE)
        else:
            await asyncio.to_thread(scene.files.replace, scene.generations.newest)
        await self._taken_over()

    async def _half_model(self) -> None:
        """Half a file is refused, the generation before it serves on, and the whole one takes over."""
        scene = self._scene
        if scene.mode == plan.EXPLICIT and scene.random.random() < 0.5:
            await self._newcomer()
            return
        scene.generations.newest += 1
        await asyncio.to_thread(scene.files.replace, scene.generations.newest, share=_SHARE)
        await self._is_refused(CHANGING, "half a model file")
        await asyncio.to_thread(scene.files.replace, scene.generations.newest)
        await self._taken_over()

    async def _broken_config(self) -> None:
        """A config that cannot be read is refused, and what serves goes on."""
        scene = self._scene
        await asyncio.to_thread(scene.files.break_config)
        await self._is_refused(CHANGING, "a broken config")
        await asyncio.to_thread(scene.files.mend_config)
        scene.generations.newest += 1
        await asyncio.to_thread(scene.files.replace, scene.generations.newest)
        await self._taken_over()

    async def _newcomer(self) -> None:
        """A model that is half there is refused; whole, it is loaded, answers and goes."""
        scene = self._scene
        await asyncio.to_thread(scene.files.begin_newcomer)
        await self._is_refused(NEWCOMER, "half of a new model")
        await asyncio.to_thread(scene.files.finish_newcomer)
        if await self._call(f"{NEWCOMER}/load"):
            client = scene.crowd.extra(NEWCOMER, lambda number, _: asks.newcomer(number))
            for _ in range(_LOAD_TRIES):
                if await client.ask(Open.number()):
                    break
                await asyncio.sleep(1.0)
            else:
                scene.problem("a new model was loaded and does not answer")
            await client.close()
        await self._call(f"{NEWCOMER}/unload")
        await asyncio.to_thread(shutil.rmtree, scene.server.repository / NEWCOMER)

    async def _taken_over(self) -> None:
        """The newest generation has to answer; in explicit mode nobody else may, once the call has returned."""
        scene, generations = self._scene, self._scene.generations
        newest = generations.newest
        if scene.mode == plan.EXPLICIT and await self._call(f"{CHANGING}/load"):
            generations.oldest = newest
        await scene.until(
            lambda: generations.seen >= newest, f"generation {newest} of '{CHANGING}' answers", _TAKEN_OVER_S
        )

    async def _is_refused(self, model: str, what: str) -> None:
        """In explicit mode a load of it has to fail; in poll mode the server is given the time to try it."""
        scene = self._scene
        if scene.mode == plan.POLL:
            await asyncio.sleep(_BROKEN_S)
            return
        status, text = await asyncio.to_thread(scene.control, f"{model}/load")
        if status == 200:
            scene.problem(f"{what} was loaded")
        elif status not in _LOAD_REFUSED and not self._died_meanwhile():
            scene.problem(f"the load of {what} ended with {status} {text}")

    async def _call(self, path: str) -> bool:
        """Call until it succeeds. Only what a death may bring about is tried again."""
        scene = self._scene
        status, text = 0, ""
        for _ in range(_LOAD_TRIES):
            status, text = await asyncio.to_thread(scene.control, path)
            if status == 200:
                return True
            if not self._died_meanwhile():
                scene.problem(f"{path} ended with {status} {text}")
                return False
            await asyncio.sleep(0.5)
        scene.problem(f"{path} never succeeded, at last with {status} {text}")
        return False

    def _died_meanwhile(self) -> bool:
        """Whether anybody has been killed since this trouble began, or just before."""
        incidents = self._scene.ledger.incidents
        since_s = max(each.began_s for each in incidents if each.kind in plan.TROUBLES)
        return any(each.victims and (each.ended_s is None or each.ended_s > since_s) for each in incidents)

    # ---- disk, pool and clients ------------------------------------------------------------------------------------

    async def _full_disk(self) -> None:
        """The log has no room for some seconds; afterwards it says how many lines it has lost."""
        scene, server = self._scene, self._scene.server
        told = server.log().count(_LOST_LINES)
        await asyncio.to_thread(server.disk.fill, server.reopen_log)
        try:
            await asyncio.sleep(scene.random.uniform(*_DISK_FULL_S))
        finally:
            await asyncio.to_thread(server.disk.free, server.reopen_log)
        if server.disk.real:
            await scene.until(lambda: server.log().count(_LOST_LINES) > told, "the log tells of lost lines", 20.0)

    async def full_pool(self) -> None:
        """Many large requests at once: those that find no room are refused, and then there is room again."""
        scene = self._scene
        clients = [scene.crowd.extra(LARGE, asks.huge, grpc=number % 4 == 3) for number in range(_BURST)]
        answers = await asyncio.gather(*(each.ask(Open.number()) for each in clients))
        self.refused_for_room += answers.count(False)
        for each in clients:
            await each.close()

    async def _vanish(self) -> None:
        """Clients that go in the middle of a body, between request and answer, and in the middle of a call."""
        scene = self._scene
        await asyncio.gather(*(self._vanish_one(number, scene.random) for number in range(_VANISHING)))

    async def _vanish_one(self, number: int, rng: random.Random) -> None:
        scene = self._scene
        ask = asks.large(Open.number(), rng)
        self.vanished += 1
        if number % 3 == 2:
            caller = GrpcCaller(HOST, scene.server.grpc_port)
            call = asyncio.create_task(caller.call(ask, ""))
            await asyncio.sleep(rng.uniform(0, 0.02))
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            await caller.close()
            return
        try:
            _, writer = await asyncio.open_connection(HOST, scene.server.http_port)
        except OSError:
            return
        data = http_request(ask, "")
        writer.write(data if number % 3 else data[: rng.randrange(len(data))])
        await asyncio.sleep(rng.uniform(0, 0.05))
        # Without waiting for what is still to be sent: the server sees a reset.
        writer.transport.abort()
