"""What is asked of the models of the chaos run. Every request has values of its own, so that no answer passes for another."""

from dataclasses import dataclass
from random import Random
from typing import Final

import numpy as np

from tools.soak_chaos.models import CHANGING, ECHO, ENSEMBLE, FATAL, LARGE, NEWCOMER, PYTHON
from tools.soak_mixed.asks import Ask, pair, pairs_of

_MOST_ITEMS: Final = 3
_LARGE_ELEMENTS: Final = (4_000, 64_000)
#: Of a request of those that fill the pool: 4 MiB.
_HUGE_ELEMENTS: Final = 512 << 10


class Generations:
    """Which generations of the model that changes may answer."""

    def __init__(self) -> None:
        #: The oldest that may still answer requests sent from now on; the newest that has begun to be written.
        self.oldest = 0
        self.newest = 0
        #: The newest that has answered.
        self.seen = 0


@dataclass(frozen=True, slots=True)
class LongAsk(Ask):
    """A request without batches, to the model that takes any length."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the input."""
        return (len(self.data) // 8,)


@dataclass(frozen=True, slots=True)
class ChangingAsk(Ask):
    """A request to the model that changes: any generation between the oldest at its sending and the newest now is right."""

    generations: Generations | None = None
    oldest: int = 0

    def is_right(self, outputs: tuple[bytes, ...]) -> bool:
        """As `Ask` says."""
        if self.generations is None or len(outputs) != 1 or len(outputs[0]) != len(self.data):
            return False
        added = {
            got - sent
            for given, answer in zip(pairs_of(self.data), pairs_of(outputs[0]), strict=True)
            for sent, got in zip(given, answer, strict=True)
        }
        (generation, *others) = added
        right = not others and self.oldest <= generation <= self.generations.newest
        if right:
            self.generations.seen = max(self.generations.seen, generation)
        return right


def _pairs(number: int, random: Random) -> list[tuple[int, int]]:
    return [(number, -item) for item in range(random.randrange(_MOST_ITEMS) + 1)]


def _negated(model: str, number: int, random: Random) -> Ask:
    rows = _pairs(number, random)
    data = b"".join(pair(*row) for row in rows)
    return Ask(model, data, (b"".join(pair(-first, -second) for first, second in rows),), len(rows))


def echo(number: int, random: Random) -> Ask:
    """A small request."""
    rows = _pairs(number, random)
    data = b"".join(pair(*row) for row in rows)
    return Ask(ECHO, data, (data,), len(rows))


def scripted(number: int, random: Random) -> Ask:
    """To the Python model."""
    return _negated(PYTHON, number, random)


def chained(number: int, random: Random) -> Ask:
    """To the ensemble."""
    return _negated(ENSEMBLE, number, random)


def large(number: int, random: Random) -> Ask:
    """Some hundred kilobytes."""
    return _long(number, random.randrange(*_LARGE_ELEMENTS))


def huge(number: int, random: Random) -> Ask:  # noqa: ARG001 - all makers have one form
    """Some megabytes."""
    return _long(number, _HUGE_ELEMENTS)


def _long(number: int, elements: int) -> Ask:
    data = (np.arange(elements, dtype=np.int64) + (number << 20)).tobytes()
    return LongAsk(LARGE, data, (data,))


def changing(generations: Generations, number: int, random: Random) -> Ask:
    """To the model that changes."""
    rows = _pairs(number, random)
    return ChangingAsk(
        CHANGING,
        b"".join(pair(*row) for row in rows),
        (),
        len(rows),
        generations=generations,
        oldest=generations.oldest,
    )


def fatal(number: int) -> Ask:
    """The Python model does not survive this one."""
    return Ask(PYTHON, pair(number, FATAL), ())


def newcomer(number: int) -> Ask:
    """To a model that was not there before."""
    return Ask(NEWCOMER, pair(number, 0), (pair(number, 0),))
