"""Trace settings: the global ones and those of single models, which follow the global ones where they say nothing.

What is traced under them is counted and kept here, too: the one place that sees the traces of all frontends. So a count
is exact and numbers of traces are unique, whichever frontend served a request. A rate, though, each frontend counts for
itself (see `tis_frontend.trace`).
"""

from collections.abc import Callable
from itertools import count
from typing import Final

from tis.contracts import messages as m
from tis.errors import invalid
from tis.settings import TRACE_LEVELS
from tis.supervisor.trace_files import MOST_BUFFERED, MOST_BUFFERED_BYTES, TraceFile, rendered

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
_NAMES: Final = {
    "rate": "trace_rate",
    "count": "trace_count",
    "log-frequency": "log_frequency",
    "file": "trace_file",
    "mode": "trace_mode",
}
#: Where traces are exported as spans, by the frontends, there are no files.
_SPANS: Final = ("opentelemetry",)
_OF_FILES: Final = ("log_frequency", "trace_file")


def given(flags: tuple[tuple[str, str, str], ...]) -> TraceSettings:
    """The defaults of a server that was started with these flags, as (mode, setting, value). Levels add up; OFF wins."""
    levels = {value for _, setting, value in flags if setting == "level"}
    settings = DEFAULTS | {_NAMES[setting]: (value,) for _, setting, value in flags if setting in _NAMES}
    if levels and "OFF" not in levels:
        # In Triton's order, which is not that of the letters.
        settings["trace_level"] = tuple(level for level in TRACE_LEVELS if level in levels)
    if settings["trace_mode"] == _SPANS:
        for name in dict.fromkeys(setting for mode, setting, _ in flags if mode == "opentelemetry"):
            settings[name] = tuple(value for _, setting, value in flags if setting == name)
    return settings


class TraceKeeper:
    """The trace settings of now, the call that changes them, and the traces that were taken under them."""

    def __init__(self, publish: Callable[[m.Message], None], defaults: TraceSettings = DEFAULTS) -> None:
        self._publish = publish
        self._defaults = defaults
        self._global: TraceSettings = {}
        #: What models have been given of their own, by name.
        self._own: dict[str, TraceSettings] = {}
        #: How many traces a setting still takes, by model; only where traces have been taken under a limit.
        self._left: dict[str, int] = {}
        #: Traces that wait for their file to be complete, by model.
        self._waiting: dict[str, list[bytes]] = {}
        self._waiting_bytes: dict[str, int] = {}
        self._files: dict[str, TraceFile] = {}
        self._numbers = count(1)

    def change(self, call: m.ChangeTrace) -> None:
        """Put a change into force.

        Raises:
            TisError: INVALID_ARG where the settings would contradict each other.
        """
        before = self._own.get(call.model, {}) if call.model else self._global
        after = {name: value for name, value in before.items() if name not in call.settings}
        after |= {name: value for name, value in call.settings.items() if value is not None}
        _check(self._defaults | (self._global | after if call.model else after))
        for model in [call.model] if call.model else list(self._waiting):
            self._write(model)
        if "trace_count" in call.settings:
            self._restart_count(call.model)
        if call.model:
            self._own[call.model] = after
            if not after:
                del self._own[call.model]
                self._left.pop(call.model, None)
        else:
            self._global = after
        self._publish(self.message())

    def _restart_count(self, model: str) -> None:
        followers = [each for each in self._left if "trace_count" not in self._own.get(each, {})]
        for each in [model] if model else ["", *followers]:
            self._left.pop(each, None)

    def message(self) -> m.TraceChanged:
        """All settings, for frontends. A count is what is left of it, as in Triton."""
        return m.TraceChanged({model: self._of(model) for model in ("", *self._own)})

    def _of(self, model: str) -> TraceSettings:
        settings = self._defaults | self._global | self._own.get(model, {})
        if model in self._left:
            settings["trace_count"] = (str(self._left[model]),)
        if settings["trace_mode"] == _SPANS:
            return {name: value for name, value in settings.items() if name not in _OF_FILES}
        return settings

    # ---- traces ----------------------------------------------------------------------------------------------------

    def collect(self, call: m.Traces) -> bool:
        """Keep traces, as far as the settings still want them. True, as this needs no reply."""
        counted = False
        for trace in call.traces:
            model = trace.setting if trace.setting in self._own else ""
            settings = self._of(model)
            left = int(settings["trace_count"][0])
            if settings["trace_level"] == ("OFF",) or not left:
                continue
            if left > 0:
                self._left[model] = left = left - 1
                counted = True
            if settings["trace_mode"] == _SPANS:
                continue
            piece = rendered(next(self._numbers), trace)
            waiting = self._waiting.setdefault(model, [])
            # A request of level TENSORS all of whose tensors are empty leaves nothing, but it counts.
            waiting += [piece] if piece else []
            size_bytes = self._waiting_bytes[model] = self._waiting_bytes.get(model, 0) + len(piece)
            frequency = int(settings["log_frequency"][0])
            if not left or len(waiting) >= (frequency or MOST_BUFFERED) or size_bytes > MOST_BUFFERED_BYTES:
                self._write(model, full=left >= 0 or frequency > 0)
            elif left < 0 and not frequency:
                self._write(model)
        if counted:
            self._publish(self.message())
        return True

    def _write(self, model: str, *, full: bool = False) -> None:
        """Write what waits: to a numbered file where it is full, or where all files of this setting have numbers."""
        traces = self._waiting.pop(model, [])
        self._waiting_bytes.pop(model, None)
        if not traces:
            return
        settings = self._of(model)
        path = settings["trace_file"][0]
        file = self._files.setdefault(path, TraceFile(path))
        if full or settings["log_frequency"] != ("0",):
            file.write_numbered(traces)
        else:
            file.append(traces)

    def close(self) -> None:
        """Nothing more will come: write what waits."""
        for model in list(self._waiting):
            self._write(model)
        for file in self._files.values():
            file.close()


def _check(settings: TraceSettings) -> None:
    if settings["trace_level"] == ("OFF",):
        return
    if settings["trace_rate"] == ("0",):
        raise invalid("Attempting to set invalid trace setting :sample rate must be non-zero")
    if settings["trace_file"] == ("",) and settings["trace_mode"] != _SPANS:
        raise invalid("Attempting to set invalid trace setting :trace file name is not given")
