"""A request that is traced: what happened to it and when, in Triton's names, and what its tensors were."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from tis.contracts import messages as m
from tis.contracts.inference import Answer
from tis.contracts.model_spec import ModelSpec
from tis.contracts.plan import Plan
from tis_frontend.traced_tensors import TracedTensors, View

Deliver = Callable[[Answer], None]

#: How long the times of a worker are waited for once the answer has left.
_TIMES_DEADLINE_S: Final = 1.0

#: Names of what a face does, by the face: reading and writing.
_READ: Final = {"HTTP": "HTTP_RECV", "GRPC": "GRPC_WAITREAD", "ZMQ": "ZMQ_RECV"}
_SEND: Final = {"HTTP": "HTTP_SEND", "GRPC": "GRPC_SEND", "ZMQ": "ZMQ_SEND"}


class Keeper(Protocol):
    """Where a trace is awaited and goes when it is finished."""

    #: Traces whose compute times have not come, by the number of their request.
    awaiting: "dict[int, RequestTrace]"

    def keep(self, trace: m.Trace, parent: Any) -> None:
        """A trace is finished."""


class RequestTrace:
    """A request that is traced. The face says how far it is; without an answer that has been sent it is forgotten."""

    def __init__(
        self,
        keeper: Keeper,
        setting: str,
        levels: tuple[str, ...],
        spec: ModelSpec,
        face: str,
        arrival_ns: int,
        parent: Any = None,
    ) -> None:
        self._keeper = keeper
        self._setting = setting
        self._spec = spec
        self._face = face
        self._arrival_ns = arrival_ns
        #: The span of the client that this request belongs to, where it has said so.
        self._parent = parent
        self._timed = "TIMESTAMPS" in levels
        self._tensors = TracedTensors(spec) if "TENSORS" in levels else None
        #: When the request had been read; what follows is its reading as a request for a model.
        self._read_ns = time.monotonic_ns()
        self._queued_ns = 0
        self._answered_ns = 0
        self._send_ns = 0
        self._sent_ns = 0
        self._times: m.ComputeTimes | None = None
        self._client_id: str | None = None
        self._request_id = 0

    # ---- what the core says ----------------------------------------------------------------------------------------

    def queued(self, request_id: int, plan: Plan, client_id: str, deliver: Deliver, view: View) -> Deliver:
        """The request is about to go to the scheduler; gives what its answer is to be delivered to."""
        self._request_id = request_id
        self._client_id = client_id
        self._keeper.awaiting[request_id] = self
        tensors = self._tensors
        if tensors is not None:
            tensors.add_inputs(plan, view)
        self._queued_ns = time.monotonic_ns()

        def noted(answer: Answer) -> None:
            self._answered_ns = time.monotonic_ns()
            if tensors is not None:
                tensors.add_outputs(answer.outputs, plan, view)
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
        if self._client_id is None or self._sent_ns:
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
        self._keeper.awaiting.pop(self._request_id, None)
        if self._client_id is not None:
            client_id, self._client_id = self._client_id, None
            self._keeper.keep(self._message(client_id), self._parent)

    def _message(self, client_id: str) -> m.Trace:
        return m.Trace(
            self._setting,
            self._spec.name,
            self._spec.version,
            client_id,
            self._arrival() if self._timed else (),
            self._events() if self._timed else (),
            self._tensors.pieces() if self._tensors is not None else (),
        )

    def _arrival(self) -> tuple[tuple[str, int], ...]:
        read = _READ[self._face]
        return ((f"{read}_START", self._arrival_ns), (f"{read}_END", self._read_ns))

    def _events(self) -> tuple[tuple[str, int], ...]:
        send = _SEND[self._face]
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
        return tuple(events)
