"""What a mixed soak does."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """The size of a mixed soak, and what goes wrong on purpose."""

    requests: int = 100_000
    frontends: int = 2
    #: Clients of each kind; see `clients.py`.
    clients: int = 4
    #: Mean time between kills in seconds; 0 for none.
    kills_every_s: float = 10.0
    #: Whom to kill: `worker`, `frontend` or both.
    victims: tuple[str, ...] = ("worker",)
    #: The share of requests, sequences and streams that are given up.
    cancelled: float = 0.03
    #: Mean time between loads of models that are loaded already and whose files have changed; 0 for none.
    reloads_every_s: float = 0.0
    seed: int = 0
