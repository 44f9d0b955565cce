"""What is asked of the models of the mixed soak, and what the right answer is."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Final

from tools.soak_mixed.models import FAILS, LEVELS

_PAIR: Final = struct.Struct("<qq")
_INT32: Final = struct.Struct("<i")
#: So many different requests to the cached model, so that most are answered from the cache.
_DIFFERENT: Final = 64
_MOST_ITEMS: Final = 3

Parameters = Mapping[str, int | bool | str]


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to a model with one input, and its right answer: the data of each output in order."""

    model: str
    data: bytes
    expected: tuple[bytes, ...]
    items: int = 1
    datatype: str = "INT64"
    input: str = "INPUT0"
    outputs: tuple[str, ...] = ("OUTPUT0",)
    parameters: Parameters = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the input."""
        return (self.items, 2 if self.datatype == "INT64" else 1)

    def is_right(self, outputs: tuple[bytes, ...]) -> bool:
        """Whether an answer with these outputs, just come, is the right one."""
        return outputs == self.expected


def pair(first: int, second: int) -> bytes:
    """An item of most models."""
    return _PAIR.pack(first, second)


def pairs_of(data: bytes) -> list[tuple[int, int]]:
    """The items of a tensor."""
    return [(first, second) for first, second in _PAIR.iter_unpack(data)]


def bounded(number: int, random: Random) -> Ask:
    """Of any priority; some may wait for hardly any time."""
    items = random.randrange(_MOST_ITEMS) + 1
    data = b"".join(pair(number, -item) for item in range(items))
    parameters: dict[str, int] = {}
    if random.random() < 0.5:
        parameters["priority"] = random.randrange(LEVELS + 2)
    if random.random() < 0.3:
        parameters["timeout"] = random.choice((1, 300, 1000, 5000, 50_000))
    return Ask("bounded", data, (data,), items, parameters=parameters)


def ordered(number: int, random: Random) -> Ask:
    """Takes a few milliseconds, or fails."""
    if random.random() < 0.02:
        return Ask("ordered", pair(number, FAILS), ())
    pause_ms = random.choice((0, 0, 0, 1, 2, 5))
    return Ask("ordered", pair(number, pause_ms), (pair(number + 1, pause_ms),))


def both(number: int, random: Random) -> Ask:
    """To the ensemble."""
    items = random.randrange(_MOST_ITEMS) + 1
    rows = [(number, -item) for item in range(items)]
    data, thrice = (b"".join(pair(first * factor, second * factor) for first, second in rows) for factor in (1, 3))
    return Ask("both", data, (data, thrice), items, outputs=("OUTPUT0", "OUTPUT1"))


def cached(number: int, random: Random) -> Ask:  # noqa: ARG001 - all makers have one form
    """One of a few."""
    data = pair(random.randrange(_DIFFERENT), 0)
    return Ask("cached", data, (data,))


def stepping(number: int, random: Random) -> Ask:
    """Is executed several times."""
    data = pair(number, random.randrange(4) + 1)
    return Ask("stepping", data, (data,))


#: Requests that stand for themselves.
MAKERS: Final = {each.__name__: each for each in (bounded, ordered, both, cached, stepping)}


def in_sequence(model: str, sequence: int, value: int, total: int, *, start: bool, end: bool) -> Ask:
    """A step of a sequence; `total` is what the sequence adds up to with it."""
    parameters = {"sequence_id": sequence, "sequence_start": start, "sequence_end": end}
    if model == "summing":
        packed = _INT32.pack(value)
        return Ask(model, packed, (_INT32.pack(total),), 1, "INT32", "INPUT", ("SUM",), parameters)
    return Ask(model, pair(value, 0), (pair(total, sequence),), parameters=parameters)


def talking(number: int, count: int) -> Ask:
    """So many responses."""
    return Ask("talking", pair(number, count), tuple(pair(number, each) for each in range(count)))
