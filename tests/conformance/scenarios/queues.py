"""Who waits how long, and who is not let in: priorities, bounds and timeouts."""

import asyncio
from typing import Any, Final

from tests.conformance.scenarios.model import batched
from tests.conformance.scenarios.scenario import Scenarios, all_told
from tests.conformance.scenarios.stage import Stage

_LONG: Final = "default_timeout_microseconds: 20000000"
_SHORT: Final = "default_timeout_microseconds: 150000"
_OVERRIDE: Final = "allow_timeout_override: true"


def _queue(policy: str, *, most: int = 1, more: str = "") -> str:
    return batched(f"dynamic_batching {{ default_queue_policy {{ {policy} }} {more} }}", most=most)


MODELS: Final = {
    "bounded": _queue("max_queue_size: 3", most=4),
    "strict": _queue(f"timeout_action: REJECT {_LONG}"),
    "short": _queue(f"timeout_action: REJECT {_SHORT} {_OVERRIDE}"),
    "lenient": _queue(f"timeout_action: REJECT {_LONG} {_OVERRIDE}"),
    "untimed": _queue(f"timeout_action: REJECT {_OVERRIDE}"),
    "delaying_late": _queue(f"timeout_action: DELAY {_LONG} {_OVERRIDE}"),
    "levels": batched("dynamic_batching { priority_levels: 3 default_priority_level: 2 }", most=1),
    "levels_batched": batched("dynamic_batching { priority_levels: 3 default_priority_level: 2 }", most=4),
    "level_policies": batched(
        "dynamic_batching { priority_levels: 2 default_priority_level: 1 priority_queue_policy [ "
        f"{{ key: 2 value: {{ timeout_action: REJECT {_LONG} {_OVERRIDE} max_queue_size: 1 }} }} ] }}",
        most=1,
    ),
}
SCENARIOS: Final = Scenarios()


async def _busy(stage: Stage) -> None:
    stage.ask("x", hold=True)
    await stage.running("x")


@SCENARIOS.add("a full queue refuses, and counts nothing", "bounded")
async def full(stage: Stage) -> Any:
    await _busy(stage)
    await stage.ask_all("a b c")
    stage.ask("d")
    refused = await stage.answer("d")
    stage.release("x")
    return {"refused": refused, **await all_told(stage, 4)}


@SCENARIOS.add("a queue is bounded by requests, not by items", "bounded")
async def full_of_items(stage: Stage) -> Any:
    await _busy(stage)
    await stage.ask_all("a b c", items=4)
    stage.ask("d", items=1)
    refused = await stage.answer("d")
    stage.release("x")
    return {"refused": refused, **await all_told(stage, 4)}


@SCENARIOS.add("what was let in after others had left is answered", "bounded")
async def full_and_free(stage: Stage) -> Any:
    await _busy(stage)
    await stage.ask_all("a b c")
    stage.release("x")
    await stage.answers()
    stage.ask("d")
    return await all_told(stage, 5)


@SCENARIOS.add("a request that has waited too long is rejected", "short")
async def default_timeout(stage: Stage) -> Any:
    await _busy(stage)
    await stage.ask_all("a b")
    await asyncio.sleep(0.4)
    stage.release("x")
    return await all_told(stage, 3)


@SCENARIOS.add("a request's timeout may be shorter than the queue's", "lenient")
async def shorter(stage: Stage) -> Any:
    await _busy(stage)
    await stage.ask_all("a", timeout=100_000)
    await stage.ask_all("b", before=1)
    await asyncio.sleep(0.4)
    stage.release("x")
    return await all_told(stage, 3)


@SCENARIOS.add("a request's timeout may not be longer than the queue's", "short")
async def longer(stage: Stage) -> Any:
    await _busy(stage)
    await stage.ask_all("a", timeout=10_000_000)
    await asyncio.sleep(0.4)
    stage.release("x")
    return await all_told(stage, 2)


@SCENARIOS.add("without override a request's timeout means nothing", "strict")
async def no_override(stage: Stage) -> Any:
    await _busy(stage)
    await stage.ask_all("a", timeout=50_000)
    await asyncio.sleep(0.3)
    stage.release("x")
    return await all_told(stage, 2)


@SCENARIOS.add("without a timeout of the queue a request's own means nothing", "untimed")
async def no_default(stage: Stage) -> Any:
    await _busy(stage)
    await stage.ask_all("a", timeout=50_000)
    await asyncio.sleep(0.3)
    stage.release("x")
    return await all_told(stage, 2)


@SCENARIOS.add("a request that is delayed runs behind the others", "delaying_late")
async def delayed(stage: Stage) -> Any:
    await _busy(stage)
    await stage.ask_all("a", timeout=100_000)
    await stage.ask_all("b c", before=1)
    await asyncio.sleep(0.4)
    stage.release("x")
    return await all_told(stage, 4)


@SCENARIOS.add("requests that are delayed keep their order", "delaying_late")
async def delayed_in_order(stage: Stage) -> Any:
    await _busy(stage)
    await stage.ask_all("a", timeout=150_000)
    await stage.ask_all("b", before=1, timeout=100_000)
    await stage.ask_all("c", before=2)
    await asyncio.sleep(0.5)
    stage.release("x")
    return await all_told(stage, 4)


@SCENARIOS.add("the model is not told of timeouts that were given to the queue", "lenient")
async def timeout_told(stage: Stage) -> Any:
    stage.ask("a", timeout=10_000_000)
    stage.ask("b")
    await stage.answers()
    return {each["id"]: each["timeout"] for run in stage.runs() for each in run}


@SCENARIOS.add("requests of a higher priority overtake", "levels")
async def priorities(stage: Stage) -> Any:
    await _busy(stage)
    for number, (label, priority) in enumerate(
        (("low", 3), ("default", 0), ("high", 1), ("unknown", 9), ("low too", 3))
    ):
        await stage.ask_all(label.replace(" ", "-"), before=number, priority=priority)
    stage.release("x")
    return await all_told(stage, 6)


@SCENARIOS.add("requests of several priorities share a batch", "levels_batched")
async def priorities_in_batches(stage: Stage) -> Any:
    await _busy(stage)
    for number, (label, priority) in enumerate((("l1", 3), ("l2", 3), ("d1", 2), ("l3", 3), ("h1", 1), ("h2", 1))):
        await stage.ask_all(label, before=number, priority=priority)
    stage.release("x")
    return await all_told(stage, 7)


@SCENARIOS.add("a level may have bounds and timeouts of its own", "level_policies")
async def level_policies(stage: Stage) -> Any:
    await _busy(stage)
    await stage.ask_all("a", priority=2)
    stage.ask("b", priority=2)
    refused = await stage.answer("b")
    await stage.ask_all("c d", before=1, priority=1, timeout=1000)
    stage.release("x")
    return {"refused": refused, **await all_told(stage, 4)}


@SCENARIOS.add("a timeout strikes in the level that allows it", "level_policies")
async def level_timeout(stage: Stage) -> Any:
    await _busy(stage)
    await stage.ask_all("a", priority=2, timeout=50_000)
    await stage.ask_all("b", before=1, priority=1, timeout=50_000)
    await asyncio.sleep(0.3)
    stage.release("x")
    return await all_told(stage, 3)


@SCENARIOS.add("a request that is cancelled while it waits is not executed", "levels")
async def cancelled(stage: Stage) -> Any:
    await _busy(stage)
    await stage.ask_all("a b c")
    stage.cancel("b")
    await stage.answer("b")
    # The server hears of it a little later.
    await asyncio.sleep(0.5)
    stage.release("x")
    return await all_told(stage, 4)


@SCENARIOS.add("a request that is cancelled while it runs is for the model to look at", "levels")
async def cancelled_running(stage: Stage) -> Any:
    stage.ask("a", watch=True)
    await stage.running("a")
    stage.cancel("a")
    await stage.answer("a")
    stage.ask("b")
    told = await all_told(stage, 2)
    return {**told, "watched": [each["cancelled"] for each in stage.notes() if "watched" in each]}
