"""Which requests are executed together: preferred sizes, delays, busy instances, and no dynamic batching at all."""

import asyncio
from typing import Any, Final

from tests.conformance.scenarios.model import batched
from tests.conformance.scenarios.scenario import Scenarios, all_told
from tests.conformance.scenarios.stage import Stage

_DELAY_S: Final = 1.5
_DELAY: Final = f"max_queue_delay_microseconds: {int(_DELAY_S * 1e6)}"

MODELS: Final = {
    "preferring": batched(f"dynamic_batching {{ preferred_batch_size: [ 4 ] {_DELAY} }}"),
    "two_sizes": batched(f"dynamic_batching {{ preferred_batch_size: [ 2, 6 ] {_DELAY} }}"),
    "delaying": batched(f"dynamic_batching {{ {_DELAY} }}"),
    "eager": batched("dynamic_batching { }"),
    "alone": batched(""),
}
SCENARIOS: Final = Scenarios()


@SCENARIOS.add("as many requests as a preferred size are sent without delay", "preferring")
async def preferred(stage: Stage) -> Any:
    for label in "abcd":
        stage.ask(label)
        await asyncio.sleep(0.02)
    return {**await all_told(stage, 4), "at once": stage.took_s("a") < _DELAY_S * 0.8}


@SCENARIOS.add("fewer requests than a preferred size are delayed", "preferring")
async def delayed(stage: Stage) -> Any:
    for label in "abc":
        stage.ask(label)
        await asyncio.sleep(0.02)
    return {**await all_told(stage, 3), "delayed": stage.took_s("a") >= _DELAY_S * 0.95}


@SCENARIOS.add("one request more than a preferred size is delayed alone", "preferring")
async def one_more(stage: Stage) -> Any:
    for label in "abcde":
        stage.ask(label)
        await asyncio.sleep(0.02)
    told = await all_told(stage, 5)
    return {**told, "at once": stage.took_s("a") < _DELAY_S * 0.8, "delayed": stage.took_s("e") >= _DELAY_S * 0.95}


@SCENARIOS.add("items 1, 5, 5 and 2 with a preferred size of 4 and a delay", "preferring")
async def items_with_preferred(stage: Stage) -> Any:
    for label, items in (("a", 1), ("b", 5), ("c", 5), ("d", 2)):
        stage.ask(label, items=items)
        await asyncio.sleep(0.05)
    return await all_told(stage, 4)


@SCENARIOS.add("items 1, 5, 5 and 2 with a delay", "delaying")
async def items_with_delay(stage: Stage) -> Any:
    for label, items in (("a", 1), ("b", 5), ("c", 5), ("d", 2)):
        stage.ask(label, items=items)
        await asyncio.sleep(0.05)
    return await all_told(stage, 4)


@SCENARIOS.add("a full batch is sent without delay", "delaying")
async def full(stage: Stage) -> Any:
    for label, items in (("a", 3), ("b", 3), ("c", 2)):
        stage.ask(label, items=items)
        await asyncio.sleep(0.02)
    return {**await all_told(stage, 3), "at once": stage.took_s("a") < _DELAY_S * 0.8}


@SCENARIOS.add("a request as large as a batch is sent without delay", "delaying")
async def large(stage: Stage) -> Any:
    stage.ask("a", items=8)
    return {**await all_told(stage, 1), "at once": (await stage.answer("a")) and stage.took_s("a") < _DELAY_S * 0.8}


@SCENARIOS.add("of two preferred sizes the larger one that is reached while the instance is busy", "two_sizes")
async def two_sizes(stage: Stage) -> Any:
    stage.ask("x", items=2, hold=True)
    await stage.running("x")
    await stage.ask_all("a b c d e f g h i")
    stage.release("x")
    return await all_told(stage, 10)


@SCENARIOS.add("ten requests while the instance is busy, with a preferred size", "preferring")
async def busy_preferred(stage: Stage) -> Any:
    stage.ask("x", items=4, hold=True)
    await stage.running("x")
    await stage.ask_all("a b c d e f g h i j")
    stage.release("x")
    return await all_told(stage, 11)


@SCENARIOS.add("ten requests while the instance is busy, without preferred size", "eager")
async def busy_eager(stage: Stage) -> Any:
    stage.ask("x", hold=True)
    await stage.running("x")
    await stage.ask_all("a b c d e f g h i j")
    stage.release("x")
    return await all_told(stage, 11)


@SCENARIOS.add("items 1, 5, 5 and 2 while the instance is busy", "eager")
async def busy_items(stage: Stage) -> Any:
    stage.ask("x", hold=True)
    await stage.running("x")
    for number, items in enumerate((1, 5, 5, 2), 1):
        stage.ask("abcd"[number - 1], items=items)
        await stage.waiting(number)
    stage.release("x")
    return await all_told(stage, 5)


@SCENARIOS.add("a burst of twelve requests", "eager")
async def burst(stage: Stage) -> Any:
    """How it is cut is chance; that each is answered, and in the order in which they came, is not."""
    for label in "abcdefghijkl":
        stage.ask(label, ms=20)
    answers = await stage.answers()
    counts = await stage.counts(12)
    runs = stage.batches()
    return {
        "answers": answers,
        "largest": max(len(each) for each in runs) <= 8,
        "all": sorted(label for run in runs for label in run),
        "counts": {name: counts[name] for name in ("success", "inferences")},
    }


@SCENARIOS.add("an error in a batch is its own request's alone", "eager")
async def error_in_batch(stage: Stage) -> Any:
    stage.ask("x", hold=True)
    await stage.running("x")
    await stage.ask_all("a b")
    stage.ask("c", error="only c")
    await stage.waiting(3)
    stage.release("x")
    return await all_told(stage, 4)


@SCENARIOS.add("an execution that fails fails for all of its requests", "eager")
async def failing_batch(stage: Stage) -> Any:
    stage.ask("x", hold=True)
    await stage.running("x")
    await stage.ask_all("a b c", **{"raise": "no"})
    stage.release("x")
    told = await all_told(stage, 4)
    for answer in told["answers"].values():
        # Where in its file the model failed, is told behind it.
        answer["text"] = answer.get("text", "").split("\n")[0]
    return told


@SCENARIOS.add("without dynamic batching every request is executed alone, in order", "alone")
async def default_scheduler(stage: Stage) -> Any:
    stage.ask("x", hold=True)
    await stage.running("x")
    await stage.ask_all("a b c d e")
    stage.release("x")
    return await all_told(stage, 6)


@SCENARIOS.add("without dynamic batching priorities and timeouts mean nothing", "alone")
async def default_scheduler_wishes(stage: Stage) -> Any:
    stage.ask("x", hold=True)
    await stage.running("x")
    await stage.ask_all("a", timeout=1000, priority=3)
    await stage.ask_all("b", before=1, priority=1)
    stage.release("x")
    return await all_told(stage, 3)
