"""What is wrong with a config, and in which field: an error that also says what was expected there.

A field is spelled as a path: `dynamic_batching.preferred_batch_size[2]`, `parameters["name"].string_value`. Where it stands
in the file, `tis.config.source` knows. Checks yield their faults, so that one who loads stops at the first and one who checks
a repository sees them all.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

from tis.errors import Code, TisError


class Place(NamedTuple):
    """A place in a config file; line and column from 1, 0 where only the file is known."""

    path: Path | str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else str(self.path)


class ConfigFault(TisError):  # noqa: N818 - it is what the operator's config has
    """A fault of one field of a config. The text is complete in itself; the rest is for those who sort and point."""

    def __init__(
        self,
        field: str,
        words: str,
        *,
        expected: str = "",
        code: Code = Code.INVALID_ARG,
        place: Place | None = None,
        message: str = "",
        given: str = "",
    ) -> None:
        super().__init__(code, message or words)
        self.field = field
        #: The text without the place.
        self.words = words
        #: What may stand there, in a few words; empty where the text says it better.
        self.expected = expected
        #: None where it has not been looked up.
        self.place = place
        #: What is written there; empty for nothing, and where the place has not been looked up.
        self.given = given


Faults: TypeAlias = Iterator[ConfigFault]
#: What is done with a fault: raise it, or keep it and return.
Report: TypeAlias = Callable[[TisError], None]


def raise_it(fault: TisError) -> None:
    """The report of one who loads: the first fault ends it."""
    raise fault


def tell(faults: Iterable[TisError], report: Report) -> None:
    """Report each fault; where a report raises, the rest is not looked for."""
    for fault in faults:
        report(fault)


def at_key(field: str, key: object) -> str:
    """The path of a map's entry."""
    return f"{field}[{json.dumps(str(key), ensure_ascii=False)}]"
