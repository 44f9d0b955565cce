"""The clients of the chaos run: those of the mixed soak, each with one model, until they are told to stop."""

import asyncio
import random
from collections.abc import Callable
from functools import partial
from typing import Final

from tools.soak_chaos import asks
from tools.soak_chaos.ledger import Ledger
from tools.soak_chaos.models import CHANGING, ECHO, ENSEMBLE, LARGE, PARTS, PYTHON, SEQUENCES
from tools.soak_mixed.asks import Ask
from tools.soak_mixed.callers import Caller, GrpcCaller, HttpCaller
from tools.soak_mixed.clients import Budget, Client, SequenceClient

#: After an error: a client that asked again at once would ask thousands of times while a process is away.
_PAUSE_S: Final = 0.02
#: Between large requests, which would leave little of the machine to the others.
_LARGE_PAUSE_S: Final = 0.01

Maker = Callable[[int, random.Random], Ask]


class Open(Budget):
    """Requests without end, until it is closed."""

    _last = 0

    def __init__(self) -> None:
        super().__init__(0)
        self._open = True

    def take(self) -> int:
        """As `Budget` says; no number comes twice, whatever the budget."""
        if not self._open:
            return 0
        return self.number()

    @staticmethod
    def number() -> int:
        """One that nobody has had."""
        Open._last += 1
        return Open._last

    @property
    def left(self) -> bool:
        """As `Budget` says."""
        return self._open

    def close(self) -> None:
        """There are no more."""
        self._open = False


class OneModelClient(Client):
    """A client of one model. `needs` are the models that have to work for its answers."""

    def __init__(self, model: str, make: Maker, pause_s: float, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._make: Final = make
        self._pause_s: Final = pause_s
        self.needs: Final = frozenset(PARTS.get(model, (model,)))

    async def run(self) -> None:
        """Ask until the budget is closed."""
        while number := self._budget.take():
            right = await self.ask(number)
            await asyncio.sleep(self._pause_s if right else _PAUSE_S)

    async def ask(self, number: int) -> bool:
        """Ask once; True for the right answer."""
        return await self._ask(self._make(number, self._random), number)


class SummingClient(SequenceClient):
    """A client with one sequence after the other."""

    needs: Final = frozenset({SEQUENCES})

    async def _sequence(self, sequence: int) -> bool:
        whole = await super()._sequence(sequence)
        await asyncio.sleep(0 if whole else _PAUSE_S)
        return whole


AnyClient = OneModelClient | SummingClient


class Crowd:
    """All clients of one part of a run, on connections of their own."""

    def __init__(
        self, address: tuple[str, int, int], times: int, ledger: Ledger, generations: asks.Generations, seed: int
    ) -> None:
        host, http_port, grpc_port = address
        self._seeds: Final = random.Random(seed)
        self._budget: Final = Open()
        self._ledger: Final = ledger
        self._http: Final = partial(HttpCaller, host, http_port)
        self._grpc: Final = partial(GrpcCaller, host, grpc_port)
        makers: tuple[tuple[str, Maker, float], ...] = (
            (ECHO, asks.echo, 0.0),
            (PYTHON, asks.scripted, 0.0),
            (ENSEMBLE, asks.chained, 0.0),
            (CHANGING, partial(asks.changing, generations), 0.0),
            (LARGE, asks.large, _LARGE_PAUSE_S),
        )
        self.clients: list[AnyClient] = []
        for _ in range(times):
            for caller in (self._http, self._grpc):
                self.clients += [OneModelClient(*maker, *self._common(caller())) for maker in makers]
                self.clients.append(SummingClient(SEQUENCES, *self._common(caller())))
            self.clients += [OneModelClient(*makers[0], *self._common(self._http())) for _ in range(2)]
        self._tasks: list[asyncio.Task[None]] = []

    def _common(self, caller: Caller) -> tuple[object, ...]:
        return (caller, self._ledger, self._budget, 0.0, self._seeds.getrandbits(32))

    def extra(self, model: str, make: Maker, *, grpc: bool = False) -> OneModelClient:
        """One more client, which asks only when it is told to; it is the caller's to close."""
        return OneModelClient(model, make, 0.0, *self._common(self._grpc() if grpc else self._http()))

    def begin(self) -> None:
        """All begin to ask."""
        self._tasks = [asyncio.create_task(each.run()) for each in self.clients]

    def failed(self) -> list[str]:
        """Clients that have ended though they should not."""
        return [repr(task.exception()) for task in self._tasks if task.done() and task.exception()]

    def of(self, *models: str) -> list[AnyClient]:
        """Those whose answers need one of these models."""
        return [each for each in self.clients if each.needs & set(models)]

    async def end(self) -> None:
        """Nobody asks any more; what is on its way is waited for."""
        self._budget.close()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
        for each in self.clients:
            await each.close()
