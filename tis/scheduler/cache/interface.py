"""What every kind of response cache offers, and what it keeps."""

from enum import Enum, auto
from typing import Final, Protocol

from tis.contracts.messages import CacheMetrics, Message, OutputRef


class Entry(Message):
    """An answer: its outputs lie in `data`, at the places that they name."""

    outputs: tuple[OutputRef, ...]
    parameters: dict[str, str | int | bool | float]
    data: bytes


class Later(Enum):
    """The answer to a lookup will be among those of `completed`."""

    LATER = auto()


LATER: Final = Later.LATER

#: What a lookup is known by until it is answered.
Token = tuple[int, int]


class ResponseCache(Protocol):
    """Keeps answers by key. It never blocks, and nothing that goes wrong in it is more than a miss."""

    #: A descriptor that is readable when there is something in `completed`; -1 where lookups are answered at once.
    fd: int
    #: Answers whose data take more are not kept.
    largest_bytes: int

    def look_up(self, key: bytes, token: Token) -> Entry | Later | None:
        """The answer kept under a key; None where there is none."""

    def insert(self, key: bytes, entry: Entry) -> None:
        """Keep an answer, unless it is too large."""

    def completed(self) -> list[tuple[Token, Entry | None]]:
        """The answers to lookups that had to wait."""

    def forget(self, prefix: bytes) -> None:
        """Answers whose keys begin so will not be asked for any more."""

    def metrics(self) -> CacheMetrics | None:
        """What is counted here; None where another server counts."""

    def close(self) -> None:
        """Let go of everything."""
