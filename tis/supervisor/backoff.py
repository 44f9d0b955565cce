"""When to start a process again after it died: pure arithmetic on the times of its deaths."""

import random
from dataclasses import dataclass
from typing import Final

FIRST_DELAY_S: Final = 0.1
LONGEST_DELAY_S: Final = 30.0
#: A process that has done its work for this long died of something new.
STABLE_AFTER_S: Final = 10.0
#: Deaths in a row, each sooner than that, after which no more restarts are tried.
MOST_DEATHS: Final = 6
_JITTER: Final = 0.2


@dataclass(slots=True)
class Backoff:
    """The restarts of one process's place."""

    deaths: int = 0

    def forgive(self) -> None:
        """What comes is not its own fault: somebody has killed it for what one request made it do."""
        self.deaths = 0

    def died(self, worked_s: float) -> float | None:
        """Seconds until the next start, where the process had done its work for so long.

        None where it keeps dying and must not be started again by itself.
        """
        self.deaths = 1 if worked_s >= STABLE_AFTER_S else self.deaths + 1
        if self.deaths > MOST_DEATHS:
            return None
        delay_s: float = min(FIRST_DELAY_S * 2.0 ** (self.deaths - 1), LONGEST_DELAY_S)
        return delay_s * (1 + _JITTER * random.random())  # noqa: S311 - spreading restarts, not keeping secrets
