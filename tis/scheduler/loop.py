"""The scheduler's loop: receives, lets the models decide, sends. The only I/O of the scheduler process.

One turn reads everything that has arrived, then dispatches every model that changed, then sends one packet a peer.
"""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tis.carrier.datagram import Mailbox, Outbox
from tis.carrier.poller import Poller
from tis.carrier.zmtp import PullSocket
from tis.contracts import messages as m
from tis.contracts.control import ControlLink, requests_path
from tis.contracts.inference import REQUEST_TIMEOUT_TEXT
from tis.errors import Code, TisError
from tis.log import get_logger
from tis.scheduler.cache.caching import caching_of
from tis.scheduler.decisions import Answer, Ask, Decision, Run, Tell, Withdraw
from tis.scheduler.holdings import Holdings
from tis.scheduler.kinds import Around, scheduler_of
from tis.scheduler.latencies import latencies_of
from tis.scheduler.own_requests import OwnRequests
from tis.scheduler.queued import QueuedRequest, Refusal, Timed
from tis.scheduler.rate_limiter import limiter_of
from tis.scheduler.ready import ReadyVersions
from tis.scheduler.scheduling import Scheduling
from tis.scheduler.statistics_reply import metrics_replies, replies
from tis.scheduler.wakeups import Wakeups
from tis.settings import ServerSettings
from tis_shm.pool import Pool

_HEARTBEAT_NS: Final = 1_000_000_000

_log = get_logger(__name__)


class SchedulerLoop:
    """The scheduler process."""

    def __init__(
        self,
        runtime_dir: Path,
        peer: int,
        control: ControlLink,
        pool: Pool,
        settings: ServerSettings | None = None,
        grants: tuple[tuple[int, int], ...] = (),
    ) -> None:
        self._settings = settings or ServerSettings()
        self._peer = peer
        self._control = control
        self._mailbox = Mailbox(runtime_dir, peer)
        self._outbox = Outbox(runtime_dir)
        self._inbox = PullSocket(requests_path(runtime_dir))
        self._models: dict[tuple[str, int], Scheduling] = {}
        self._model_of_instance: dict[int, Scheduling] = {}
        #: Models to dispatch in this turn, and when to look at those that wait for a moment in time.
        self._changed: set[Scheduling] = set()
        self._wakeups: Wakeups[Scheduling] = Wakeups()
        #: There where instances share resources.
        self._limiter = limiter_of(self._settings, self._wake)
        #: Model versions that the table calls ready, and those that it once did and does not any more.
        self._ready: set[tuple[str, int]] = set()
        self._failed: set[tuple[str, int]] = set()
        self._versions = ReadyVersions()
        #: Processes that have died, and those of them of which something is left here.
        self._dead: set[int] = set()
        self._gone: set[int] = set()
        #: Every request that has been taken and not answered for the last time, waiting or running.
        self._ledger: dict[tuple[int, int], tuple[QueuedRequest, Scheduling]] = {}
        self._own_requests = OwnRequests()
        self._holdings = Holdings(pool)
        self._caching = caching_of(self._settings, pool, grants, control)
        self._cache_fd = self._caching.fd if self._caching is not None else -1
        self._around = Around(peer, self._versions.find, self._limiter, self._caching)
        self._stopping = False
        self._poller = Poller(self._outbox)
        self._mailbox_fd = self._mailbox.fileno()
        self._listener_fd = self._inbox.fileno()
        self._control_fd = control.socket.fileno()
        for fd in (self._mailbox_fd, self._listener_fd, self._control_fd, self._cache_fd):
            if fd >= 0:
                self._poller.watch(fd)
        self._next_heartbeat_ns = 0

    def run(self) -> None:
        """Work until told to stop."""
        self._control.send(m.Up(self._peer))
        while not self._stopping:
            control = self._heartbeat()
            for fd in self._poller.wait(self._timeout_s()):
                if fd == self._mailbox_fd:
                    for message in self._mailbox.receive():
                        self._on_worker(message)
                elif fd == self._control_fd:
                    control = True
                elif fd == self._listener_fd:
                    self._accept()
                elif fd == self._cache_fd and self._caching is not None:
                    now_ns = time.monotonic_ns()
                    self._carry_out(self._caching.completed(now_ns), now_ns)
                else:
                    self._receive_requests(fd)
            if control:
                # A ZeroMQ descriptor signals changes: it is read to the end after every signal, and after every send.
                for message in self._control.receive():
                    self._on_control(message)
            self._dispatch()
            self._outbox.flush()
        self._close()

    # ---- waiting ---------------------------------------------------------------------------------------------------

    def _timeout_s(self) -> float:
        wake_ns = self._wakeups.next_ns()
        if wake_ns is None or wake_ns > self._next_heartbeat_ns:
            wake_ns = self._next_heartbeat_ns
        return max(wake_ns - time.monotonic_ns(), 0) / 1e9

    def _heartbeat(self) -> bool:
        """Beat once a second. True where something was sent, after which the socket must be read: see its descriptor."""
        now_ns = time.monotonic_ns()
        if now_ns < self._next_heartbeat_ns:
            return False
        self._next_heartbeat_ns = now_ns + _HEARTBEAT_NS
        used_bytes = self._caching.used_bytes if self._caching is not None else 0
        pending = sum(model.queued for model in self._models.values())
        self._control.send(m.Heartbeat(self._peer, used_bytes, pending))
        self._report_quiesced()
        return True

    # ---- from frontends --------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        fd = self._inbox.accept()
        if fd is not None:
            self._poller.watch(fd)

    def _receive_requests(self, fd: int) -> None:
        """Read what a frontend has sent."""
        now_ns = time.monotonic_ns()
        for packet in self._inbox.receive(fd):
            for message in m.decode(packet):
                if isinstance(message, m.Infer):
                    self._enqueue(message, now_ns)
                elif isinstance(message, m.Cancel):
                    self._cancel(message.asker, message.request_id, now_ns)
                elif isinstance(message, m.StatisticsQuery):
                    self._on_statistics(message)
                elif isinstance(message, m.MetricsQuery):
                    self._on_metrics(message)

    def _enqueue(
        self,
        infer: m.Infer,
        now_ns: int,
        timed: Timed | None = None,
        origin: tuple[int, int] | None = None,
    ) -> None:
        """Give a request to its model; or answer why it cannot be had."""
        key = (infer.model, infer.version)
        model = self._models.get(key)
        if model is None or key in self._failed:
            self._answer(infer, self._unknown(infer, known=model is not None), now_ns)
            return
        if infer.asker in self._dead:
            return
        request = QueuedRequest(infer, now_ns, timed=timed, origin=origin)
        try:
            decisions = model.add(request, now_ns)
        except TisError as error:
            self._answer(infer, _failure(infer, error), now_ns)
            return
        self._ledger[(infer.asker, infer.request_id)] = (request, model)
        self._changed.add(model)
        if decisions:
            self._carry_out(decisions, now_ns)

    @staticmethod
    def _unknown(infer: m.Infer, *, known: bool) -> m.Failure:
        text = f"Request for unknown model: '{infer.model}' version {infer.version} is not "
        code, end = (Code.UNAVAILABLE, "at ready state") if known else (Code.NOT_FOUND, "found")
        return m.Failure(infer.request_id, code, text + end)

    def _cancel(self, asker: int, request_id: int, now_ns: int) -> None:
        request, model = self._ledger.get((asker, request_id), (None, None))
        if request is not None and model is not None:
            self._carry_out(model.cancel(request, now_ns), now_ns)
            self._changed.add(model)

    def _carry_out(self, decisions: Iterable[Decision], now_ns: int) -> None:
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
                self._enqueue(decision.infer, now_ns, decision.timed, decision.origin)
            elif isinstance(decision, Tell):
                # Of its own requests the scheduler hears when the worker answers.
                if decision.peer != self._peer:
                    self._outbox.post(decision.peer, decision.message)
            elif isinstance(decision, Withdraw):
                self._cancel(self._peer, decision.request_id, now_ns)
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
        self._outbox.post(run.peer, m.Batch(run.batch.batch_id, items))

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
        self._outbox.post(infer.asker, message)

    def _own_answered(self, message: m.Reply | m.Failure, now_ns: int) -> None:
        """A response to a request of the scheduler's own; one that has been answered before is not waited for."""
        for asker, each in self._own_requests.responses(message):
            if asker is not None:
                self._carry_out(asker.answered(each, now_ns), now_ns)
            elif isinstance(each, m.Reply):
                self._holdings.release(each.blocks)

    def _on_statistics(self, query: m.StatisticsQuery) -> None:
        found = [
            model.statistics.snapshot()
            for (name, version), model in sorted(self._models.items())
            if query.model in ("", name) and query.version in (0, version)
        ]
        for reply in replies(query.request_id, found):
            self._outbox.post(query.asker, reply)

    def _on_metrics(self, query: m.MetricsQuery) -> None:
        now_ns = time.monotonic_ns()
        found = [model.metrics(now_ns) for _, model in sorted(self._models.items(), key=lambda item: item[0])]
        cache = self._caching.metrics() if self._caching is not None else None
        for reply in metrics_replies(query.request_id, found, cache):
            self._outbox.post(query.asker, reply)

    # ---- from workers ----------------------------------------------------------------------------------------------

    def _on_worker(self, message: m.AnyMessage) -> None:
        if isinstance(message, m.BatchDone):
            model = self._model_of_instance.get(message.instance)
            if model is not None:
                for request in model.done(message, time.monotonic_ns()):
                    self._ledger.pop((request.infer.asker, request.infer.request_id), None)
                self._changed.add(model)
        elif isinstance(message, m.Reply | m.Failure):
            entry = self._ledger.get((self._peer, message.request_id))
            if isinstance(message, m.Reply):
                self._holdings.take(message.blocks, entry[0].peer if entry is not None else 0)
            if entry is not None and entry[0].expired:
                if isinstance(message, m.Reply):
                    self._holdings.release(message.blocks)
                text = REQUEST_TIMEOUT_TEXT
                message = m.Failure(message.request_id, Code.UNAVAILABLE, text, complete=True, final=message.final)
            self._own_answered(message, time.monotonic_ns())
        elif isinstance(message, m.ComputeTimes):
            entry = self._ledger.get((self._peer, message.request_id))
            if entry is not None and entry[0].origin is not None:
                asker, message.request_id = entry[0].origin
                self._outbox.post(asker, message)
        elif isinstance(message, m.Finished):
            model = self._model_of_instance.get(message.instance)
            finished = model.finished(message) if model is not None else None
            if finished is not None:
                self._ledger.pop(finished.key, None)

    # ---- from the supervisor ---------------------------------------------------------------------------------------

    def _on_control(self, message: m.AnyMessage) -> None:
        if isinstance(message, m.Table):
            self._on_table(message)
        elif isinstance(message, m.InstanceUp):
            model = self._models.get((message.model, message.version))
            if model is not None:
                model.instance_up(message.peer, message.instance)
                for warmup in message.warmups:
                    model.statistics.warmed_up(warmup)
                self._model_of_instance[message.peer] = model
                self._failed.discard(model.spec.key)
                self._changed.add(model)
        elif isinstance(message, m.PeerDown):
            self._on_peer_down(message)
        elif isinstance(message, m.GrantReply) and self._caching is not None:
            self._caching.granted(message)
        elif isinstance(message, m.Stop):
            self._stopping = True

    def _on_table(self, table: m.Table) -> None:
        """Follow the model table: schedule what it lists, and fail what waits for a version that is gone or has failed."""
        listed = {entry.spec.key: entry for entry in table.models}
        ready = {key for key, entry in listed.items() if entry.ready}
        # A frontend may send for a version that has failed before it hears of it; so may an ensemble that goes on here.
        self._failed = (self._failed | self._ready) & listed.keys() - ready
        self._ready = ready
        self._versions.replace(table)
        for key, entry in listed.items():
            model = self._models.get(key)
            if model is None or (entry.spec.ensemble is not None and entry.spec != model.spec):
                latencies = latencies_of(self._settings, entry.spec)
                self._models[key] = scheduler_of(entry.spec, latencies, self._around)
            elif not entry.ready:
                self._close_model(model)
        for key in [key for key in self._models if key not in listed]:
            self._close_model(self._models.pop(key))

    def _close_model(self, model: Scheduling) -> None:
        now_ns = time.monotonic_ns()
        self._carry_out(model.close(now_ns), now_ns)
        self._wakeups.set(model, None)

    def _on_peer_down(self, down: m.PeerDown) -> None:
        """A process has died. A worker takes exactly the requests with it that it had; a frontend, those that it asked."""
        now_ns = time.monotonic_ns()
        self._dead.add(down.peer)
        self._gone.add(down.peer)
        self._outbox.forget(down.peer)
        model = self._model_of_instance.pop(down.peer, None)
        if model is not None:
            lost = list(model.instance_gone(down.peer, down.reason, now_ns))
            if lost:
                _log.error("model '%s': %s, with %d requests in flight", model.spec.name, down.reason, len(lost))
            self._carry_out(lost, now_ns)
            self._changed.add(model)
        for asker, request_id in [key for key in self._ledger if key[0] == down.peer]:
            self._cancel(asker, request_id, now_ns)
        self._holdings.reader_gone(down.peer)
        self._report_quiesced()

    def _report_quiesced(self) -> None:
        """Tell of dead processes of which nothing is held here any more, and for which nothing runs."""
        if not self._gone:
            return
        asking = {asker for asker, _ in self._ledger}
        for peer in [peer for peer in self._gone if peer not in asking and not self._holdings.any_of(peer)]:
            self._gone.discard(peer)
            self._control.send(m.Quiesced(self._peer, peer))

    # ---- dispatching -----------------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        """Let every model hand over what it can, until nothing that this brings about lets another do so."""
        now_ns = time.monotonic_ns()
        self._changed.update(self._wakeups.due(now_ns))
        while self._changed:
            changed, self._changed = self._changed, set()
            for model in changed:
                self._carry_out(model.dispatch(now_ns), now_ns)
                self._wakeups.set(model, model.wake_ns(now_ns))
            if self._limiter is not None:
                self._limiter.settle(model.spec.key for model in changed)

    def _wake(self, key: tuple[str, int]) -> None:
        """Dispatch a model in this turn, if it is still there."""
        model = self._models.get(key)
        if model is not None:
            self._changed.add(model)

    def _close(self) -> None:
        if self._caching is not None:
            self._caching.close()
        self._poller.close()
        self._mailbox.close()
        self._outbox.close()
        self._inbox.close()


def _failure(infer: m.Infer, error: TisError) -> m.Failure:
    return m.Failure(infer.request_id, error.code, error.message, error.complete)
