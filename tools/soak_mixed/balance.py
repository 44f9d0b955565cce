"""Whether the server has counted what its clients have seen: requests by model, failures by reason, metrics as statistics.

What a client has given up is not known to it: such requests may have been answered, have failed, or never have been seen.
All others have to be there, one by one. A worker that was killed may have answered a request without having said so to the
scheduler, which then counts a failure: the log tells how many requests were in flight at each death.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from tests.harness.observing import statistics
from tests.harness.scrape import Scrape, scrape
from tests.harness.server import Server
from tests.harness.waiting import eventually
from tis.contracts.metrics import BACKEND, CANCELED, FAILURE_REASONS, OTHER, REJECTED
from tools.soak_mixed.models import ASKED, STEPS
from tools.soak_mixed.tally import AS_SUCCESS, AT_THE_DOOR, Outcomes, Tally

_SETTLED_S: Final = 15.0
_DEATH: Final = re.compile(r"model '(\w+)': [^\n]*?, with (\d+) requests in flight")


@dataclass
class Counted:
    """What the server says of a model."""

    success: int
    fail: int
    reasons: dict[str, int]
    inferences: int
    executions: int
    hits: int
    pending: int

    @property
    def total(self) -> int:
        """Requests that it has accepted."""
        return self.success + self.fail

    @classmethod
    def of(cls, stats: dict[str, Any], seen: Scrape) -> "Counted":
        """From statistics and metrics."""
        inference, name = stats["inference_stats"], stats["name"]
        return cls(
            inference["success"]["count"],
            inference["fail"]["count"],
            {
                each: int(seen.value("nv_inference_request_failure", model=name, reason=each))
                for each in FAILURE_REASONS
            },
            stats["inference_count"],
            stats["execution_count"],
            inference["cache_hit"]["count"],
            _pending(seen, name),
        )


@dataclass
class Balance:
    """The figures of all models, and what does not fit."""

    counted: dict[str, Counted] = field(default_factory=dict)
    deaths: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def balance(server: Server, outcomes: Outcomes) -> Balance:
    """Compare, once nothing moves any more."""
    result = Balance()
    for model, lost in _DEATH.findall(server.log()):
        result.deaths[model] += int(lost)
    try:
        eventually(lambda: _look(server, outcomes, result), "the counters balance", _SETTLED_S)
    except AssertionError:
        result.problems = result.problems or ["the counters did not settle"]
    return result


def _look(server: Server, outcomes: Outcomes, result: Balance) -> bool:
    """Take the figures and compare; True where everything fits."""
    seen = scrape(server)
    found = {model: statistics(server, model) for model in (*ASKED, *STEPS)}
    result.counted = {model: Counted.of(stats, seen) for model, stats in found.items()}
    problems: list[str] = []
    for model, stats in found.items():
        problems += [f"{model}: {text}" for text in _metrics_differ(model, stats, seen)]
        if result.counted[model].pending:
            problems.append(f"{model}: {result.counted[model].pending} requests wait still")
    for model in ASKED:
        tally, counted = outcomes.by_model[model], result.counted[model]
        problems += [f"{model}: {text}" for text in _differ(tally, counted, result.deaths[model])]
    problems += _steps_differ(result)
    result.problems = problems
    return not problems


def _differ(tally: Tally, counted: Counted, died: int) -> list[str]:
    """What one model's counters have that its clients cannot explain, or lack."""
    problems = []
    reasons = tally.reasons()
    known = tally.right + reasons.total() - reasons[AT_THE_DOOR]
    unknown = tally.given_up + tally.lost
    if not known <= counted.total <= known + unknown:
        problems.append(
            f"{counted.success} successes and {counted.fail} failures counted, {known} known to clients and {unknown} "
            "given up"
        )
    answered = tally.right + reasons[AS_SUCCESS]
    if not answered - died <= counted.success <= answered + unknown:
        problems.append(f"{counted.success} successes counted, {answered} answers seen and {unknown} given up")
    for reason in (REJECTED, CANCELED, BACKEND, OTHER):
        slack = died if reason == BACKEND else 0
        if not reasons[reason] <= counted.reasons[reason] <= reasons[reason] + unknown + slack:
            problems.append(
                f"{counted.reasons[reason]} failures counted as {reason}, {reasons[reason]} seen and {unknown} given up"
            )
    if sum(counted.reasons.values()) != counted.fail:
        problems.append(f"{counted.fail} failures, by reason {counted.reasons}")
    return problems


def _steps_differ(result: Balance) -> list[str]:
    """Every request of the ensemble asks its first two models once, and the third one where both have succeeded."""
    counted = result.counted
    whole = counted["both"]
    problems = [
        f"{model}: {counted[model].total} requests counted, of an ensemble that was asked {whole.total} times"
        for model in ("doubled", "negated")
        if counted[model].total != whole.total
    ]
    fewest = min(counted["doubled"].success, counted["negated"].success) + result.deaths["doubled"]
    joined = counted["joined"]
    if not whole.success <= joined.total <= fewest + result.deaths["negated"]:
        problems.append(f"joined: {joined.total} requests counted, {whole.success} of the ensemble have succeeded")
    return problems


def _metrics_differ(model: str, stats: dict[str, Any], seen: Scrape) -> list[str]:
    inference = stats["inference_stats"]
    pairs = {
        "nv_inference_request_success": inference["success"]["count"],
        "nv_inference_count": stats["inference_count"],
        "nv_inference_exec_count": stats["execution_count"],
    }
    return [
        f"{family} is {seen.value(family, model=model):g}, statistics say {count}"
        for family, count in pairs.items()
        if seen.value(family, model=model) != count
    ]


def _pending(seen: Scrape, model: str) -> int:
    return int(seen.value("nv_inference_pending_request_count", model=model))
