"""Behaviour in time, side by side with the genuine Triton: batches, queues, sequences, ensembles and what else waits.

A scenario is a script against models written in Python, which are the same on both servers and note what they are given.
What the reference makes of it is recorded in `recorded/scenarios.json`; `differences.py` lists where this server differs on
purpose. Where the reference's answer depends on chance, a script gives what does not.
"""

from functools import cache
from typing import Final

from tests.conformance.scenarios import batching, decoupled, ensembles, limiter, ordering, queues, sequences
from tests.conformance.scenarios.scenario import Scenario

_OPEN: Final = (batching, queues, ordering, sequences, ensembles, decoupled)

#: What the servers are started with, by name: the models and the flags.
SERVERS: Final = {
    "open": ({name: config for noun in _OPEN for name, config in noun.MODELS.items()}, ()),
    "limited": (limiter.MODELS, ("--rate-limit=execution_count",)),
}


@cache
def all_scenarios() -> dict[str, Scenario]:
    """Scenarios by the noun and their name."""
    found = {}
    for noun in (*_OPEN, limiter):
        for each in noun.SCENARIOS:
            found[f"{noun.__name__.rpartition('.')[2]}/{each.name}"] = each
    return found
