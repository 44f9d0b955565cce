"""What hostile direct clients have done, and what has come of it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

_MIB: Final = 1 << 20


@dataclass
class Report:
    """No problems: the server has passed."""

    messages: int = 0
    #: Answers by their type, and by the code of an error.
    answers: Counter[str] = field(default_factory=Counter)
    #: Clients by what they did and what they had reached when they were killed.
    killed: Counter[tuple[str, str]] = field(default_factory=Counter)
    messages_s: float = 0.0
    killed_s: float = 0.0
    #: Of all processes of the server, before and after.
    before_bytes: int = 0
    after_bytes: int = 0
    problems: list[str] = field(default_factory=list)

    def text(self) -> str:
        """For people."""
        lines = [
            f"messages   {self.messages} in {self.messages_s:.1f} s",
            *(f"           {count} x {name}" for name, count in sorted(self.answers.items())),
            f"killed     {sum(self.killed.values())} clients in {self.killed_s:.1f} s",
            *(f"           {count} x {mode}, {stage}" for (mode, stage), count in sorted(self.killed.items())),
            f"memory     {self.before_bytes / _MIB:.1f} MiB before, {self.after_bytes / _MIB:.1f} MiB after",
            *(f"PROBLEM    {problem}" for problem in self.problems),
            "FAILED" if self.problems else "PASSED: it serves, the pool is empty, no region is held",
        ]
        return "\n".join(lines)
