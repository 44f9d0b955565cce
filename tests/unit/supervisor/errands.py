"""Errands that a test has done when it wants them to be: no threads, no loop."""

from collections.abc import Callable
from typing import TypeVar

from tis.supervisor.errands import Errands

T = TypeVar("T")


class SteppedErrands(Errands):
    """Keeps what is to be done until it is told."""

    def __init__(self) -> None:
        super().__init__(lambda callback: callback())
        self.open: list[Callable[[], None]] = []

    def run(self, work: Callable[[], T], done: Callable[[T], None]) -> None:
        self.open.append(lambda: done(work()))

    def step(self) -> None:
        """Do the first of what is to be done."""
        self.open.pop(0)()

    def finish(self) -> None:
        """Do everything, and what comes of it."""
        while self.open:
            self.step()
