"""What is wrong with a config, and in which field: an error that also says what was expected there.

A field is spelled as a path: `dynamic_batching.preferred_batch_size[2]`, `parameters["name"].string_value`. Where it stands
in the file, `tis.config.source` knows. Checks yield their faults, so that one who loads stops at the first and one who checks
a repository sees them all.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

from tis.config.proto import Message, is_map, is_repeated
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


def raised(config: Message, field: str, check: Callable[[], None]) -> Iterator[TisError]:
    """The first fault of a check that raises it; its place is a value below `field` that the text quotes, or `field`."""
    try:
        check()
    except ConfigFault as fault:
        yield fault
    except TisError as error:
        quoted = (path for path, value in _texts(config, "", field) if f"'{value}'" in error.message)
        # What is called so is at fault, not its name.
        yield ConfigFault(next(quoted, field).removesuffix(".name"), error.message, code=error.code)


def _texts(message: Message, prefix: str, below: str) -> Iterator[tuple[str, str]]:
    """Every text in a message with its path; of a path that is given, what is below that only."""
    for field, value in message.ListFields():
        path = prefix + field.name
        if not f"{path}.".startswith(f"{below}.") and not f"{below}.".startswith(f"{path}.") and below:
            continue
        if is_map(field):
            items = [(at_key(path, key), value[key]) for key in value]
        elif is_repeated(field):
            items = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
        else:
            items = [(path, value)]
        for at, item in items:
            if field.message_type is None or isinstance(item, str):
                if isinstance(item, str) and (prefix or field.name not in ("name", "platform", "backend")):
                    yield at, item
            elif hasattr(item, "ListFields"):
                yield from _texts(item, f"{at}.", "")
