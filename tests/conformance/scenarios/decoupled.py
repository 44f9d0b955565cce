"""Decoupled models over streams: none, one and several responses, errors among them, and streams that are given up."""

from typing import Any, Final

from tests.conformance.scenarios.model import batched
from tests.conformance.scenarios.scenario import Scenarios
from tests.conformance.scenarios.stage import Stage

MODELS: Final = {
    "talking": batched("dynamic_batching { }\nmodel_transaction_policy { decoupled: true }", most=4),
}
SCENARIOS: Final = Scenarios()


async def _told(stage: Stage, responses: Any, ended: int = 1) -> Any:
    return {"responses": responses, "counts": await stage.counts(ended)}


@SCENARIOS.add("three responses and their end", "talking")
async def three(stage: Stage) -> Any:
    return await _told(stage, await stage.stream({"a": {"responses": 3}}))


@SCENARIOS.add("no response", "talking")
async def none(stage: Stage) -> Any:
    return await _told(stage, await stage.stream({"a": {"responses": 0}}))


@SCENARIOS.add("an error among responses", "talking")
async def bad(stage: Stage) -> Any:
    return await _told(stage, await stage.stream({"a": {"responses": 3, "bad": 1}}))


@SCENARIOS.add("an execution that fails", "talking")
async def failing(stage: Stage) -> Any:
    heard = await stage.stream({"a": {"raise": "no"}})
    for each in heard:
        each["text"] = (each["text"] or "").split("\n")[0]
    return await _told(stage, heard)


@SCENARIOS.add("the responses of two requests on a stream", "talking")
async def two(stage: Stage) -> Any:
    heard = await stage.stream({"a": {"responses": 3}, "b": {"responses": 2}})
    by_request = {label: [each for each in heard if each["id"] == label] for label in "ab"}
    return {"responses": by_request, "count": (await stage.counts(2))["success"]}


@SCENARIOS.add("a stream that is given up cancels its requests", "talking")
async def given_up(stage: Stage) -> Any:
    first = await stage.stream({"a": {"responses": 1}}, until=2, then={"b": {"watch": True, "responses": 0}})
    heard = await stage.stream({"c": {"responses": 1}})
    watched = [each["cancelled"] for each in stage.notes() if "watched" in each]
    return {"first": [each["id"] for each in first], "watched": watched, "after": heard}
