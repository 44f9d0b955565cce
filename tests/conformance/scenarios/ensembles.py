"""Ensembles over time: steps beside each other, errors in steps, outputs that nobody wants, and what is counted of it."""

import asyncio
from typing import Any, Final

from tests.conformance.scenarios.model import batched, ensemble
from tests.conformance.scenarios.scenario import Scenarios
from tests.conformance.scenarios.stage import Outcome, Stage

_STEP: Final = batched("dynamic_batching { }", most=8)

MODELS: Final = {
    "first": _STEP,
    "second": _STEP,
    "beside": ensemble("I J", "A B", "first I -> A", "second J -> B"),
    "bounded_step": batched("dynamic_batching { default_queue_policy { max_queue_size: 1 } }", most=1),
    "over_bounded": ensemble("I", "A", "bounded_step I -> A", most=1),
}
SCENARIOS: Final = Scenarios()


async def _told(stage: Stage, *models: str, ended: int = 1) -> Outcome:
    answers = await stage.answers()
    return {"answers": answers, **{model: await stage.counts(ended, model) for model in (stage.model, *models)}}


@SCENARIOS.add("steps that do not need each other run at the same time", "beside", "first", "second")
async def beside(stage: Stage) -> Any:
    stage.ask("a", inputs=("I", "J"), I={"hold": "one"}, J={"hold": "two"})
    await stage.both_run("first", "second")
    stage.release("one", "two")
    return await _told(stage, "first", "second")


@SCENARIOS.add("an error in a step is the ensemble's", "beside", "first", "second")
async def error(stage: Stage) -> Any:
    stage.ask("a", inputs=("I", "J"), I={"error": "no"}, J={})
    return await stage.answers()


@SCENARIOS.add("after an error the other step is waited for", "beside", "first", "second")
async def error_and_slow(stage: Stage) -> Any:
    stage.ask("a", inputs=("I", "J"), I={"hold": "one", "error": "no"}, J={"hold": "two"})
    await stage.both_run("first", "second")
    stage.release("one")
    await asyncio.sleep(0.3)
    waits = not stage.done("a")
    stage.release("two")
    return {"waits": waits, **await _told(stage, "first", "second")}


@SCENARIOS.add("both steps fail", "beside", "first", "second")
async def two_errors(stage: Stage) -> Any:
    stage.ask("a", inputs=("I", "J"), I={"hold": "one", "error": "no"}, J={"hold": "two", "error": "neither"})
    await stage.both_run("first", "second")
    stage.release("one")
    await asyncio.sleep(0.3)
    stage.release("two")
    return await _told(stage, "first", "second")


@SCENARIOS.add("requests of several ensembles' clients share a step's batch", "beside", "first", "second")
async def batched_steps(stage: Stage) -> Any:
    stage.ask("x", "first", hold=True)
    await stage.running("x")
    for number, label in enumerate("abc", 1):
        stage.ask(label, inputs=("I", "J"), I={}, J={})
        await stage.waiting(number, "first")
    stage.release("x")
    return {**await _told(stage, "first", ended=3), "batches": stage.batches("first")}


@SCENARIOS.add("a step whose queue is full refuses the ensemble", "over_bounded", "bounded_step")
async def full_step(stage: Stage) -> Any:
    stage.ask("x", "bounded_step", hold=True)
    await stage.running("x")
    await stage.ask_all("w", "bounded_step")
    stage.ask("a", inputs=("I",), I={})
    refused = await stage.answer("a")
    stage.release("x")
    return {"refused": refused, **await _told(stage, "bounded_step", ended=1)}


@SCENARIOS.add("an ensemble that is cancelled", "over_bounded", "bounded_step")
async def cancelled(stage: Stage) -> Any:
    stage.ask("x", "bounded_step", hold=True)
    await stage.running("x")
    stage.ask("a", inputs=("I",), I={})
    await stage.waiting(1, "bounded_step")
    stage.cancel("a")
    await stage.answer("a")
    await asyncio.sleep(0.5)
    stage.release("x")
    return {**await _told(stage, "bounded_step"), "batches": stage.batches("bounded_step")}
