"""Several instances of a model, the order of answers, and what the rate limiter makes of instances."""

import asyncio
import time
from typing import Any, Final

from tests.conformance.scenarios.model import batched
from tests.conformance.scenarios.scenario import Scenarios, all_told
from tests.conformance.scenarios.stage import Stage

MODELS: Final = {
    "unordered": batched("dynamic_batching { }", most=1, count=2),
    "preserving": batched("dynamic_batching { preserve_ordering: true }", most=1, count=2),
    "alone_twice": batched("", most=1, count=2),
}
SCENARIOS: Final = Scenarios()

_MOMENT_S: Final = 0.4
_LONG_S: Final = 2.0


async def _overtakes(stage: Stage, *, b: dict[str, Any] | None = None) -> Any:
    """The second request could be answered while the first one runs still; whether it is."""
    stage.ask("a", hold=True)
    await stage.running("a")
    stage.ask("b", **(b or {}))
    await stage.running("b")
    until_s = time.monotonic() + _LONG_S
    while not stage.done("b") and time.monotonic() < until_s:
        await asyncio.sleep(0.02)
    overtaken = stage.done("b")
    stage.release("a")
    return {"overtaken": overtaken, **await all_told(stage, 2)}


@SCENARIOS.add("a quick request overtakes a slow one on another instance", "unordered")
async def unordered(stage: Stage) -> Any:
    return await _overtakes(stage)


@SCENARIOS.add("with preserve_ordering a quick request is answered behind a slow one", "preserving")
async def preserving(stage: Stage) -> Any:
    return await _overtakes(stage)


@SCENARIOS.add("with preserve_ordering an error is told behind a slow answer", "preserving")
async def preserving_error(stage: Stage) -> Any:
    return await _overtakes(stage, b={"error": "early"})


@SCENARIOS.add("with preserve_ordering a request that is cancelled lets the next one pass", "preserving")
async def preserving_cancelled(stage: Stage) -> Any:
    stage.ask("a", hold=True)
    await stage.running("a")
    stage.ask("b", hold=True)
    await stage.running("b")
    await stage.ask_all("c d")
    stage.cancel("c")
    await stage.answer("c")
    await asyncio.sleep(_MOMENT_S)
    stage.release("a", "b")
    return await all_told(stage, 4)


@SCENARIOS.add("without dynamic batching a quick request overtakes, too", "alone_twice")
async def alone(stage: Stage) -> Any:
    return await _overtakes(stage)


@SCENARIOS.add("two instances run two requests, and the third one waits", "unordered")
async def three(stage: Stage) -> Any:
    stage.ask("a", hold=True)
    await stage.running("a")
    stage.ask("b", hold=True)
    await stage.running("b")
    stage.ask("c")
    await stage.waiting(1)
    stage.release("a", "b")
    told = await all_told(stage, 3)
    instances = {each["requests"][0]["id"]: each["instance"] for each in stage.notes()}
    return {**told, "beside each other": instances["a"] != instances["b"]}
