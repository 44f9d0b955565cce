"""The clients of the mixed soak, each with a request, a sequence or a stream at a time; they check every answer."""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final

from tools.soak_mixed.asks import MAKERS, Ask, in_sequence, talking
from tools.soak_mixed.callers import Caller, GrpcCaller, HttpCaller, LostError, Told
from tools.soak_mixed.tally import End, How, Outcomes

ANSWER_DEADLINE_S: Final = 45.0
_LONGEST_PATIENCE_S: Final = 0.01
_MOST_STEPS: Final = 8
_MOST_STREAMED: Final = 5
_MOST_RESPONSES: Final = 8
_PAUSE_S: Final = 0.05
#: Quick ones are asked more often.
_KINDS: Final = tuple(MAKERS.values())
_WEIGHTS: Final = tuple({"bounded": 6, "cached": 4}.get(name, 1) for name in MAKERS)
#: One request out of so many has no id of its own.
_WITHOUT_ID_EVERY: Final = 5


class Budget:
    """How many requests are still to be sent, and a number for each."""

    def __init__(self, requests: int) -> None:
        self._requests: Final = requests
        self._taken = 0

    def take(self) -> int:
        """The number of the next request; 0 where there is none."""
        if self._taken >= self._requests:
            return 0
        self._taken += 1
        return self._taken

    @property
    def left(self) -> bool:
        """Whether there are more."""
        return self._taken < self._requests


class Client:
    """A client with one request at a time, of a kind that stands for itself."""

    def __init__(self, caller: Caller, outcomes: Outcomes, budget: Budget, cancelled: float, seed: int) -> None:
        self._caller: Final = caller
        self._outcomes: Final = outcomes
        self._budget: Final = budget
        self._cancelled: Final = cancelled
        self._random: Final = random.Random(seed)

    async def run(self) -> None:
        """Ask until nothing is left to be asked."""
        while number := self._budget.take():
            (make,) = self._random.choices(_KINDS, _WEIGHTS)
            await self._ask(make(number, self._random), number)

    async def close(self) -> None:
        """Close the connection."""
        await self._caller.close()

    async def _ask(self, ask: Ask, number: int) -> bool:
        """Ask and note what came of it; True for the right answer."""
        self._outcomes.by_model[ask.model].sent += 1
        request_id = f"soak-{number}" if number % _WITHOUT_ID_EVERY else ""
        began_s = time.monotonic()
        patience_s = ANSWER_DEADLINE_S
        if self._random.random() < self._cancelled:
            patience_s = self._random.uniform(0, _LONGEST_PATIENCE_S)
        try:
            told = await asyncio.wait_for(self._caller.call(ask, request_id), patience_s)
        except TimeoutError:
            if patience_s == ANSWER_DEADLINE_S:
                return self._end(ask, How.WRONG, f"no answer within {patience_s:g} s to {ask}", began_s)
            return self._end(ask, How.GIVEN_UP, "", began_s)
        except LostError as error:
            self._end(ask, How.LOST, str(error), began_s)
            await asyncio.sleep(_PAUSE_S)
            return False
        self._outcomes.longest_s = max(self._outcomes.longest_s, time.monotonic() - began_s)
        return self._end(ask, *_how(ask, told, request_id), began_s, told.code)

    def _end(self, ask: Ask, how: How, text: str, sent_s: float, code: str = "") -> bool:
        self._outcomes.ended(End(self, ask.model, how, text, sent_s, code))
        return how is How.RIGHT


def _how(ask: Ask, told: Told, request_id: str) -> tuple[How, str]:
    """What an answer is, and the error's or its own text where it is not right."""
    if told.error is not None:
        return How.REFUSED, told.error
    if not ask.is_right(told.outputs) or told.request_id != request_id:
        return How.WRONG, f"{ask} as '{request_id}' got {told}"
    return How.RIGHT, ""


class SequenceClient(Client):
    """A client with one sequence at a time. One that breaks is left; its id is not used again."""

    _ids = 0

    def __init__(self, model: str, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._model: Final = model

    async def run(self) -> None:
        """Begin sequences until nothing is left to be asked."""
        while self._budget.left:
            SequenceClient._ids += 1
            if await self._sequence(SequenceClient._ids):
                self._outcomes.sequences_whole += 1
            else:
                self._outcomes.sequences_broken += 1

    async def _sequence(self, sequence: int) -> bool:
        steps, total = self._random.randrange(_MOST_STEPS) + 1, 0
        for step in range(steps):
            number = self._budget.take()
            if not number:
                return False
            value = self._random.randrange(1000)
            total += value
            start, end = step == 0, step == steps - 1
            ask = in_sequence(self._model, sequence, value, total, start=start, end=end)
            if not await self._ask(ask, number):
                return False
        return True


class StreamClient(Client):
    """A client with several requests at a time on a stream, to decoupled models and others."""

    def __init__(self, caller: GrpcCaller, *arguments: object) -> None:
        super().__init__(caller, *arguments)  # type: ignore[arg-type]
        self._streams: Final = caller

    async def run(self) -> None:
        """Open streams until nothing is left to be asked."""
        while self._budget.left:
            asks: dict[str, Ask] = {}
            for _ in range(self._random.randrange(_MOST_STREAMED) + 1):
                if number := self._budget.take():
                    asks[f"stream-{number}"] = self._make(number)
            for ask in asks.values():
                self._outcomes.by_model[ask.model].sent += 1
            await self._stream(asks)

    def _make(self, number: int) -> Ask:
        if self._random.random() < 0.2:
            return MAKERS["ordered"](number, self._random)
        return talking(number, self._random.randrange(_MOST_RESPONSES))

    async def _stream(self, asks: dict[str, Ask]) -> None:
        heard: dict[str, list[bytes]] = {request_id: [] for request_id in asks}
        patience_s = ANSWER_DEADLINE_S
        if self._random.random() < self._cancelled:
            patience_s = self._random.uniform(0, _LONGEST_PATIENCE_S)
        given_up, problem = False, ""
        try:
            async with asyncio.timeout(patience_s):
                async for told in self._streams.stream([(ask, request_id) for request_id, ask in asks.items()]):
                    self._hear(asks, heard, told)
        except TimeoutError:
            given_up, problem = patience_s < ANSWER_DEADLINE_S, "no end of the stream in time"
        except LostError as error:
            problem = str(error)
            await asyncio.sleep(_PAUSE_S)
        for request_id, ask in asks.items():
            tally = self._outcomes.by_model[ask.model]
            if request_id not in heard:
                continue
            if given_up:
                tally.given_up += 1
            elif problem and not problem.startswith("no end"):
                tally.lost += 1
            else:
                tally.wrong.append(f"{ask} as '{request_id}' was not answered: {problem}")

    def _hear(self, asks: dict[str, Ask], heard: dict[str, list[bytes]], told: Told) -> None:
        """A response has come; its request is taken out of `heard` with the last one."""
        request_id = told.request_id
        if request_id not in heard:
            self._outcomes.by_model["talking"].wrong.append(f"a response too many: {told}")
            return
        ask = asks[request_id]
        heard[request_id] += told.outputs
        if told.final:
            outputs = tuple(heard.pop(request_id))
            self._end(ask, *_how(ask, Told(outputs, told.error, request_id), request_id), 0.0)


def make_clients(
    address: tuple[str, int, int], per_kind: int, outcomes: Outcomes, budget: Budget, cancelled: float, seed: int
) -> list[Client]:
    """So many clients of each kind; `address` is the host and the ports of HTTP and gRPC."""
    host, http_port, grpc_port = address
    seeds = random.Random(seed)
    callers: list[Callable[[], Caller]] = [lambda: HttpCaller(host, http_port), lambda: GrpcCaller(host, grpc_port)]
    clients: list[Client] = []
    for number in range(per_kind):
        common = (outcomes, budget, cancelled)
        # Most clients ask over HTTP, which costs the client less.
        clients += [Client(callers[0](), *common, seeds.getrandbits(32)) for _ in range(3)]
        clients.append(Client(callers[1](), *common, seeds.getrandbits(32)))
        for model in ("summing", "remembering"):
            clients.append(SequenceClient(model, callers[number % 2](), *common, seeds.getrandbits(32)))
            clients.append(SequenceClient(model, callers[0](), *common, seeds.getrandbits(32)))
        clients.append(StreamClient(GrpcCaller(host, grpc_port), *common, seeds.getrandbits(32)))
    return clients
