"""A worker's own requests: on their way to the scheduler, in flight, and answered.

All of it runs under the worker's lock (see `backchannel.py`), given away while somebody waits. Whoever waits reads the
mailbox himself, so that a call takes no more wake-ups than it needs; what he finds there of others, he hands to them.
"""

import contextlib
import threading
import time
from itertools import count
from pathlib import Path
from typing import Final, Protocol

from tis.contracts import messages as m
from tis.contracts.cache_key import cache_key
from tis.contracts.control import ControlLink, requests_path
from tis.contracts.inference import REQUEST_TIMEOUT_TEXT
from tis.contracts.model_spec import ModelSpec
from tis.errors import Code, TisError, internal, unavailable
from tis_shm.pool import Pool
from tis_workers.bls.call import Ask, Call, Outcome, as_error, checked, is_gone, refusal
from tis_workers.bls.control_calls import ControlCalls
from tis_workers.bls.plans import Form, Plans, aligned
from tis_workers.bls.ready_models import ReadyModels
from tis_workers.bls.results import Results
from tis_workers.bls.scheduler_line import LOST_TEXT, SchedulerLine
from tis_workers.bls.waiter import Waiter
from tis_workers.output import OutputWriter
from tis_workers.wire_form import wire_form

_TABLE_DEADLINE_S: Final = 5.0
#: How old what is known of the supervisor's news may be; who waits sees them come. To look costs as much as to send.
_NEWS_NS: Final = 1_000_000


class MailLoop(Protocol):
    """What the worker's loop does for its own requests."""

    def look(self, most_packets: int = ...) -> None:
        """Take what has arrived in the mailbox, that many packets."""

    def catch_up(self) -> None:
        """Take what has arrived from the supervisor."""


class Caller:
    """The requests of one worker's model."""

    def __init__(
        self,
        loop: MailLoop,
        lock: "threading.Lock",
        control: ControlLink,
        pool: Pool,
        writer: OutputWriter,
        mailbox_fd: int,
        namespace: str = "",
    ) -> None:
        self._loop = loop
        self.lock: Final = lock
        self._control = control
        self._pool = pool
        self._writer = writer
        self.mailbox_fd: Final = mailbox_fd
        self.line: Final = SchedulerLine(requests_path(Path(control.runtime_dir)), self._scheduler_lost)
        self.results: Final = Results(pool)
        self.control_calls: Final = ControlCalls(control, lock, loop.catch_up)
        self._ready = ReadyModels(namespace)
        self._plans = Plans()
        self._control_fd = control.socket.fileno()
        #: When the supervisor's news were last known to be read.
        self._news_ns = 0
        self._ids = count(1)
        self._calls: dict[int, Call] = {}
        self._waiters: list[Waiter] = []

    def __len__(self) -> int:
        """Requests in flight."""
        return len(self._calls)

    # ---- asking ----------------------------------------------------------------------------------------------------

    def call(self, ask: Ask, *, decoupled: bool) -> Call:
        """Send a request. One that cannot be sent has its error as its only outcome."""
        call = Call(ask, decoupled=decoupled)
        self._send(call)
        return call

    def wait(self, call: Call) -> Outcome:
        """The next response to a call that is not over or has one. With the lock held, which is given away meanwhile."""
        outcomes = call.outcomes
        if not outcomes:
            waiter = self._waiters.pop() if self._waiters else self._new_waiter()
            try:
                while not outcomes:
                    call.wake = waiter.wake
                    readable = waiter.wait(self.line)
                    # Nobody else has to wake this thread now.
                    call.wake = None
                    self._take(readable)
            finally:
                self._waiters.append(waiter)
        return outcomes.popleft()

    def _new_waiter(self) -> Waiter:
        return Waiter(self.lock, self.mailbox_fd, self._control_fd)

    def _take(self, readable: list[int]) -> None:
        """What has come, and that there were no other news from the supervisor."""
        for fd in readable:
            if fd == self.mailbox_fd:
                # Mostly the one that is waited for. What else there is makes it readable again.
                self._loop.look(1)
            elif fd == self._control_fd:
                self._loop.catch_up()
            elif fd == self.line.fileno():
                self.line.hear()
        self._news_ns = time.monotonic_ns()

    def look(self) -> None:
        """Take what has arrived, for those who poll the mailbox themselves."""
        self._loop.look()

    def abandon(self, call: Call) -> None:
        """Nobody waits for the responses any more."""
        call.outcomes.clear()
        call.wake = None
        if call.is_abandoned or call.is_over:
            return
        call.is_abandoned = True
        # The inputs stay until the worker is surely done with them.
        with contextlib.suppress(TisError):
            self.line.send(m.Cancel(call.request_id, self._control.peer))

    def is_ready(self, model: str, version: int) -> bool:
        """Whether a version, or any for -1, takes requests.

        Raises:
            TisError: UNAVAILABLE, the table cannot be had.
        """
        self._news_ns = 0
        return self._table().find(model, version) is not None

    def _found(self, ask: Ask) -> ModelSpec | None:
        found = self._table().find(ask.model, ask.version)
        if found is None:
            self._loop.catch_up()
            found = self._ready.find(ask.model, ask.version)
        return found

    def _table(self) -> ReadyModels:
        ready = self._ready
        if ready.epoch:
            now_ns = time.monotonic_ns()
            if now_ns - self._news_ns > _NEWS_NS or self._control.must_read:
                self._loop.catch_up()
                self._news_ns = now_ns
            return ready
        self._control.send(m.FollowTable(self._control.peer))
        try:
            ready.replace(self._control.wait_for(m.Table, _TABLE_DEADLINE_S))
        except TimeoutError:
            raise unavailable("the models are not known at the moment; try again") from None
        return ready

    def _send(self, call: Call) -> None:
        try:
            self._try_to_send(call)
        except TisError as error:
            self._unsent(call, error)
        except Exception as error:  # noqa: BLE001 - such as a string that cannot be encoded: this request's own affair
            self._unsent(call, internal(f"unable to send the request: {type(error).__name__}: {error}"))

    def _unsent(self, call: Call, error: TisError) -> None:
        self._release(call)
        # Where the scheduler has gone meanwhile, all calls have been told so.
        if not call.is_over:
            call.tell(Outcome(error=error))

    def _try_to_send(self, call: Call) -> None:
        ask = call.ask
        spec = call.spec = checked(ask, self._found(ask), decoupled=call.decoupled)
        call.epoch = self._ready.epoch
        forms: list[Form] = []
        parts: list[memoryview] = []
        size_bytes = 0
        for name, array, given in ask.inputs:
            datatype, part = wire_form(name, array, given)
            forms.append((name, datatype, array.shape, len(part)))
            parts.append(part)
            size_bytes += aligned(len(part))
        plan = self._plans.of(ask, spec, forms)
        block = call.block = self._writer.take(size_bytes or 1)
        pool = self._pool.data
        at = block.offset
        for part in parts:
            pool[at : at + len(part)] = part
            at += aligned(len(part))
        body = m.encode_body(
            m.WorkBody(ask.client_id, (m.BlockRef(*block),), plan.inputs, plan.outputs, (), plan.parameters)
        )
        body_bytes = len(memoryview(body))
        if body_bytes > m.MOST_BODY_BYTES:
            raise refusal(
                ask.model,
                f"the request's id, its parameters and the shapes of its tensors take {body_bytes} bytes; "
                f"{m.MOST_BODY_BYTES} are allowed",
            )
        key = b""
        if plan.cache_head:
            begin = block.offset
            places = [(begin + each.start, each.size_bytes) for each in plan.cache_inputs]
            key = cache_key(plan.cache_head, [pool[start : start + size_bytes] for start, size_bytes in places])
        call.request_id = next(self._ids)
        self._calls[call.request_id] = call
        self.line.send(
            m.Infer(
                call.request_id,
                self._control.peer,
                plan.model,
                plan.version,
                plan.batch_size,
                plan.batch_key,
                time.monotonic_ns(),
                body,
                plan.wishes,
                key,
                plan.load,
            )
        )

    def _release(self, call: Call) -> None:
        self._calls.pop(call.request_id, None)
        if call.block is not None:
            self._writer.free(call.block)
            call.block = None

    # ---- answers ---------------------------------------------------------------------------------------------------

    def arrived(self, message: m.AnyMessage) -> None:
        """Something has come that is no batch."""
        # One by one: a union of types is made anew at each call.
        if isinstance(message, m.Reply) or isinstance(message, m.Failure):  # noqa: SIM101
            self._answered(message)
        elif isinstance(message, m.Expired):
            call = self._calls.get(message.request_id)
            if call is not None and not call.is_abandoned:
                call.tell(Outcome(error=internal(REQUEST_TIMEOUT_TEXT)))
                call.is_abandoned = True

    def _answered(self, message: m.Reply | m.Failure) -> None:
        call = self._calls.get(message.request_id)
        if call is None or call.is_abandoned:
            if call is not None and message.final:
                self._release(call)
                call.is_over = True
            if isinstance(message, m.Reply):
                self.results.drop(message)
            return
        if message.final:
            self._release(call)
        if isinstance(message, m.Failure):
            self._failed(call, message)
            return
        spec = call.spec
        try:
            # Of these, other steps or other askers may read the same blocks.
            copies = spec is not None and (spec.ensemble is not None or spec.response_cache)
            outputs, error = self.results.outputs(message, copies=copies), None
        except TisError as lost:
            outputs, error = [], lost
        call.tell(Outcome(outputs, error, message.parameters, message.final))

    def _failed(self, call: Call, failure: m.Failure) -> None:
        if is_gone(failure) and not call.retried:
            # The load went while the request was on its way; there may be another one by now.
            call.retried = True
            self._loop.catch_up()
            if self._ready.epoch > call.epoch:
                self._send(call)
                return
        call.tell(Outcome(error=as_error(call.ask, failure), final=failure.final))

    def _scheduler_lost(self) -> None:
        calls, self._calls = self._calls, {}
        for call in calls.values():
            self._release(call)
            call.tell(Outcome(error=TisError(Code.UNAVAILABLE, LOST_TEXT)))

    # ---- from the supervisor ---------------------------------------------------------------------------------------

    def told(self, message: m.AnyMessage) -> bool:
        """Take what concerns the own requests; False for anything else."""
        if isinstance(message, m.Table):
            self._ready.replace(message)
        elif isinstance(message, m.CallReply):
            self.control_calls.replied(message)
        else:
            return False
        return True
