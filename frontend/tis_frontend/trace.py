"""Traces of single requests: which requests are traced, and when what happened to them, in Triton's names.

Each frontend counts requests for itself, so that none has to ask another: of the requests that one frontend gets under a
setting, every rate-th is traced. Over all frontends together that is one in `rate` as well. How many traces are kept in
all is decided by the supervisor, to which finished ones go, a moment's worth at once.

There is a `Tracer` only while some setting asks for traces; without it a request costs one look at an attribute.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from tis.contracts import messages as m
from tis.contracts.inference import Answer
from tis_frontend.plan import Plan

Send = Callable[[tuple[m.Trace, ...]], None]
Deliver = Callable[[Answer], None]

#: How long finished traces wait for others to leave with.
_GATHER_S: Final = 0.05
#: How long the times of a worker are waited for once the answer has left.
_TIMES_DEADLINE_S: Final = 1.0
_MOST_GATHERED: Final = 100

#: Names of what a face does, by the face: reading and writing.
_READ: Final = {"HTTP": "HTTP_RECV", "GRPC": "GRPC_WAITREAD"}
_SEND: Final = {"HTTP": "HTTP_SEND", "GRPC": "GRPC_SEND"}


class RequestTrace:
    """A request that is traced. The face says how far it is; without an answer that has been sent it is forgotten."""

    def __init__(self, tracer: "Tracer", setting: str, face: str, arrival_ns: int) -> None:
        self._tracer = tracer
        self._setting = setting
        self._face = face
        self._arrival_ns = arrival_ns
        #: When the request had been read; what follows is its reading as a request for a model.
        self._read_ns = time.monotonic_ns()
        self._queued_ns = 0
        self._answered_ns = 0
        self._send_ns = 0
        self._sent_ns = 0
        self._times: m.ComputeTimes | None = None
        self._plan: Plan | None = None
        self._client_id = ""
        self._request_id = 0

    # ---- what the core says ----------------------------------------------------------------------------------------

    def queued(self, request_id: int, plan: Plan, client_id: str, deliver: Deliver) -> Deliver:
        """The request is about to go to the scheduler; gives what its answer is to be delivered to."""
        self._request_id = request_id
        self._plan = plan
        self._client_id = client_id
        self._tracer.awaiting[request_id] = self
        self._queued_ns = time.monotonic_ns()

        def noted(answer: Answer) -> None:
            self._answered_ns = time.monotonic_ns()
            deliver(answer)

        return noted

    def computed(self, times: m.ComputeTimes) -> None:
        """The worker has said when it computed the request."""
        self._times = times
        if self._sent_ns:
            self._finish()

    # ---- what the face says ----------------------------------------------------------------------------------------

    def sending(self) -> None:
        """The response is written and about to go to the transport."""
        self._send_ns = time.monotonic_ns()

    def sent(self) -> None:
        """The transport has the response."""
        if self._plan is None or self._sent_ns:
            # It was refused before it was a request.
            return
        self._sent_ns = time.monotonic_ns()
        if self._times is not None:
            self._finish()
        else:
            # They follow the reply closely, unless the request never came to a worker or the worker has died.
            asyncio.get_running_loop().call_later(_TIMES_DEADLINE_S, self._finish)

    def close(self) -> None:
        """Nothing more will come."""
        if self._sent_ns:
            self._finish()

    def _finish(self) -> None:
        self._tracer.awaiting.pop(self._request_id, None)
        if self._plan is not None:
            plan, self._plan = self._plan, None
            self._tracer.keep(self._message(plan))

    def _message(self, plan: Plan) -> m.Trace:
        read, send = _READ[self._face], _SEND[self._face]
        events = [("REQUEST_START", self._read_ns), ("QUEUE_START", self._queued_ns)]
        if self._times is not None:
            events += [
                ("COMPUTE_START", self._times.start_ns),
                ("COMPUTE_INPUT_END", self._times.input_end_ns),
                ("COMPUTE_OUTPUT_START", self._times.output_start_ns),
                ("COMPUTE_END", self._times.end_ns),
            ]
        events += [
            ("INFER_RESPONSE_COMPLETE", self._answered_ns),
            ("REQUEST_END", self._answered_ns),
            (f"{send}_START", self._send_ns or self._sent_ns),
            (f"{send}_END", self._sent_ns),
        ]
        return m.Trace(
            self._setting,
            plan.model,
            plan.version,
            self._client_id,
            ((f"{read}_START", self._arrival_ns), (f"{read}_END", self._read_ns)),
            tuple(events),
        )


class _Sampler:
    """One setting, and how many requests have come under it."""

    def __init__(self, settings: dict[str, tuple[str, ...]]) -> None:
        self.settings = settings
        self._rate = int(settings["trace_rate"][0])
        #: A level without a file or a rate traces nothing, as in Triton, whose command line takes one.
        self.active = (
            settings["trace_level"] != ("OFF",)
            and settings["trace_file"] != ("",)
            and settings["trace_count"] != ("0",)
            and self._rate > 0
        )
        self.seen = 0

    def take(self) -> bool:
        """True for every rate-th request."""
        if not self.active:
            return False
        self.seen += 1
        return self.seen % self._rate == 0

    def goes_on_from(self, before: "_Sampler") -> None:
        """Count on, unless somebody has changed the setting; that traces use its count up is no change."""
        if self.settings | {"trace_count": ()} == before.settings | {"trace_count": ()}:
            self.seen = before.seen


class Tracer:
    """What is traced in this frontend."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._samplers: dict[str, _Sampler] = {}
        self._gathered: list[m.Trace] = []
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

    def sample(self, model: str, face: str, arrival_ns: int) -> RequestTrace | None:
        """The trace of a request that has been read, where it is to be traced; `face` is HTTP or GRPC."""
        setting = model if model in self._samplers else ""
        sampler = self._samplers.get(setting)
        if sampler is None or not sampler.take():
            return None
        return RequestTrace(self, setting, face, arrival_ns)

    def computed(self, times: m.ComputeTimes) -> None:
        """A worker says when it computed a traced request."""
        trace = self.awaiting.get(times.request_id)
        if trace is not None:
            trace.computed(times)

    def forget(self, request_id: int) -> None:
        """The client of a request has gone."""
        self.awaiting.pop(request_id, None)

    def keep(self, trace: m.Trace) -> None:
        """A trace is finished."""
        self._gathered.append(trace)
        if len(self._gathered) >= _MOST_GATHERED:
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
            self._send(tuple(gathered))

    def close(self) -> None:
        """The process ends: what has been answered is finished without what has not come."""
        for trace in list(self.awaiting.values()):
            trace.close()
        self.flush()
