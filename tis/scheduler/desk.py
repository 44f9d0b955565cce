"""Every request that has been taken and not answered for the last time, and what is done about it. No sockets.

Carries out what the schedulers of the models decide: batches to workers, responses to whoever asked (which may be in this
process), blocks back to their owners. The loop brings what arrives, and takes what is posted to the sockets.
"""

from collections.abc import Callable, Iterable

from tis.contracts import messages as m
from tis.contracts.inference import REQUEST_TIMEOUT_TEXT
from tis.errors import Code, TisError
from tis.log import get_logger
from tis.scheduler.decisions import Answer, Ask, Decision, Run, Tell, Withdraw
from tis.scheduler.holdings import Holdings
from tis.scheduler.own_requests import OwnRequests
from tis.scheduler.queued import QueuedRequest, Refusal
from tis.scheduler.registry import Registry
from tis.scheduler.scheduling import Scheduling
from tis_shm.pool import Pool

Post = Callable[[int, m.Message], None]

_log = get_logger(__name__)


class Desk:
    """The requests of this process."""

    def __init__(self, own_peer: int, registry: Registry, post: Post, pool: Pool) -> None:
        self._peer = own_peer
        self._registry = registry
        self._post = post
        self._ledger: dict[tuple[int, int], tuple[QueuedRequest, Scheduling]] = {}
        self._own_requests = OwnRequests()
        self._holdings = Holdings(pool)
        #: Processes that have died, and those of them of which something is left here.
        self._dead: set[int] = set()
        self._gone: set[int] = set()
        #: Models that have changed and are to be dispatched in this turn.
        self.changed: set[Scheduling] = set()

    # ---- requests --------------------------------------------------------------------------------------------------

    @property
    def open_requests(self) -> int:
        """Requests that have not been answered for the last time."""
        return len(self._ledger)

    def enqueue(self, infer: m.Infer, now_ns: int, ask: Ask | None = None) -> None:
        """Give a request to its model; or answer why it cannot be had. `ask` is there for those of this process."""
        if infer.asker in self._dead:
            return
        request = QueuedRequest(infer, now_ns) if ask is None else _own_request(ask, now_ns)
        try:
            model = self._registry.find(infer)
            decisions = model.add(request, now_ns)
        except TisError as error:
            self._answer(infer, _failure(infer, error), now_ns)
            return
        self._ledger[(infer.asker, infer.request_id)] = (request, model)
        self.changed.add(model)
        if decisions:
            self.carry_out(decisions, now_ns)

    def cancel(self, asker: int, request_id: int, now_ns: int) -> None:
        """The client of a request has gone."""
        request, model = self._ledger.get((asker, request_id), (None, None))
        if request is not None and model is not None:
            self.carry_out(model.cancel(request, now_ns), now_ns)
            self.changed.add(model)

    def carry_out(self, decisions: Iterable[Decision], now_ns: int) -> None:
        """Do what the logic of a model has decided."""
        for decision in decisions:
            if isinstance(decision, Run):
                self._run(decision)
            elif isinstance(decision, Refusal):
                infer = decision.request.infer
                self._ledger.pop((infer.asker, infer.request_id), None)
                self._answer(infer, _failure(infer, decision.error), now_ns)
            elif isinstance(decision, Answer):
                infer = decision.request.infer
                if decision.message.final:
                    self._ledger.pop((infer.asker, infer.request_id), None)
                self._answer(infer, decision.message, now_ns)
            elif isinstance(decision, Ask):
                self._own_requests.add(decision.infer.request_id, decision.by)
                self.enqueue(decision.infer, now_ns, decision)
            elif isinstance(decision, Tell):
                # Of its own requests the scheduler hears when the worker answers.
                if decision.peer != self._peer:
                    self._post(decision.peer, decision.message)
            elif isinstance(decision, Withdraw):
                self.cancel(self._peer, decision.request_id, now_ns)
            else:
                self._holdings.release(decision.blocks)

    def _run(self, run: Run) -> None:
        items = tuple(
            [
                m.BatchItem(
                    request.infer.request_id,
                    request.infer.asker,
                    request.infer.batch_size,
                    request.infer.body,
                    request.told or request.infer.wishes,
                    request.slot,
                )
                for request in run.batch.requests
            ]
        )
        self._post(run.peer, m.Batch(self._peer, run.batch.batch_id, items))

    def _answer(self, infer: m.Infer, message: m.Reply | m.Failure, now_ns: int) -> None:
        """Send a response to whoever asked, who may be here."""
        if infer.asker == self._peer:
            self._own_answered(message, now_ns)
            return
        if infer.asker in self._dead:
            if isinstance(message, m.Reply):
                self._holdings.release(message.blocks)
            return
        if isinstance(message, m.Reply) and message.blocks:
            self._holdings.hand_on(message.blocks, infer.asker)
        self._post(infer.asker, message)

    def _own_answered(self, message: m.Reply | m.Failure, now_ns: int) -> None:
        """A response to a request of the scheduler's own; one that has been answered before is not waited for."""
        for asker, each in self._own_requests.responses(message):
            if asker is not None:
                self.carry_out(asker.answered(each, now_ns), now_ns)
            elif isinstance(each, m.Reply):
                self._holdings.release(each.blocks)

    # ---- from workers ----------------------------------------------------------------------------------------------

    def from_worker(self, message: m.AnyMessage, now_ns: int) -> None:
        """A worker is done with a batch or a request, or has answered a request of the scheduler's own."""
        if isinstance(message, m.BatchDone):
            model = self._registry.of_instance(message.instance)
            if model is not None:
                for request in model.done(message, now_ns):
                    self._ledger.pop((request.infer.asker, request.infer.request_id), None)
                self.changed.add(model)
        elif isinstance(message, m.Reply | m.Failure):
            self._own_reply(message, now_ns)
        elif isinstance(message, m.ComputeTimes):
            entry = self._ledger.get((self._peer, message.request_id))
            if entry is not None and entry[0].origin is not None:
                asker, message.request_id = entry[0].origin
                self._post(asker, message)
        elif isinstance(message, m.Finished):
            model = self._registry.of_instance(message.instance)
            finished = model.finished(message) if model is not None else None
            if finished is not None and model is not None:
                self._ledger.pop(finished.key, None)
                self.changed.add(model)

    def _own_reply(self, message: m.Reply | m.Failure, now_ns: int) -> None:
        entry = self._ledger.get((self._peer, message.request_id))
        if isinstance(message, m.Reply):
            self._holdings.take(message.blocks, entry[0].peer if entry is not None else 0)
        if entry is not None and entry[0].expired:
            if isinstance(message, m.Reply):
                self._holdings.release(message.blocks)
            message = m.Failure(
                message.request_id, Code.UNAVAILABLE, REQUEST_TIMEOUT_TEXT, complete=True, final=message.final
            )
        self._own_answered(message, now_ns)

    # ---- deaths ----------------------------------------------------------------------------------------------------

    def peer_down(self, peer: int, reason: str, now_ns: int) -> None:
        """A process has died. A worker takes exactly the requests with it that it had; a frontend, those that it asked."""
        self._dead.add(peer)
        self._gone.add(peer)
        model = self._registry.forget_instance(peer)
        if model is not None:
            lost = list(model.instance_gone(peer, reason, now_ns))
            if lost:
                _log.error("model '%s': %s, with %d requests in flight", model.spec.identifier, reason, len(lost))
            self.carry_out(lost, now_ns)
            self.changed.add(model)
        for asker, request_id in [key for key in self._ledger if key[0] == peer]:
            self.cancel(asker, request_id, now_ns)
        self._holdings.reader_gone(peer)

    def quiesced(self) -> list[int]:
        """Dead processes of which nothing is held here any more, and for which nothing runs; each is told once."""
        if not self._gone:
            return []
        asking = {asker for asker, _ in self._ledger}
        quiesced = [peer for peer in self._gone if peer not in asking and not self._holdings.any_of(peer)]
        self._gone.difference_update(quiesced)
        return quiesced


def _own_request(ask: Ask, now_ns: int) -> QueuedRequest:
    return QueuedRequest(ask.infer, now_ns, timed=ask.timed, origin=ask.origin)


def _failure(infer: m.Infer, error: TisError) -> m.Failure:
    return m.Failure(infer.request_id, error.code, error.message, error.complete)
