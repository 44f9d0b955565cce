"""The access log: one line a request, with what it asked for, how it ended and how long its parts took.

Each frontend gathers lines for a moment and appends them to the file as one write. For an inference request the worker says
when it computed, in a message that follows the reply (the one that traces use); its line waits for that, for a second at
most. Without `--access-log` none of this is there: protocols and handlers are those that know of no log.
"""

import asyncio
import json
import time
from collections import deque
from contextvars import ContextVar
from typing import Any, Final

from tis.contracts import messages as m
from tis.contracts.inference import Answer
from tis.contracts.model_spec import ModelSpec
from tis.contracts.plan import Plan
from tis.log import get_logger, pass_on
from tis.log_output import STDOUT, FileOutput, Output
from tis_frontend.observer import Deliver, Headers, Observed, Observer
from tis_frontend.traced_tensors import View

#: What `--access-log` says for the place where the log goes.
WITH_LOG: Final = "-"

_GATHER_S: Final = 0.2
_MOST_GATHERED_BYTES: Final = 64 << 10
_TIMES_DEADLINE_NS: Final = 1_000_000_000

_log = get_logger(__name__)


class Record:
    """A request, from its arrival to its line."""

    __slots__ = (
        "arrival_ns",
        "bytes_in",
        "bytes_out",
        "call",
        "client",
        "client_id",
        "done_ns",
        "is_stream",
        "model",
        "protocol",
        "queued_ns",
        "request_id",
        "status",
        "times",
        "version",
    )

    def __init__(self, protocol: str, client: str, call: str, *, is_stream: bool = False) -> None:
        self.protocol = protocol
        self.client = client
        #: Verb and path, or the name of an RPC.
        self.call = call
        #: True for a stream of requests, each of which has a line of its own.
        self.is_stream = is_stream
        self.arrival_ns = time.monotonic_ns()
        self.queued_ns = 0
        self.done_ns = 0
        self.model = ""
        self.version = 0
        self.client_id = ""
        self.status: int | str = ""
        self.bytes_in = 0
        self.bytes_out = 0
        #: The number that its times come with; 0 before it is queued and after its line is written.
        self.request_id = 0
        self.times: m.ComputeTimes | None = None

    def fields(self) -> dict[str, Any]:
        """What the line tells, in its order; None for what is not known."""
        times = self.times
        return {
            "time": _wall_time(self.arrival_ns),
            "client": self.client,
            "protocol": self.protocol,
            "call": self.call,
            "status": self.status,
            "model": self.model or None,
            "version": self.version or None,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "queue_us": max(times.start_ns - self.queued_ns, 0) // 1000 if times else None,
            "compute_us": (times.end_ns - times.start_ns) // 1000 if times else None,
            "total_us": (self.done_ns - self.arrival_ns) // 1000,
            "id": self.client_id or None,
        }


#: The request that the running task or callback is busy with.
CURRENT: ContextVar[Record | None] = ContextVar("CURRENT", default=None)


class AccessLog:
    """The lines of one frontend; looks at all inference requests, on behalf of a tracer, too.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: str, log_format: str) -> None:
        self._path = path
        self._json = log_format == "json"
        self._file: Output | None = None if path == WITH_LOG else FileOutput(path)
        #: Who traces requests, while somebody does.
        self.tracer: Observer | None = None
        self._awaiting: dict[int, Record] = {}
        #: Requests that are done and whose times have not come, oldest first.
        self._late: deque[Record] = deque()
        self._lines: list[bytes] = []
        self._gathered_bytes = 0
        self._flushing: asyncio.TimerHandle | None = None

    # ---- what happens to requests ----------------------------------------------------------------------------------

    def sample(self, spec: ModelSpec, face: str, arrival_ns: int, headers: Headers = ()) -> Observed | None:
        """An inference request has been read."""
        traced = self.tracer.sample(spec, face, arrival_ns, headers) if self.tracer is not None else None
        record = CURRENT.get()
        if record is None:
            return traced
        if record.is_stream:
            record = Record(record.protocol, record.client, record.call)
            record.arrival_ns = arrival_ns
            watched: Observed = _WatchedOfStream(self, record, traced)
        else:
            watched = _Watched(self, record, traced)
        record.model, record.version = spec.identifier, spec.version
        return watched

    def await_times(self, record: Record, request_id: int) -> None:
        """The request has been sent off under this number."""
        record.request_id = request_id
        self._awaiting[request_id] = record

    def computed(self, times: m.ComputeTimes) -> None:
        """A worker says when it computed a request."""
        if self.tracer is not None:
            self.tracer.computed(times)
        record = self._awaiting.pop(times.request_id, None)
        if record is not None:
            record.times = times
            if record.done_ns:
                self._write(record)

    def forget(self, request_id: int) -> None:
        """The client of a request has gone."""
        if self.tracer is not None:
            self.tracer.forget(request_id)
        self._awaiting.pop(request_id, None)

    def done(self, record: Record, status: int | str) -> None:
        """The request has been answered."""
        record.status = status
        record.done_ns = time.monotonic_ns()
        if record.request_id in self._awaiting and status in (200, "OK"):
            self._late.append(record)
            self._flush_later()
        else:
            self._write(record)

    # ---- lines -----------------------------------------------------------------------------------------------------

    def reopen(self, log_format: str) -> None:
        """Open the file anew; and follow the format of the log. A file that cannot be opened leaves the one before."""
        self._json = log_format == "json"
        self.flush()
        if self._file is None:
            return
        try:
            opened = FileOutput(self._path)
        except OSError as error:
            _log.error("the access log '%s' cannot be opened anew: %s", self._path, error.strerror or error)
            return
        self._file.close()
        self._file = opened

    def flush(self) -> None:
        """Write what has been gathered."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        too_late_ns = time.monotonic_ns() - _TIMES_DEADLINE_NS
        while self._late and (not self._late[0].request_id or self._late[0].done_ns < too_late_ns):
            record = self._late.popleft()
            if record.request_id:
                self._write(record)
        if self._lines:
            gathered, self._lines, self._gathered_bytes = b"".join(self._lines), [], 0
            if self._file is not None:
                self._file.write(STDOUT, gathered)
            else:
                pass_on(STDOUT, gathered)
        if self._late:
            self._flush_later()

    def close(self) -> None:
        """The process ends: what has been answered has its line."""
        for record in self._late:
            if record.request_id:
                self._write(record)
        self._late.clear()
        self.flush()
        if self._file is not None:
            self._file.close()

    def _write(self, record: Record) -> None:
        self._awaiting.pop(record.request_id, None)
        record.request_id = 0
        line = rendered(record, as_json=self._json)
        self._lines.append(line)
        self._gathered_bytes += len(line)
        if self._gathered_bytes >= _MOST_GATHERED_BYTES:
            self.flush()
        else:
            self._flush_later()

    def _flush_later(self) -> None:
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_later(_GATHER_S, self.flush)


class _Watched:
    """An inference request whose transport says how it ended."""

    def __init__(self, log: AccessLog, record: Record, traced: Observed | None) -> None:
        self._log = log
        self._record = record
        self._traced = traced

    def queued(self, request_id: int, plan: Plan, client_id: str, deliver: Deliver, view: View) -> Deliver:
        """The request is about to go to the scheduler."""
        if self._traced is not None:
            deliver = self._traced.queued(request_id, plan, client_id, deliver, view)
        self._record.client_id = client_id
        self._record.queued_ns = time.monotonic_ns()
        self._log.await_times(self._record, request_id)
        return deliver

    def sending(self) -> None:
        """The response is written and about to go to the transport."""
        if self._traced is not None:
            self._traced.sending()

    def sent(self) -> None:
        """The transport has the response."""
        if self._traced is not None:
            self._traced.sent()


class _WatchedOfStream(_Watched):
    """A request of a stream: how it ended is known from its answers, and its bytes are those of its tensors."""

    def queued(self, request_id: int, plan: Plan, client_id: str, deliver: Deliver, view: View) -> Deliver:
        """The request is about to go to the scheduler."""
        hand_over = super().queued(request_id, plan, client_id, deliver, view)
        record = self._record
        record.bytes_in = plan.size_bytes
        record.status = "OK"

        def noted(answer: Answer) -> None:
            if answer.error is not None:
                record.status = answer.error.code.name
            record.bytes_out += sum(len(tensor.data) for tensor in answer.outputs)
            hand_over(answer)

        return noted

    def sent(self) -> None:
        """The transport has the last response."""
        super().sent()
        if self._record.queued_ns and not self._record.done_ns:
            self._log.done(self._record, self._record.status)


def rendered(record: Record, *, as_json: bool) -> bytes:
    """The line of a request. What clients chose is quoted as in JSON, so that nobody can forge a line."""
    fields = record.fields()
    if as_json:
        known = {name: value for name, value in fields.items() if value is not None}
        return json.dumps(known, separators=(",", ":")).encode() + b"\n"
    texts = [fields.pop("time"), fields.pop("client"), fields.pop("protocol")]
    texts += [json.dumps(fields.pop("call")), str(fields.pop("status"))]
    texts += [f"{name}={_shown(value)}" for name, value in fields.items()]
    return " ".join(texts).encode() + b"\n"


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return json.dumps(value)


def _wall_time(monotonic_ns: int) -> str:
    at_s = time.time() - (time.monotonic_ns() - monotonic_ns) / 1e9
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at_s))}.{int(at_s % 1 * 1_000_000):06d}Z"
