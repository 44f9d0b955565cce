"""What a scenario is: a script against models whose behaviour in time matters, and the outcome that is compared."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.conformance.scenarios.stage import Outcome, Stage

Script = Callable[[Stage], Awaitable[Any]]


@dataclass(frozen=True)
class Scenario:
    """A script and the models that it needs for itself, the first of which is the one that it mostly asks."""

    name: str
    models: tuple[str, ...]
    script: Script
    server: str = "open"


class Scenarios(list[Scenario]):
    """The scenarios of a file."""

    def __init__(self, server: str = "open") -> None:
        super().__init__()
        self._server = server

    def add(self, name: str, *models: str) -> Callable[[Script], Script]:
        """Makes a script a scenario."""

        def register(script: Script) -> Script:
            self.append(Scenario(name, models, script, self._server))
            return script

        return register


async def all_told(stage: Stage, ended: int) -> Outcome:
    """The executions in order, what all requests ended in, and what was counted."""
    answers = await stage.answers()
    return {"batches": stage.batches(), "answers": answers, "counts": await stage.counts(ended)}
