"""What became of the requests of the mixed soak, model by model, and how their errors count in the server's statistics."""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from tis.contracts.metrics import BACKEND, CANCELED, OTHER, REJECTED
from tools.soak_mixed.models import FAILURE_TEXT

#: How Triton counts an error that was found before the request was accepted: not at all.
AT_THE_DOOR: Final = ""
#: How it counts an error that a Python model answers with.
AS_SUCCESS: Final = "SUCCESS"
_WITHOUT_ID: Final = re.compile(r"\[request id: [^\]]*\] ")
_NUMBER: Final = re.compile(r"\d{2,}")
#: The errors that requests may end in, and the reason that they count for. The first that matches.
_EXPLAINED: Final[tuple[tuple[str, str], ...]] = (
    ("in ensemble ", OTHER),
    ("Request timeout expired", REJECTED),
    ("timeout of the corresponding sequence has been expired", REJECTED),
    ("Exceeds maximum queue size", AT_THE_DOOR),
    ("must specify the START flag", AT_THE_DOOR),
    ("a request before this one in its sequence was cancelled", CANCELED),
    (" has died", BACKEND),
    (FAILURE_TEXT, AS_SUCCESS),
)


def reason_of(text: str) -> str | None:
    """What an error counts for; None for one that nobody explains."""
    return next((reason for part, reason in _EXPLAINED if part in text), None)


class How(Enum):
    """How a request came to its end; see `Tally`."""

    RIGHT = "right"
    REFUSED = "refused"
    GIVEN_UP = "given up"
    LOST = "lost"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class End:
    """The end of a request: whose, to which model, how, and the text of what was not right, as it came."""

    source: object
    model: str
    how: How
    text: str
    #: On the monotonic clock.
    sent_s: float
    #: Of an error: HTTP's status or the name of gRPC's.
    code: str = ""


@dataclass
class Tally:
    """What became of the requests to one model. Each is in exactly one of these."""

    sent: int = 0
    right: int = 0
    #: Error texts, without ids and numbers.
    errors: Counter[str] = field(default_factory=Counter)
    #: Given up by the client while they were on their way: the server may have answered, ended or never seen them.
    given_up: int = 0
    #: Connections that ended with the request in flight.
    lost: int = 0
    #: Answers that are not what was asked for.
    wrong: list[str] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Requests that have come to an end."""
        return self.right + self.errors.total() + self.given_up + self.lost + len(self.wrong)

    def add(self, end: End) -> None:
        """A request has come to its end."""
        if end.how is How.RIGHT:
            self.right += 1
        elif end.how is How.REFUSED:
            self.errors[_NUMBER.sub("N", _WITHOUT_ID.sub("", end.text))] += 1
        elif end.how is How.GIVEN_UP:
            self.given_up += 1
        elif end.how is How.LOST:
            self.lost += 1
        else:
            self.wrong.append(end.text)

    def reasons(self) -> Counter[str]:
        """Errors by what they count for; those that nobody explains are left out."""
        counts: Counter[str] = Counter()
        for text, count in self.errors.items():
            reason = reason_of(text)
            if reason is not None:
                counts[reason] += count
        return counts

    def unexplained(self) -> Counter[str]:
        """The errors that should not have come."""
        return Counter({text: count for text, count in self.errors.items() if reason_of(text) is None})


@dataclass
class Outcomes:
    """All tallies."""

    by_model: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    longest_s: float = 0.0
    #: Sequences that went all the way, and those that did not.
    sequences_whole: int = 0
    sequences_broken: int = 0

    def ended(self, end: End) -> None:
        """A request has come to its end."""
        self.by_model[end.model].add(end)

    @property
    def sent(self) -> int:
        """Requests to all models."""
        return sum(each.sent for each in self.by_model.values())

    @property
    def done(self) -> int:
        """Requests that have come to an end."""
        return sum(each.done for each in self.by_model.values())
