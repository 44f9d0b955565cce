"""Trace settings as this frontend knows them, and the reading of what clients want to change.

Triton also takes `5x` for 5 and -1 for 4294967295; here both are errors.
"""

import re
from typing import Final

from tis.contracts import messages as m
from tis.errors import invalid, unsupported
from tis.settings import TRACE_LEVELS

#: By name: the new value, or None to clear the setting.
TraceChanges = dict[str, tuple[str, ...] | None]

#: Lowest and highest value of each setting that is a number.
NUMBERS: Final = {
    "trace_rate": (0, (1 << 32) - 1),
    "trace_count": (-1, (1 << 31) - 1),
    "log_frequency": (0, (1 << 32) - 1),
}
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,100}", re.ASCII)


class TraceSettings:
    """All settings of now, as the supervisor last told them."""

    def __init__(self) -> None:
        self._settings: dict[str, dict[str, tuple[str, ...]]] = {"": {}}

    def replace(self, changed: m.TraceChanged) -> None:
        """Take over newer ones."""
        self._settings = changed.settings

    def of(self, model: str) -> dict[str, tuple[str, ...]]:
        """What holds for a model, or for an empty name where a model has nothing of its own."""
        return self._settings.get(model, self._settings[""])


def read_level(levels: list[str]) -> tuple[str, ...]:
    """A trace level. Names that are none count as not given, as in Triton."""
    if "OFF" in levels and len(levels) > 1:
        raise invalid("Expect only one trace level 'OFF' is specified")
    return tuple(level for level in TRACE_LEVELS if level in levels) or ("OFF",)


def read_number(name: str, text: str, got: str = "got: ") -> tuple[str, ...]:
    """A rate, count or frequency, as the text that Triton shows; `got` is how a face introduces a bad count."""
    low, high = NUMBERS[name]
    if not _INTEGER.fullmatch(text):
        raise invalid(f"Unable to parse '{name}', got: {text}")
    number = int(text)
    if name == "trace_count" and number < low:
        raise invalid(f"Unable to parse 'trace_count'. Expecting value >= -1, {got}{text}")
    if not low <= number <= high:
        raise invalid(f"Unable to parse '{name}', value is out of range [ {low}, {high} ], got: {text}")
    return (str(number),)


def refuse_file() -> None:
    """Where traces go is the operator's to say."""
    raise unsupported("trace file location can not be updated through network protocol")
