"""Sequences: slots and what the model sees in them, backlog, idle time, both strategies, iterative requests."""

import asyncio
from typing import Any, Final

from tests.conformance.scenarios.model import CONTROLS, batched
from tests.conformance.scenarios.scenario import Scenarios
from tests.conformance.scenarios.stage import Outcome, Stage

_IDLE_S: Final = 1.5
_LONG_IDLE: Final = "max_sequence_idle_microseconds: 60000000"
_OLDEST: Final = "oldest { max_candidate_sequences: 2 %s }"
_TEXT_ID: Final = CONTROLS.replace("TYPE_UINT64", "TYPE_STRING")
#: No pause of a script comes near, however busy the machine is.
_DELAY_S: Final = 2.0


def _sequences(text: str, *, most: int = 4, count: int = 1, controls: str = CONTROLS) -> str:
    return batched(f"sequence_batching {{ {text} {controls} }}", most=most, count=count)


MODELS: Final = {
    "direct": _sequences(_LONG_IDLE),
    "named": _sequences(_LONG_IDLE, controls=_TEXT_ID),
    "pair": _sequences(_LONG_IDLE, most=1, count=2),
    "single": _sequences(_LONG_IDLE, most=1),
    "idle": _sequences(f"max_sequence_idle_microseconds: {int(_IDLE_S * 1e6)}", most=1),
    "patient": _sequences(
        f"{_LONG_IDLE} direct {{ max_queue_delay_microseconds: {int(_DELAY_S * 1e6)} minimum_slot_utilization: 0.75 }}"
    ),
    "oldest": _sequences(f"{_LONG_IDLE} {_OLDEST % ''}"),
    "oldest_single": _sequences(f"{_LONG_IDLE} oldest {{ max_candidate_sequences: 1 }}"),
    "oldest_wide": _sequences(
        f"{_LONG_IDLE} oldest {{ max_candidate_sequences: 4 preferred_batch_size: [ 3 ] "
        f"max_queue_delay_microseconds: {int(_DELAY_S * 1e6)} }}"
    ),
    "again_direct": _sequences("iterative_sequence: true", most=1),
    "again_oldest": _sequences(f"iterative_sequence: true {_OLDEST % ''}"),
}
SCENARIOS: Final = Scenarios()


class _Steps:
    """Steps of sequences, with labels such as `7.2`: the second step of sequence 7."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._steps: dict[int | str, int] = {}

    def ask(self, sequence: int | str, flags: str = "", **more: Any) -> str:
        """Send a step; flags are `start`, `end` or both."""
        self._steps[sequence] = self._steps.get(sequence, 0) + 1
        label = f"{sequence}.{self._steps[sequence]}"
        wishes: dict[str, Any] = {"sequence_start": "start" in flags, "sequence_end": "end" in flags}
        self._stage.ask(label, sequence_id=sequence, **wishes, **more)
        return label

    async def answer(self, sequence: int | str, flags: str = "", **more: Any) -> Outcome:
        """Send a step and wait for its answer."""
        return await self._stage.answer(self.ask(sequence, flags, **more))

    async def waiting(self, count: int, sequence: int | str, flags: str = "", **more: Any) -> None:
        """Send a step and wait until so many requests wait."""
        self.ask(sequence, flags, **more)
        await self._stage.waiting(count)


def _seen(stage: Stage) -> list[list[Any]]:
    """Each execution's slots: the label, and the controls where they are those of a request."""
    runs = []
    for run in stage.runs():
        slots: list[Any] = []
        for each in run:
            ready = each["controls"].get("READY")
            slots.append([each["id"], each["controls"]] if ready else ["filler", {"READY": ready}])
        runs.append(slots)
    return runs


async def _told(stage: Stage, ended: int) -> Outcome:
    answers = await stage.answers()
    return {"seen": _seen(stage), "answers": answers, "counts": await stage.counts(ended)}


# ---- rules -------------------------------------------------------------------------------------------------------------


@SCENARIOS.add("a sequence has its controls", "direct")
async def controls(stage: Stage) -> Any:
    steps = _Steps(stage)
    for flags in ("start", "", "", "end"):
        await steps.answer(7, flags)
    return await _told(stage, 4)


@SCENARIOS.add("a sequence of one request", "direct")
async def one_request(stage: Stage) -> Any:
    steps = _Steps(stage)
    await steps.answer(7, "start end")
    return {"after": await steps.answer(7), **await _told(stage, 1)}


@SCENARIOS.add("what is no step of a sequence is refused", "direct")
async def refused(stage: Stage) -> Any:
    steps = _Steps(stage)
    stage.ask("none")
    return {
        "no id": await stage.answer("none"),
        "no start": await steps.answer(8),
        "end without start": await steps.answer(8, "end"),
        "two items": await steps.answer(8, "start", items=2),
        **await _told(stage, 0),
    }


@SCENARIOS.add("a start on a sequence that is alive begins it anew in its slot", "direct")
async def start_again(stage: Stage) -> Any:
    steps = _Steps(stage)
    for flags in ("start", "", "start", "end"):
        await steps.answer(9, flags)
    return {"after": await steps.answer(9), **await _told(stage, 4)}


@SCENARIOS.add("sequences with texts as ids", "named")
async def named(stage: Stage) -> Any:
    steps = _Steps(stage)
    await steps.answer("one", "start")
    await steps.answer("two", "start")
    await steps.answer("one", "end")
    await steps.answer("two", "end")
    return {"after": await steps.answer("two"), **await _told(stage, 4)}


@SCENARIOS.add("a model may fail a step, and the sequence goes on", "direct")
async def failing_step(stage: Stage) -> Any:
    steps = _Steps(stage)
    await steps.answer(11, "start")
    await steps.answer(11, error="no")
    await steps.answer(11, "end")
    return await _told(stage, 3)


# ---- direct ------------------------------------------------------------------------------------------------------------


@SCENARIOS.add("sequences share a batch, each in its slot", "direct")
async def shared(stage: Stage) -> Any:
    steps = _Steps(stage)
    await stage.running(steps.ask(1, "start", hold=True))
    await steps.waiting(1, 2, "start")
    await steps.waiting(2, 3, "start")
    stage.release("1.1")
    await stage.answers()
    await stage.running(steps.ask(1, hold=True))
    await steps.waiting(1, 3)
    await steps.waiting(2, 1, "end")
    await steps.waiting(3, 2, "end")
    await steps.waiting(4, 3, "end")
    stage.release("1.2")
    return await _told(stage, 8)


@SCENARIOS.add("a slot without a request is filled", "direct")
async def filler(stage: Stage) -> Any:
    steps = _Steps(stage)
    for sequence in (1, 2, 3):
        await steps.answer(sequence, "start")
    await steps.answer(3)
    await steps.answer(2)
    for sequence in (1, 2, 3):
        await steps.answer(sequence, "end")
    await steps.answer(4, "start end")
    return await _told(stage, 9)


@SCENARIOS.add("requests of a sequence are executed one after the other", "direct")
async def one_after_the_other(stage: Stage) -> Any:
    steps = _Steps(stage)
    await stage.running(steps.ask(1, "start", hold=True))
    await steps.waiting(1, 1)
    await steps.waiting(2, 1)
    await steps.waiting(3, 1, "end")
    stage.release("1.1")
    return await _told(stage, 4)


@SCENARIOS.add("a sequence without a slot waits for one", "single")
async def backlog(stage: Stage) -> Any:
    steps = _Steps(stage)
    await steps.answer(1, "start")
    await steps.waiting(1, 2, "start")
    await steps.waiting(2, 3, "start end")
    await steps.waiting(3, 2, "end")
    await steps.answer(1)
    before = [stage.done(label) for label in ("2.1", "3.1", "2.2")]
    await steps.answer(1, "end")
    return {"before": before, **await _told(stage, 6)}


@SCENARIOS.add("sequences keep the instance that they began on", "pair")
async def instances(stage: Stage) -> Any:
    steps = _Steps(stage)
    for flags in ("start", "", "end"):
        for sequence in (1, 2):
            await steps.answer(sequence, flags)
    homes: dict[str, set[str]] = {}
    for each in stage.notes():
        homes.setdefault(each["requests"][0]["id"].split(".")[0], set()).add(each["instance"])
    return {"kept": all(len(each) == 1 for each in homes.values()), "apart": len(set.union(*homes.values())) == 2}


@SCENARIOS.add("a sequence that idles for too long loses its slot and ends", "idle")
async def idle(stage: Stage) -> Any:
    steps = _Steps(stage)
    await steps.answer(1, "start")
    second = steps.ask(2, "start")
    await asyncio.sleep(_IDLE_S / 3)
    early = stage.done(second)
    await stage.answer(second)
    await steps.answer(2, "end")
    return {"early": early, "late": await steps.answer(1), **await _told(stage, 3)}


@SCENARIOS.add("a sequence that goes on keeps its slot", "idle")
async def not_idle(stage: Stage) -> Any:
    steps = _Steps(stage)
    await steps.answer(1, "start")
    steps.ask(2, "start end")
    for _ in range(4):
        await asyncio.sleep(_IDLE_S / 3)
        await steps.answer(1)
    kept = not stage.done("2.1")
    await steps.answer(1, "end")
    return {"kept": kept, **await _told(stage, 7)}


@SCENARIOS.add("a timeout in the backlog", "single")
async def backlog_timeout(stage: Stage) -> Any:
    steps = _Steps(stage)
    await steps.answer(1, "start")
    await steps.waiting(1, 2, "start", timeout=200_000)
    steps.ask(2)
    await stage.answer("2.1")
    await stage.answer("2.2")
    await steps.answer(1, "end")
    return await _told(stage, 4)


@SCENARIOS.add("enough slots run without delay", "patient")
async def enough(stage: Stage) -> Any:
    steps = _Steps(stage)
    for sequence in (1, 2, 3):
        steps.ask(sequence, "start")
        await asyncio.sleep(0.05)
    answers = await stage.answers()
    quick = stage.took_s("1.1") < _DELAY_S * 0.8
    for sequence in (1, 2, 3):
        steps.ask(sequence, "end")
        await asyncio.sleep(0.05)
    del answers
    return {"at once": quick, **await _told(stage, 6)}


@SCENARIOS.add("too few slots wait for the delay", "patient")
async def too_few(stage: Stage) -> Any:
    steps = _Steps(stage)
    for sequence in (1, 2):
        steps.ask(sequence, "start end")
        await asyncio.sleep(0.05)
    await stage.answers()
    return {"delayed": stage.took_s("1.1") >= _DELAY_S * 0.95, **await _told(stage, 2)}


@SCENARIOS.add("a step that is cancelled while it waits", "single")
async def cancelled(stage: Stage) -> Any:
    steps = _Steps(stage)
    await stage.running(steps.ask(1, "start", hold=True))
    await steps.waiting(1, 1)
    stage.cancel("1.2")
    await stage.answer("1.2")
    await asyncio.sleep(0.5)
    stage.release("1.1")
    await stage.answer("1.1")
    return {"after": await steps.answer(1), "anew": await steps.answer(1, "start end"), **await _told(stage, 3)}


# ---- oldest ------------------------------------------------------------------------------------------------------------


@SCENARIOS.add("oldest: a sequence has its controls", "oldest")
async def oldest_controls(stage: Stage) -> Any:
    steps = _Steps(stage)
    for flags in ("start", "", "end"):
        await steps.answer(7, flags)
    return {"after": await steps.answer(7), **await _told(stage, 3)}


@SCENARIOS.add("oldest: requests of several sequences share a batch without fillers", "oldest")
async def oldest_shared(stage: Stage) -> Any:
    steps = _Steps(stage)
    await stage.running(steps.ask(1, "start", hold=True))
    await steps.waiting(1, 2, "start")
    await steps.waiting(2, 1)
    await steps.waiting(3, 2, "end")
    stage.release("1.1")
    await stage.answers()
    await steps.answer(1, "end")
    told = await _told(stage, 5)
    order = {sequence: [id for run in told["seen"] for id, _ in run if id[0] == sequence] for sequence in "12"}
    # Which sequences meet in a batch is a race between the end of one and the next.
    return {"order": order, "answers": told["answers"], "counts": {name: told["counts"][name] for name in ("success",)}}


@SCENARIOS.add("oldest: as many candidates as a preferred size are sent without delay", "oldest_wide")
async def oldest_preferred(stage: Stage) -> Any:
    steps = _Steps(stage)
    for sequence in (1, 2, 3):
        steps.ask(sequence, "start end")
        await asyncio.sleep(0.05)
    await stage.answers()
    return {"at once": stage.took_s("1.1") < _DELAY_S * 0.8, **await _told(stage, 3)}


@SCENARIOS.add("oldest: fewer candidates wait for the delay, and no sequence is there twice", "oldest_wide")
async def oldest_delay(stage: Stage) -> Any:
    steps = _Steps(stage)
    for sequence, flags in ((1, "start"), (1, "end"), (2, "start end")):
        steps.ask(sequence, flags)
        await asyncio.sleep(0.05)
    await stage.answers()
    return {"delayed": stage.took_s("1.1") >= _DELAY_S * 0.95, **await _told(stage, 3)}


@SCENARIOS.add("oldest: a sequence beyond the candidates waits until one ends", "oldest_single")
async def oldest_backlog(stage: Stage) -> Any:
    steps = _Steps(stage)
    await steps.answer(1, "start")
    await steps.waiting(1, 2, "start")
    await steps.waiting(2, 3, "start end")
    await steps.answer(1)
    before = [stage.done(label) for label in ("2.1", "3.1")]
    await steps.answer(1, "end")
    await stage.answer("2.1")
    await steps.answer(2, "end")
    return {"before": before, **await _told(stage, 6)}


@SCENARIOS.add("oldest: a start on a sequence that is alive", "oldest")
async def oldest_start_again(stage: Stage) -> Any:
    steps = _Steps(stage)
    for flags in ("start", "start", "end"):
        await steps.answer(9, flags)
    return {"after": await steps.answer(9), **await _told(stage, 3)}


# ---- iterative ---------------------------------------------------------------------------------------------------------


async def _iterated(stage: Stage) -> Any:
    stage.ask("a", again=3)
    answer = await stage.answer("a")
    flags = [(each["id"], each["controls"]["START"], each["controls"]["END"]) for run in stage.runs() for each in run]
    same = len({each["controls"]["CORRID"] for run in stage.runs() for each in run}) == 1
    return {"answer": answer, "flags": flags, "one id": same}


@SCENARIOS.add("iterative: a request is executed until the model is done with it", "again_direct")
async def iterative(stage: Stage) -> Any:
    return await _iterated(stage)


@SCENARIOS.add("iterative, oldest: a request is executed until the model is done with it", "again_oldest")
async def iterative_oldest(stage: Stage) -> Any:
    return await _iterated(stage)


@SCENARIOS.add("iterative: another request waits until the first is done", "again_direct")
async def iterative_two(stage: Stage) -> Any:
    stage.ask("a", again=2, ms=150)
    await stage.running("a")
    stage.ask("b", again=1)
    answers = await stage.answers()
    return {"answers": answers, "batches": stage.batches()}


@SCENARIOS.add("iterative, oldest: two requests share their executions", "again_oldest")
async def iterative_shared(stage: Stage) -> Any:
    stage.ask("a", again=4, ms=150)
    await stage.running("a")
    stage.ask("b", again=1, ms=150)
    answers = await stage.answers()
    passes = {label: sum(label in run for run in stage.batches()) for label in "ab"}
    return {"answers": answers, "passes": passes}
