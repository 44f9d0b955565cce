"""What the fuzzer has seen."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Seen:
    """What came back."""

    #: Mutated requests sent.
    broken: int = 0
    #: Good requests sent, whose answers are compared.
    good: int = 0
    #: Answers by status, and connections that ended instead.
    outcomes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def add(self, other: "Seen") -> None:
        """Take over what another client has seen."""
        self.broken += other.broken
        self.good += other.good
        self.outcomes += other.outcomes
        self.problems += other.problems

    def problem(self, text: str) -> None:
        """Note what should not be; the first ones tell enough."""
        if len(self.problems) < 20:
            self.problems.append(text[:2000])
