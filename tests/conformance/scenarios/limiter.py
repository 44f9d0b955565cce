"""`--rate-limit=execution_count`: instances that share resources take turns. A server of its own."""

import asyncio
from typing import Any, Final

from tests.conformance.scenarios.model import batched
from tests.conformance.scenarios.scenario import Scenarios, all_told
from tests.conformance.scenarios.stage import Stage


def _needing(*resources: str, priority: int = 1) -> str:
    needed = ", ".join(f'{{ name: "{each}" count: 1 }}' for each in resources)
    return batched(
        "dynamic_batching { }", most=1, more=f"rate_limiter {{ resources [ {needed} ] priority: {priority} }}"
    )


MODELS: Final = {
    "left": _needing("R"),
    "right": _needing("R"),
    "elsewhere": _needing("S"),
    "free": batched("dynamic_batching { }", most=1),
    "often": _needing("T"),
    "seldom": _needing("T", priority=3),
}
SCENARIOS: Final = Scenarios("limited")

_MOMENT_S: Final = 0.5


async def _beside(stage: Stage, other: str) -> Any:
    """Whether a request to another model runs while one to the first model does."""
    stage.ask("a", hold=True)
    await stage.running("a")
    stage.ask("b", other)
    await asyncio.sleep(_MOMENT_S)
    ran = ["b"] in stage.batches(other)
    stage.release("a")
    return {"ran beside": ran, **await all_told(stage, 1)}


@SCENARIOS.add("models that need the same resource run one after the other", "left", "right")
async def same(stage: Stage) -> Any:
    return await _beside(stage, "right")


@SCENARIOS.add("models that need other resources run at the same time", "left", "elsewhere")
async def other(stage: Stage) -> Any:
    return await _beside(stage, "elsewhere")


@SCENARIOS.add("a model that needs nothing runs at any time", "left", "free")
async def free(stage: Stage) -> Any:
    return await _beside(stage, "free")


@SCENARIOS.add("a priority of 3 gets a third of the turns", "often", "seldom")
async def turns(stage: Stage) -> Any:
    """Of the first twelve turns while both wait all the time; the very first ones depend on who came when."""
    stage.ask("x", hold=True)
    await stage.running("x")
    for number in range(12):
        stage.ask(f"o{number}", ms=10)
        stage.ask(f"s{number}", "seldom", ms=10)
    await stage.waiting(12)
    await stage.waiting(12, "seldom")
    stage.release("x")
    await stage.answers()
    first = [run[0][0] for run in stage.batches()[1:13]]
    return {"few": 2 <= first.count("s") <= 4}
