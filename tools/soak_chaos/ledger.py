"""The ledger of a chaos run: every request by the second of its end, the incidents, and who has recovered from them.

Times are those of the monotonic clock.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from tools.soak_mixed.tally import End, How, Outcomes

_LONGEST_TEXT: Final = 2000
#: Said of a worker whose model has another.
BESIDE: Final = "beside another instance"


@dataclass(eq=False)
class Incident:
    """Something that went wrong on purpose, or was changed."""

    kind: str
    began_s: float
    #: Whom or what it was done to.
    detail: str = ""
    #: Clients without a right answer to a request sent since.
    missing: set[object] = field(default_factory=set)
    #: When the last of these had one.
    recovered_s: float | None = None
    #: When it was over: everybody is there again who was there before.
    ended_s: float | None = None
    #: Whose end it may have brought about: kinds of processes.
    victims: frozenset[str] = frozenset()

    @property
    def recovery_s(self) -> float | None:
        """From the beginning to the first right answer of all that were struck; None where it has not come."""
        return None if self.recovered_s is None else self.recovered_s - self.began_s


@dataclass(frozen=True, slots=True)
class Exceptional:
    """A request that was not answered, and when it was on its way."""

    model: str
    how: How
    text: str
    code: str
    sent_s: float
    ended_s: float


@dataclass
class Ledger(Outcomes):
    """What became of all requests, and what was done meanwhile."""

    began_s: float = field(default_factory=time.monotonic)
    #: By the second since the beginning.
    seconds: dict[How, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    exceptions: list[Exceptional] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)

    def ended(self, end: End) -> None:
        """As `Outcomes` says."""
        super().ended(end)
        now_s = time.monotonic()
        self.seconds[end.how][int(now_s - self.began_s)] += 1
        if end.how is How.RIGHT:
            for incident in self.incidents[-8:]:
                if incident.missing and end.sent_s >= incident.began_s:
                    self._recovers(incident, end.source, now_s)
        elif end.how is not How.GIVEN_UP:
            text = end.text[:_LONGEST_TEXT]
            self.exceptions.append(Exceptional(end.model, end.how, text, end.code, end.sent_s, now_s))

    def _recovers(self, incident: Incident, source: object, now_s: float) -> None:
        incident.missing.discard(source)
        if not incident.missing:
            incident.recovered_s = now_s

    def open(self, kind: str, detail: str = "", struck: Iterable[object] = (), victims: Iterable[str] = ()) -> Incident:
        """An incident begins now."""
        incident = Incident(kind, time.monotonic(), detail, set(struck), victims=frozenset(victims))
        self.incidents.append(incident)
        return incident

    def close(self, incident: Incident) -> None:
        """It is over."""
        incident.ended_s = time.monotonic()

    def count(self, how: How) -> int:
        """Requests that ended so."""
        return self.seconds[how].total()
