"""What goes wrong in a chaos run and in which order: decks of incidents, shuffled by the seed. No processes, no clocks."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

#: Kinds of process.
WORKER: Final = "worker"
SCHEDULER: Final = "scheduler"
FRONTEND: Final = "frontend"
PROCESSES: Final = (WORKER, SCHEDULER, FRONTEND)

#: What is done to processes: SIGKILL; SIGSTOP for ever, which the server's own watch has to end; SIGSTOP and SIGCONT in time.
KILL: Final = "kill"
STOP: Final = "stop"
PAUSE: Final = "pause"
#: SIGKILL to one of each kind, or to all workers, in one moment; a worker that falls over by itself.
KILL_MANY: Final = "kill many"
SEGFAULT: Final = "segfault"

#: What is done to everything else.
RELOAD: Final = "reload"
HALF_MODEL: Final = "half a model"
BROKEN_CONFIG: Final = "broken config"
FULL_DISK: Final = "full disk"
FULL_POOL: Final = "full pool"
VANISH: Final = "clients vanish"

#: One after the other, each when the one before is over. More than once for what there should be more of.
DEATHS: Final = (
    *(f"{KILL} {each}" for each in (WORKER, WORKER, WORKER, SCHEDULER, FRONTEND, FRONTEND)),
    *(f"{STOP} {each}" for each in PROCESSES),
    *(f"{PAUSE} {each}" for each in PROCESSES),
    *(KILL_MANY, SEGFAULT),
)
#: Beside these.
TROUBLES: Final = (RELOAD, RELOAD, HALF_MODEL, BROKEN_CONFIG, FULL_DISK, FULL_POOL, FULL_POOL, VANISH, VANISH)
#: Rows of the plot and of the report, in their order.
KINDS: Final = tuple(dict.fromkeys((*DEATHS, *TROUBLES)))
#: In `explicit`, models are loaded by calls; in `poll`, because their files have changed.
EXPLICIT: Final = "explicit"
POLL: Final = "poll"


@dataclass(frozen=True)
class Plan:
    """The size of a chaos run."""

    #: Of chaos, in each mode of model control; warming up, pausing and stopping come on top.
    seconds: tuple[tuple[str, float], ...] = ((EXPLICIT, 120.0), (POLL, 60.0))
    frontends: int = 2
    #: How many times the clients of `clients.py`.
    clients: int = 1
    #: Under load before the first measure.
    warm_s: float = 5.0
    #: Calm between one death and the next, and one trouble and the next, at the least and at the most.
    calm_s: tuple[float, float] = (0.5, 2.0)
    deaths: tuple[str, ...] = DEATHS
    troubles: tuple[str, ...] = TROUBLES
    seed: int = 0


def shuffled(deck: tuple[str, ...], rng: random.Random) -> Iterator[str]:
    """Without end, all of a deck in a random order, then all of it in another: no kind stays away for long."""
    while deck:
        yield from rng.sample(deck, len(deck))
