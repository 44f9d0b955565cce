"""What a chaos run lets pass: errors of known forms and codes while what brings them about goes on, and nothing else."""

import random
import time
from itertools import islice

import pytest

from tools.soak_chaos import plan
from tools.soak_chaos.judge import judge
from tools.soak_chaos.ledger import Ledger
from tools.soak_mixed.tally import End, How

_DIED = "[request id: 7] the instance of model 'echo' that ran this request has died (was killed by SIGKILL); try again"


def ledger_with(how: How, text: str = "", code: str = "", victims: tuple[str, ...] = ()) -> Ledger:
    """A request that ended so while processes of these kinds were struck."""
    ledger = Ledger()
    ledger.by_model["echo"].sent += 1
    incident = ledger.open("kill", victims=victims)
    ledger.ended(End(None, "echo", how, text, time.monotonic(), code))
    ledger.close(incident)
    return ledger


@pytest.mark.parametrize(
    ("ledger", "problem"),
    [
        (ledger_with(How.RIGHT), ""),
        (ledger_with(How.REFUSED, _DIED, "503", (plan.WORKER,)), ""),
        (ledger_with(How.REFUSED, _DIED, "UNAVAILABLE", (plan.WORKER,)), ""),
        (ledger_with(How.REFUSED, _DIED, "500", (plan.WORKER,)), "code"),
        (ledger_with(How.REFUSED, _DIED, "503", (plan.SCHEDULER,)), "nothing had happened to the worker"),
        (ledger_with(How.REFUSED, "something else", "503", plan.PROCESSES), "none of the allowed"),
        (ledger_with(How.LOST, "reset", "", (plan.FRONTEND,)), ""),
        (ledger_with(How.LOST, "reset", "", (plan.WORKER,)), "nothing had happened to the frontend"),
        (ledger_with(How.WRONG, "expected 1, got 2", "", plan.PROCESSES), "must never be"),
    ],
)
def test_only_what_happened_just_then_explains_an_error(ledger: Ledger, problem: str) -> None:
    found = judge(ledger)
    assert (problem in found[0]) if problem else not found


def test_a_request_without_an_end_is_a_problem() -> None:
    ledger = Ledger()
    ledger.by_model["echo"].sent += 1
    assert judge(ledger) == ["1 requests sent, 0 accounted for"]


def test_recovery_needs_a_right_answer_of_each_to_a_request_sent_after_it() -> None:
    ledger = Ledger()
    before_s = time.monotonic()
    incident = ledger.open("kill", struck=("a", "b"))
    for source, sent_s in (("a", incident.began_s), ("b", before_s - 1)):
        ledger.ended(End(source, "echo", How.RIGHT, "", sent_s))
    assert incident.recovery_s is None
    ledger.ended(End("b", "echo", How.RIGHT, "", incident.began_s))
    assert incident.recovery_s is not None


def test_no_kind_stays_away_for_longer_than_two_decks() -> None:
    drawn = list(islice(plan.shuffled(plan.DEATHS, random.Random(1)), 5 * len(plan.DEATHS)))
    for start in range(len(drawn) - 2 * len(plan.DEATHS)):
        assert set(drawn[start : start + 2 * len(plan.DEATHS)]) == set(plan.DEATHS)
