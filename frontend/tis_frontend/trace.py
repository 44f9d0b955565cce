"""Traces of single requests: which requests are traced, and when what happened to them, in Triton's names.

Each frontend counts requests for itself, so that none has to ask another: of the requests that one frontend gets under a
setting, every rate-th is traced. Over all frontends together that is one in `rate` as well. How many traces are kept in
all is decided by the supervisor, to which finished ones go, a moment's worth at once.

There is a `Tracer` only while some setting asks for traces; without it a request costs one look at an attribute.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from tis.contracts import messages as m
from tis.contracts.model_spec import ModelSpec
from tis_frontend.request_trace import RequestTrace

if TYPE_CHECKING:
    # Only who exports spans has what it takes.
    from tis_frontend.spans import Spans

Send = Callable[[tuple[m.Trace, ...]], None]
#: Names and values of a request's headers, or of a call's metadata.
Headers = Iterable[tuple[str | bytes, str | bytes]]

#: How long finished traces wait for others to leave with.
_GATHER_S: Final = 0.05
_MOST_GATHERED: Final = 100
_MOST_GATHERED_CHARACTERS: Final = 1 << 20


class _Sampler:
    """One setting, and how many requests have come under it."""

    def __init__(self, settings: dict[str, tuple[str, ...]]) -> None:
        self.settings = settings
        self.levels = settings["trace_level"]
        self._rate = int(settings["trace_rate"][0])
        self._count = int(settings["trace_count"][0])
        #: True where spans are exported: then a request of a client's trace is traced whatever rate and count are.
        self._spans = settings["trace_mode"] == ("opentelemetry",)
        on = self.levels != ("OFF",)
        #: A level without a file or a rate traces nothing, as in Triton, whose command line takes one.
        self._sampling = on and self._count != 0 and self._rate > 0 and (self._spans or settings["trace_file"] != ("",))
        self.active = self._sampling or (on and self._spans)
        #: What is left of the count, where it is the frontend that sees to it; below 0 for no end.
        self._left = self._count if self._spans else -1
        self.seen = 0

    @property
    def counts(self) -> bool:
        """True where the supervisor is to be told of each request that is taken."""
        return self._spans and self._count >= 0

    def take(self) -> bool:
        """True for every rate-th request."""
        if not self._sampling:
            return False
        self.seen += 1
        if self.seen % self._rate or not self._left:
            return False
        self._left = max(self._left - 1, -1)
        return True

    def goes_on_from(self, before: "_Sampler") -> None:
        """Count on, unless somebody has changed the setting; that traces use its count up is no change."""
        if self.settings | {"trace_count": ()} == before.settings | {"trace_count": ()}:
            self.seen = before.seen
            if 0 <= self._left <= before._count:  # noqa: SLF001 - it is one of these, too
                # What has been taken since may not have been counted yet.
                self._left = min(self._left, before._left)  # noqa: SLF001


class Tracer:
    """What is traced in this frontend. With `spans` finished traces are exported, else they go to the supervisor."""

    def __init__(self, send: Send, spans: "Spans | None" = None) -> None:
        self._send = send
        self._spans = spans
        self._samplers: dict[str, _Sampler] = {}
        self._gathered: list[m.Trace] = []
        self._gathered_characters = 0
        self._sending: asyncio.TimerHandle | None = None
        #: Traces whose compute times have not come, by the number of their request.
        self.awaiting: dict[int, RequestTrace] = {}

    def replace(self, changed: m.TraceChanged) -> bool:
        """Take over newer settings; False where they ask for no traces at all."""
        before, self._samplers = self._samplers, {model: _Sampler(each) for model, each in changed.settings.items()}
        for model, sampler in self._samplers.items():
            if model in before:
                sampler.goes_on_from(before[model])
        active = any(sampler.active for sampler in self._samplers.values())
        if not active:
            # Nobody listens for the times of these any more, and nobody would keep their traces.
            self.awaiting.clear()
        return active

    def sample(self, spec: ModelSpec, face: str, arrival_ns: int, headers: Headers = ()) -> RequestTrace | None:
        """The trace of a request that has been read, where it is to be traced; `face` is HTTP or GRPC."""
        setting = spec.identifier if spec.identifier in self._samplers else ""
        sampler = self._samplers.get(setting)
        if sampler is None or not sampler.active:
            return None
        taken = sampler.take()
        parent = self._spans.parent(headers) if self._spans is not None else None
        if not taken and parent is None:
            return None
        if taken and sampler.counts:
            self._gather(m.Trace(setting, spec.name, spec.version, "", (), ()))
        return RequestTrace(self, setting, sampler.levels, spec, face, arrival_ns, parent)

    def computed(self, times: m.ComputeTimes) -> None:
        """A worker says when it computed a traced request."""
        trace = self.awaiting.get(times.request_id)
        if trace is not None:
            trace.computed(times)

    def forget(self, request_id: int) -> None:
        """The client of a request has gone."""
        self.awaiting.pop(request_id, None)

    def keep(self, trace: m.Trace, parent: Any) -> None:
        """A trace is finished."""
        if self._spans is not None:
            self._spans.add(trace, parent)
        else:
            self._gather(trace)

    def _gather(self, trace: m.Trace) -> None:
        self._gathered.append(trace)
        self._gathered_characters += sum(len(tensor.data) for tensor in trace.tensors)
        if len(self._gathered) >= _MOST_GATHERED or self._gathered_characters >= _MOST_GATHERED_CHARACTERS:
            self.flush()
        elif self._sending is None:
            self._sending = asyncio.get_running_loop().call_later(_GATHER_S, self.flush)

    def flush(self) -> None:
        """Send what has been finished."""
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None
        if self._gathered:
            gathered, self._gathered = self._gathered, []
            self._gathered_characters = 0
            self._send(tuple(gathered))

    def close(self) -> None:
        """The process ends: what has been answered is finished without what has not come."""
        for trace in list(self.awaiting.values()):
            trace.close()
        self.flush()
        if self._spans is not None:
            self._spans.close()
