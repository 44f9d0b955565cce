"""What both faces stand on: places for tensors, the ledger of requests in flight, and the way to the scheduler and back.

A face turns its wire form into an `InferRequest` whose tensors lie in a block, submits it with a callback, and gets an
`Answer`. Nothing here knows HTTP or gRPC, and nothing here decides what runs when.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

from tis.carrier.datagram import Mailbox
from tis.contracts import messages as m
from tis.contracts.cache_key import cache_key
from tis.contracts.control import requests_path
from tis.contracts.inference import REQUEST_TIMEOUT_TEXT, Answer, InputTensor, id_prefix
from tis.contracts.model_spec import ModelSpec
from tis.contracts.plan import Plan
from tis.contracts.validation import check_bytes_elements
from tis.errors import TisError, invalid, unavailable
from tis_frontend.admission import Admission, Share
from tis_frontend.metrics.query import MetricsQuery, ModelsAndCache
from tis_frontend.observer import Observed, Observer
from tis_frontend.regions import RegionTable
from tis_frontend.replies import answer_of
from tis_frontend.scheduler_link import SchedulerLink
from tis_frontend.statistics_query import StatisticsQuery
from tis_frontend.wakefulness import Wakefulness
from tis_shm.pool import Block, Pool
from tis_shm.slab import Slab

Deliver = Callable[[Answer], None]
#: Where the tensors of a request are put before it is submitted.
Place = Block | bytearray

#: Requests that one frontend lets wait at once; further ones are refused.
_MOST_PENDING: Final = 100_000
_QUIESCE_LOOK_S: Final = 0.02


class _Pending:
    """A request in flight: its block, if it has one, and whom its answer goes to (None once the client has gone)."""

    __slots__ = ("block", "client_id", "deliver", "over", "share", "size_bytes")

    def __init__(
        self, block: Block | None, deliver: Deliver | None, client_id: str, share: Share, size_bytes: int
    ) -> None:
        self.block = block
        self.deliver = deliver
        self.client_id = client_id
        self.share = share
        self.size_bytes = size_bytes
        #: Called when nobody works on the request any more, although its client has had its answer.
        self.over: Callable[[], None] | None = None


class Core:
    """The requests of one frontend process."""

    def __init__(
        self,
        runtime_dir: Path,
        peer: int,
        pool: Pool,
        slab: Slab,
        loop: asyncio.AbstractEventLoop,
        spin_ns: int = 0,
    ) -> None:
        """`spin_ns`: how long at most the loop is kept awake for what may come, see `Wakefulness`."""
        self._peer = peer
        self._pool = pool
        self._slab = slab
        self._loop = loop
        self._ids = count(1)
        self._pending: dict[int, _Pending] = {}
        self._wakefulness = Wakefulness(loop, spin_ns)
        self._admission = Admission(slab.size_bytes, _MOST_PENDING)
        self._queries: dict[int, StatisticsQuery | MetricsQuery] = {}
        self._mailbox = Mailbox(runtime_dir, peer)
        self._scheduler = SchedulerLink(requests_path(runtime_dir), loop, self.fail_all, self._refuse)
        self._when_idle: asyncio.Future[None] | None = None
        #: Blocks of answers that have not been released yet.
        self._held: set[tuple[int, int]] = set()
        #: Clients' own memory that requests may name.
        self.regions: Final = RegionTable()
        #: Answers that came for a request not in the ledger: given up, or answered already.
        self.late_answers = 0
        #: Whether the server keeps answers.
        self.caches = False
        #: There while requests are traced or have lines in an access log.
        self.tracer: Observer | None = None
        loop.add_reader(self._mailbox.fileno(), self._receive)

    @property
    def pending(self) -> int:
        """Requests in flight."""
        return len(self._pending)

    @property
    def used_bytes(self) -> int:
        """Bytes of the slab that are taken."""
        return self._slab.used_bytes

    @property
    def capacity_bytes(self) -> int:
        """Bytes of the slab in all."""
        return self._slab.size_bytes

    # ---- places for tensors ----------------------------------------------------------------------------------------

    def place(self, spec: ModelSpec, size_bytes: int) -> Place:
        """A place for the tensors of a request: a block, or this process's own memory where they will travel inside of it.

        Raises:
            TisError: as `take`.
        """
        if spec.ensemble is None and size_bytes <= m.inline_bytes(spec.max_batch_size):
            return bytearray(size_bytes)
        return self.take(size_bytes)

    def take(self, size_bytes: int) -> Block:
        """A block for a request's tensors.

        Raises:
            TisError: INVALID_ARG for a request that could never fit, UNAVAILABLE while there is no room.
        """
        block = self._slab.take(max(size_bytes, 1))
        if block is not None:
            return block
        if size_bytes > self._slab.size_bytes:
            raise invalid(
                f"the request's tensors take {size_bytes} bytes, more than the {self._slab.size_bytes} bytes of shared "
                "memory that requests have; send smaller requests or start the server with a larger --pool-byte-size"
            )
        raise unavailable(
            f"no room for a request of {size_bytes} bytes in shared memory: {self._slab.used_bytes} of "
            f"{self._slab.size_bytes} bytes are taken by requests in flight; try again"
        )

    def writable(self, place: Place, start: int, size_bytes: int) -> memoryview:
        """Bytes of a place taken here, to be filled."""
        if isinstance(place, bytearray):
            return memoryview(place)[start : start + size_bytes]
        return self._slab.writable(place, start, size_bytes)

    def discard(self, place: Place) -> None:
        """Free a place that was not submitted."""
        if not isinstance(place, bytearray):
            self._slab.free(place)

    # ---- requests --------------------------------------------------------------------------------------------------

    def submit(
        self,
        plan: Plan,
        client_id: str,
        place: Place,
        arrival_ns: int,
        deliver: Deliver,
        trace: Observed | None = None,
    ) -> int:
        """Send a request off; its place belongs to the ledger from here on, unless this raises.

        Returns the number to cancel it by. `deliver` is called once, from the loop, unless the request is cancelled.

        Raises:
            TisError: its strings do not fit its shapes, or the server cannot take it.
        """
        for tensor in plan.strings:
            self._check_strings(plan.name, client_id, tensor, place)
        block, data = (None, bytes(place)) if isinstance(place, bytearray) else (place, b"")
        is_cached = self.caches and bool(plan.cache_head)
        body = m.encode_body(
            m.WorkBody(
                client_id,
                () if block is None else (m.BlockRef(*block),),
                plan.inputs,
                plan.outputs,
                plan.placements,
                plan.parameters,
                trace is not None,
                data,
                not is_cached,
            )
        )
        if len(memoryview(body)) > m.MOST_BODY_BYTES:
            raise invalid(
                f"the request's id, its parameters and the shapes of its tensors take {len(memoryview(body))} bytes; "
                f"{m.MOST_BODY_BYTES} are allowed: give a shorter id or smaller parameters"
            )
        try:
            share = self._admission.enter(plan.model, plan.size_bytes)
        except TisError as error:
            raise TisError(error.code, id_prefix(client_id) + error.message) from None
        request_id = next(self._ids)
        if trace is not None:
            deliver = trace.queued(request_id, plan, client_id, deliver, partial(self._named, place))
        self._pending[request_id] = _Pending(block, deliver, client_id, share, plan.size_bytes)
        self._scheduler.post(
            m.Infer(
                request_id,
                self._peer,
                plan.model,
                plan.version,
                plan.batch_size,
                plan.batch_key,
                arrival_ns,
                body,
                plan.wishes,
                self._cache_key(plan, place) if is_cached else b"",
                plan.load,
            )
        )
        self._wakefulness.sent()
        return request_id

    def _cache_key(self, plan: Plan, place: Place) -> bytes:
        parts = [self.writable(place, each.start, each.size_bytes) for each in plan.cache_inputs]
        return cache_key(plan.cache_head, parts)

    def cancel(self, request_id: int) -> None:
        """The client has gone. The block stays until the worker is surely done with it."""
        pending = self._pending.get(request_id)
        if pending is not None and pending.deliver is not None:
            pending.deliver = None
            self._scheduler.post(m.Cancel(request_id, self._peer))
            if self.tracer is not None:
                self.tracer.forget(request_id)

    def when_over(self, request_id: int, report: Callable[[], None]) -> None:
        """Report once nobody works on a request any more that was cancelled, or whose time was over; it may be so now."""
        pending = self._pending.get(request_id)
        if pending is None:
            report()
        else:
            pending.over = report

    def release(self, answer: Answer) -> None:
        """The outputs of an answer have been read."""
        for block in answer.blocks:
            self._held.discard(block)
            self._pool.release(Block(*block))
        answer.blocks = ()

    def when_quiesced(self, report: Callable[[], None]) -> None:
        """Report once everything that is held at this moment has been released: then nothing of a dead worker is."""
        # A dead worker's last replies may still lie in the mailbox.
        self._receive()
        self._look_quiesced(set(self._held), report)

    def _look_quiesced(self, held: set[tuple[int, int]], report: Callable[[], None]) -> None:
        held &= self._held
        if held:
            self._loop.call_later(_QUIESCE_LOOK_S, self._look_quiesced, held, report)
        else:
            report()

    def fail_all(self, error: TisError) -> None:
        """Everything in flight is lost: the scheduler has died, or the server stops."""
        pending, self._pending = self._pending, {}
        for each in pending.values():
            if each.block is not None:
                self._slab.free(each.block)
            self._admission.leave(each.share, each.size_bytes)
            if each.over is not None:
                each.over()
            if each.deliver is not None:
                each.deliver(Answer([], TisError(error.code, id_prefix(each.client_id) + error.message)))
        self._tell_idle()
        queries, self._queries = self._queries, {}
        for query in queries.values():
            query.fail(error)

    async def idle(self) -> None:
        """Wait until nothing is in flight."""
        if self._pending:
            self._when_idle = self._loop.create_future()
            await self._when_idle

    def _tell_idle(self) -> None:
        if self._when_idle is not None and not self._pending and not self._when_idle.done():
            self._when_idle.set_result(None)

    async def statistics(self, model: str, version: int) -> tuple[m.ModelStatistics, ...]:
        """Statistics of a model version (version 0: of all versions; empty name: of all models)."""
        query_id = next(self._ids)
        query = self._queries[query_id] = StatisticsQuery(self._loop)
        self._scheduler.post(m.StatisticsQuery(query_id, self._peer, model, version))
        return await query.answer

    async def metrics(self) -> ModelsAndCache:
        """The counters of all model versions, and of the response cache."""
        query_id = next(self._ids)
        query = self._queries[query_id] = MetricsQuery(self._loop)
        self._scheduler.post(m.MetricsQuery(query_id, self._peer))
        return await query.answer

    def flush(self) -> None:
        """Send what has been submitted in this turn of the loop."""
        self._scheduler.flush()

    def _check_strings(self, model: str, client_id: str, tensor: InputTensor, place: Place) -> None:
        data = self.writable(place, tensor.start, tensor.size_bytes)
        try:
            check_bytes_elements(tensor.name, model, tensor.shape, data)
        except TisError as error:
            raise TisError(error.code, id_prefix(client_id) + error.message) from None

    def _named(self, place: Place, region: int, start: int, size_bytes: int) -> memoryview:
        """Bytes that a request names, for its trace: in its place, or a copy of those in a region."""
        if region:
            return memoryview(self.regions.read(region, start, size_bytes))
        return self.writable(place, start, size_bytes)

    def _refuse(self, messages: list[m.Message], error: TisError) -> None:
        for message in messages:
            if isinstance(message, m.Infer) and message.request_id in self._pending:
                self._answer(m.Failure(message.request_id, error.code, error.message))
            elif isinstance(message, m.StatisticsQuery | m.MetricsQuery):
                query = self._queries.pop(message.request_id, None)
                if query is not None:
                    query.fail(error)

    def connect(self) -> None:
        """Connect to the scheduler: at start, and whenever there is a new one. What was in flight is lost."""
        self._scheduler.connect()

    # ---- from workers and the scheduler ----------------------------------------------------------------------------

    def _receive(self) -> None:
        for message in self._mailbox.receive():
            if isinstance(message, m.Reply | m.Failure):
                self._answer(message)
            elif isinstance(message, m.Expired):
                self._expire(message.request_id)
            elif isinstance(message, m.StatisticsReply):
                query = self._queries.get(message.request_id)
                if isinstance(query, StatisticsQuery) and query.add(message):
                    del self._queries[message.request_id]
            elif isinstance(message, m.ComputeTimes):
                if self.tracer is not None:
                    self.tracer.computed(message)
            elif isinstance(message, m.MetricsReply):
                query = self._queries.get(message.request_id)
                if isinstance(query, MetricsQuery) and query.add(message):
                    del self._queries[message.request_id]

    def _answer(self, message: m.Reply | m.Failure) -> None:
        pending = self._pending.get(message.request_id)
        if pending is None:
            self.late_answers += 1
        else:
            if message.final:
                del self._pending[message.request_id]
                if pending.block is not None:
                    self._slab.free(pending.block)
                self._admission.leave(pending.share, pending.size_bytes)
                self._tell_idle()
                if pending.over is not None:
                    pending.over()
                self._wakefulness.answered()
            if pending.deliver is not None:
                answer = answer_of(message, self._pool, pending.client_id)
                if answer.blocks:
                    self._held.update(answer.blocks)
                pending.deliver(answer)
                return
        if isinstance(message, m.Reply):
            for lent in message.blocks:
                self._pool.release(Block(lent.offset, lent.generation))

    def _expire(self, request_id: int) -> None:
        """A request's time is over. Its block stays until the worker is surely done with it."""
        pending = self._pending.get(request_id)
        if pending is not None and pending.deliver is not None:
            deliver, pending.deliver = pending.deliver, None
            deliver(Answer([], unavailable(REQUEST_TIMEOUT_TEXT), still_runs=True))

    def close(self) -> None:
        """Stop listening."""
        self._loop.remove_reader(self._mailbox.fileno())
        self._mailbox.close()
        self._scheduler.disconnect()


def now_ns() -> int:
    """The clock of arrival times."""
    return time.monotonic_ns()
