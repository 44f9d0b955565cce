"""Trace settings: the global ones and those of single models, which follow the global ones where they say nothing.

A level other than OFF needs a file, which only the command line can name, and does not yet: so a client that asks for
traces is refused, in Triton's words.
"""

from collections.abc import Callable
from typing import Final

from tis.contracts import messages as m
from tis.errors import invalid

TraceSettings = dict[str, tuple[str, ...]]

#: What holds where nobody has said anything, in the order in which Triton shows it.
DEFAULTS: Final[TraceSettings] = {
    "trace_level": ("OFF",),
    "trace_rate": ("1000",),
    "trace_count": ("-1",),
    "log_frequency": ("0",),
    "trace_file": ("",),
    "trace_mode": ("triton",),
}


class TraceKeeper:
    """The trace settings of now, and the call that changes them."""

    def __init__(self, publish: Callable[[m.Message], None]) -> None:
        self._publish = publish
        self._global: TraceSettings = {}
        #: What models have been given of their own, by name.
        self._own: dict[str, TraceSettings] = {}

    def change(self, call: m.ChangeTrace) -> None:
        """Put a change into force.

        Raises:
            TisError: INVALID_ARG where the settings would contradict each other.
        """
        before = self._own.get(call.model, {}) if call.model else self._global
        after = {name: value for name, value in before.items() if name not in call.settings}
        after |= {name: value for name, value in call.settings.items() if value is not None}
        if call.model:
            _check(DEFAULTS | self._global | after)
            self._own[call.model] = after
            if not after:
                del self._own[call.model]
        else:
            _check(DEFAULTS | after)
            self._global = after
        self._publish(self.message())

    def message(self) -> m.TraceChanged:
        """All settings, for frontends."""
        everywhere = DEFAULTS | self._global
        return m.TraceChanged({"": everywhere} | {model: everywhere | own for model, own in self._own.items()})


def _check(settings: TraceSettings) -> None:
    if settings["trace_level"] == ("OFF",):
        return
    if settings["trace_rate"] == ("0",):
        raise invalid("Attempting to set invalid trace setting :sample rate must be non-zero")
    if settings["trace_file"] == ("",):
        raise invalid("Attempting to set invalid trace setting :trace file name is not given")
