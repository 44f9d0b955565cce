"""A config file as a tree of entries that know their lines, the same for protobuf text, JSON and YAML."""

from bisect import bisect_right
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, TypeAlias

#: Deeper nesting than any config has is refused, before it exhausts the stack.
DEEPEST: Final = 64
#: More values than any config has: YAML's aliases can make very many out of few lines.
MOST_VALUES: Final = 1_000_000


class Kind(Enum):
    """What a scalar was written as."""

    STRING = auto()
    NUMBER = auto()
    BOOL = auto()
    NULL = auto()
    #: A bare word of protobuf text: an enum's value, `true`, `inf`.
    WORD = auto()


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value."""

    kind: Kind
    #: As it was written, for showing.
    text: str
    #: What it means, for JSON and YAML.
    value: str | int | float | bool | None
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Many:
    """A list."""

    items: "tuple[Value, ...]"
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Block:
    """Fields with their values, in their order; a name may come again."""

    entries: "tuple[Entry, ...]"
    line: int
    column: int


Value: TypeAlias = Scalar | Many | Block


@dataclass(frozen=True, slots=True)
class Entry:
    """A field with its value."""

    name: str
    value: Value
    #: Where the name stands; from 1.
    line: int
    column: int
    #: The part of the text that it takes, its separator included; 0 where it is not needed.
    start: int = 0
    end: int = 0


class TreeError(Exception):
    """The text is no such tree."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


@dataclass(frozen=True)
class Lines:
    """Which line and column an offset into a text is in."""

    text: str
    starts: list[int] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.starts.extend([0, *(at + 1 for at, letter in enumerate(self.text) if letter == "\n")])

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column, both from 1."""
        line = bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1] + 1
