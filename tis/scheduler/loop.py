"""The scheduler's loop: receives, lets the models decide, sends. The only I/O of the scheduler process.

One turn reads everything that has arrived, then dispatches every model that changed, then sends one packet a peer.
"""

import time
from pathlib import Path
from typing import Final

from tis.carrier.datagram import PACKETS_A_TURN, Mailbox, Outbox
from tis.carrier.poller import Poller
from tis.carrier.zmtp import PullSocket
from tis.contracts import messages as m
from tis.contracts.control import ControlLink, requests_path
from tis.contracts.model_spec import ModelSpec
from tis.scheduler.cache.caching import caching_of
from tis.scheduler.desk import Desk
from tis.scheduler.kinds import Around, scheduler_of
from tis.scheduler.latencies import latencies_of
from tis.scheduler.rate_limiter import limiter_of
from tis.scheduler.registry import Registry
from tis.scheduler.scheduling import Scheduling
from tis.scheduler.statistics_reply import metrics_replies, replies
from tis.scheduler.wakeups import Wakeups
from tis.settings import ServerSettings
from tis_shm.pool import Pool

_HEARTBEAT_NS: Final = 1_000_000_000


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
        #: When to look at models that wait for a moment in time.
        self._wakeups: Wakeups[Scheduling] = Wakeups()
        #: There where instances share resources.
        self._limiter = limiter_of(self._settings, self._wake)
        self._registry = Registry(self._scheduler_of)
        self._desk = Desk(peer, self._registry, self._outbox.post, pool)
        self._caching = caching_of(self._settings, pool, grants, control)
        self._cache_fd = self._caching.fd if self._caching is not None else -1
        self._around = Around(peer, self._registry.ready.find, self._limiter, self._caching)
        self._stopping = False
        self._poller = Poller(self._outbox)
        self._mailbox_fd = self._mailbox.fileno()
        self._listener_fd = self._inbox.fileno()
        self._control_fd = control.socket.fileno()
        for fd in (self._mailbox_fd, self._listener_fd, self._control_fd, self._cache_fd):
            if fd >= 0:
                self._poller.watch(fd)
        self._next_heartbeat_ns = 0

    def _scheduler_of(self, spec: ModelSpec) -> Scheduling:
        return scheduler_of(spec, latencies_of(self._settings, spec), self._around)

    def run(self) -> None:
        """Work until told to stop."""
        # The table comes with the first message: no request is to be looked at before.
        for message in self._control.receive():
            self._on_control(message)
        self._control.send(m.Up(self._peer))
        while not self._stopping:
            self._heartbeat()
            control = False
            for fd in self._poller.wait(self._timeout_s()):
                if fd == self._mailbox_fd:
                    for message in self._mailbox.receive(1 if self._poller.woken_by_one else PACKETS_A_TURN):
                        self._desk.from_worker(message, time.monotonic_ns())
                elif fd == self._control_fd:
                    control = True
                elif fd == self._listener_fd:
                    self._accept()
                elif fd == self._cache_fd and self._caching is not None:
                    now_ns = time.monotonic_ns()
                    self._desk.carry_out(self._caching.completed(now_ns), now_ns)
                else:
                    self._receive_requests(fd)
            while control or self._control.must_read:
                # A ZeroMQ descriptor signals changes: it is read to the end after every signal, and after every send.
                control = False
                for message in self._control.receive():
                    self._on_control(message)
            self._dispatch()
            self._outbox.flush()
        self._close()

    # ---- waiting ---------------------------------------------------------------------------------------------------

    def _timeout_s(self) -> float:
        if self._registry.must_look_again or self._control.must_read:
            return 0.0
        wake_ns = self._wakeups.next_ns()
        if wake_ns is None or wake_ns > self._next_heartbeat_ns:
            wake_ns = self._next_heartbeat_ns
        return max(wake_ns - time.monotonic_ns(), 0) / 1e9

    def _heartbeat(self) -> None:
        """Beat once a second."""
        now_ns = time.monotonic_ns()
        if now_ns < self._next_heartbeat_ns:
            return
        self._next_heartbeat_ns = now_ns + _HEARTBEAT_NS
        used_bytes = self._caching.used_bytes if self._caching is not None else 0
        pending = self._desk.open_requests
        self._control.send(m.Heartbeat(self._peer, used_bytes, pending, running=self._registry.running()))
        self._report_quiesced()

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
                    self._desk.enqueue(message, now_ns)
                elif isinstance(message, m.Cancel):
                    self._desk.cancel(message.asker, message.request_id, now_ns)
                elif isinstance(message, m.StatisticsQuery):
                    self._on_statistics(message)
                elif isinstance(message, m.MetricsQuery):
                    self._on_metrics(message)

    def _on_statistics(self, query: m.StatisticsQuery) -> None:
        found = [
            model.statistics.snapshot()
            for model in self._registry
            if query.model in ("", model.spec.identifier) and query.version in (0, model.spec.version)
        ]
        for reply in replies(query.request_id, found):
            self._outbox.post(query.asker, reply)

    def _on_metrics(self, query: m.MetricsQuery) -> None:
        now_ns = time.monotonic_ns()
        found = [model.metrics(now_ns) for model in self._registry]
        cache = self._caching.metrics() if self._caching is not None else None
        for reply in metrics_replies(query.request_id, found, cache):
            self._outbox.post(query.asker, reply)

    # ---- from the supervisor ---------------------------------------------------------------------------------------

    def _on_control(self, message: m.AnyMessage) -> None:
        now_ns = time.monotonic_ns()
        if isinstance(message, m.Table):
            for model in self._registry.follow(message):
                self._desk.carry_out(model.close(now_ns), now_ns)
            self._control.send(m.TableSeen(self._peer, message.epoch))
        elif isinstance(message, m.InstanceUp):
            # An instance that was up before this process is told of twice.
            is_new = self._registry.of_instance(message.peer) is None
            model_up = self._registry.instance_up(message.load, message.peer, message.instance, message.spec)
            if model_up is not None:
                for warmup in message.warmups if is_new else ():
                    model_up.statistics.warmed_up(warmup)
                self._desk.changed.add(model_up)
        elif isinstance(message, m.Prepare):
            self._registry.prepare(message.spec)
        elif isinstance(message, m.Retire):
            if self._registry.of_load(message.load) is None:
                self._control.send(m.Retired(self._peer, message.load))
            leaving = self._registry.retire(message.load, has_successor=message.has_successor)
            if leaving is not None:
                self._desk.changed.add(leaving)
        elif isinstance(message, m.RetireInstance):
            retiring = self._registry.retire_instance(message.instance)
            if retiring is not None:
                self._desk.changed.add(retiring)
        elif isinstance(message, m.PeerDown):
            self._outbox.forget(message.peer)
            self._desk.peer_down(message.peer, message.reason, now_ns)
            self._report_quiesced()
        elif isinstance(message, m.GrantReply) and self._caching is not None:
            self._caching.granted(message)
        elif isinstance(message, m.Stop):
            self._stopping = True

    def _report_quiesced(self) -> None:
        for peer in self._desk.quiesced():
            self._control.send(m.Quiesced(self._peer, peer))

    # ---- dispatching -----------------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        """Let every model hand over what it can, until nothing that this brings about lets another do so."""
        now_ns = time.monotonic_ns()
        desk = self._desk
        desk.changed.update(self._wakeups.due(now_ns))
        while desk.changed:
            changed, desk.changed = desk.changed, set()
            for model in changed:
                desk.carry_out(model.dispatch(now_ns), now_ns)
                self._wakeups.set(model, model.wake_ns(now_ns))
            if self._limiter is not None:
                self._limiter.settle(model.spec.identity for model in changed)
        for model, is_over in self._registry.retired():
            if is_over:
                self._wakeups.set(model, None)
            self._control.send(m.Retired(self._peer, model.spec.load, is_over))
        for peer in self._registry.retired_instances():
            self._control.send(m.InstanceRetired(self._peer, peer))

    def _wake(self, identity: tuple[str, int, int]) -> None:
        """Dispatch a model in this turn, if it is still there."""
        model = self._registry.of_load(identity[2])
        if model is not None:
            self._desk.changed.add(model)

    def _close(self) -> None:
        if self._caching is not None:
            self._caching.close()
        self._poller.close()
        self._mailbox.close()
        self._outbox.close()
        self._inbox.close()
