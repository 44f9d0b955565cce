"""Whether every request that was not answered may have gone unanswered: by its error, its code, and what happened then."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from tools.soak_chaos import plan
from tools.soak_chaos.ledger import Exceptional, Incident, Ledger
from tools.soak_mixed.tally import How

#: An incident explains what ended so long after it: errors travel, and one that waited for a turn hears late.
_AFTER_S: Final = 2.0
#: And a full pool so much longer: workers keep for some seconds what they were granted while it was.
_AFTER_FULL_POOL_S: Final = 12.0
_NUMBER: Final = re.compile(r"\d{2,}")
_WITHOUT_ID: Final = re.compile(r"\[request id: [^\]]*\] ")
_UNAVAILABLE: Final = ("503", "UNAVAILABLE")
_NONE: Final[tuple[str, ...]] = ("",)
_INVALID: Final = ("400", "INVALID_ARGUMENT")
_ANY: Final = frozenset(plan.PROCESSES)

#: Errors that requests may end in: a part of the text, the codes, and the deaths or the kind of trouble that bring it about.
_EXPLAINED: Final[tuple[tuple[str, tuple[str, ...], frozenset[str]], ...]] = (
    (" that ran this request has died", _UNAVAILABLE, frozenset({plan.WORKER})),
    (" that had sequence ", _UNAVAILABLE, frozenset({plan.WORKER})),
    ("the scheduler has died and has lost this request", _UNAVAILABLE, frozenset({plan.SCHEDULER})),
    ("the scheduler is not reachable at the moment", _UNAVAILABLE, frozenset({plan.SCHEDULER})),
    # Its steps before this one were lost with whoever knew of them.
    ("must specify the START flag", _INVALID, _ANY),
    ("no room for a request of ", _UNAVAILABLE, frozenset({plan.FULL_POOL})),
    ("the shared-memory pool has no room for ", _UNAVAILABLE, frozenset({plan.FULL_POOL})),
    ("which is its share", _UNAVAILABLE, frozenset({plan.FULL_POOL})),
)


def form_of(text: str) -> str:
    """An error without what differs from request to request."""
    return _NUMBER.sub("N", _WITHOUT_ID.sub("", text))


def forms(exceptions: Sequence[Exceptional]) -> Counter[str]:
    """How often which error came, with its code."""
    refused = (each for each in exceptions if each.how is How.REFUSED)
    return Counter(f"{each.code} {form_of(each.text)}" for each in refused)


def judge(ledger: Ledger) -> list[str]:
    """What nobody explains."""
    unexplained: Counter[str] = Counter()
    for each in ledger.exceptions:
        why = _why_not(each, ledger.incidents)
        if why:
            unexplained[f"{each.model}: {each.how.value}, {why}: {each.code} {form_of(each.text)}"] += 1
    problems = [f"{count} x {text}" for text, count in unexplained.most_common(12)]
    if ledger.done != ledger.sent:
        problems.append(f"{ledger.sent} requests sent, {ledger.done} accounted for")
    return problems


def _why_not(each: Exceptional, incidents: Sequence[Incident]) -> str:
    """Why a request may not have ended so; empty where it may."""
    if each.how is How.WRONG:
        return "which must never be"
    if each.how is How.LOST:
        codes, causes = _NONE, frozenset({plan.FRONTEND})
    else:
        found = next(((codes, causes) for part, codes, causes in _EXPLAINED if part in each.text), None)
        if found is None:
            return "in an error that is none of the allowed ones"
        codes, causes = found
    if each.code not in codes:
        return "with a code that does not belong to the error"
    if not any(_strikes(incident, each, causes) for incident in incidents):
        return f"though nothing had happened to the {' or the '.join(sorted(causes))}"
    return ""


def _strikes(incident: Incident, each: Exceptional, causes: frozenset[str]) -> bool:
    if not causes & (incident.victims | {incident.kind}):
        return False
    after_s = _AFTER_FULL_POOL_S if incident.kind == plan.FULL_POOL else _AFTER_S
    over_s = float("inf") if incident.ended_s is None else incident.ended_s + after_s
    return incident.began_s <= each.ended_s and each.sent_s <= over_s
