"""The scheduler's loop: receives, lets the models decide, sends. The only I/O of the scheduler process.

One turn reads everything that has arrived, then dispatches every model that changed, then sends one packet a peer.
"""

import time
from pathlib import Path
from typing import Final

from tis.carrier.datagram import Mailbox, Outbox
from tis.carrier.poller import Poller
from tis.carrier.zmtp import PullSocket
from tis.contracts import messages as m
from tis.contracts.control import ControlLink, requests_path
from tis.contracts.model_spec import ModelSpec
from tis.errors import Code
from tis.log import get_logger
from tis.scheduler.latencies import Latencies
from tis.scheduler.model import ModelScheduler
from tis.scheduler.queued import QueuedRequest
from tis.scheduler.statistics_reply import metrics_replies, replies
from tis.settings import ServerSettings

_HEARTBEAT_NS: Final = 1_000_000_000

_log = get_logger(__name__)


class SchedulerLoop:
    """The scheduler process."""

    def __init__(
        self, runtime_dir: Path, peer: int, control: ControlLink, settings: ServerSettings | None = None
    ) -> None:
        self._settings = settings or ServerSettings()
        self._peer = peer
        self._control = control
        self._mailbox = Mailbox(runtime_dir, peer)
        self._outbox = Outbox(runtime_dir)
        self._requests = PullSocket(requests_path(runtime_dir))
        self._models: dict[tuple[str, int], ModelScheduler] = {}
        self._model_of_instance: dict[int, ModelScheduler] = {}
        #: Models to dispatch in this turn, and when to look at those that wait for a moment in time.
        self._changed: set[ModelScheduler] = set()
        self._wake_at: dict[ModelScheduler, int] = {}
        #: Model versions that the table calls ready, and those that it once did and does not any more.
        self._ready: set[tuple[str, int]] = set()
        self._failed: set[tuple[str, int]] = set()
        self._gone: set[int] = set()
        self._stopping = False
        self._poller = Poller(self._outbox)
        self._mailbox_fd = self._mailbox.fileno()
        self._listener_fd = self._requests.fileno()
        self._control_fd = control.socket.fileno()
        for fd in (self._mailbox_fd, self._listener_fd, self._control_fd):
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
        wake_ns = min(self._wake_at.values(), default=self._next_heartbeat_ns)
        return max(min(wake_ns, self._next_heartbeat_ns) - time.monotonic_ns(), 0) / 1e9

    def _heartbeat(self) -> bool:
        """Beat once a second. True where something was sent, after which the socket must be read: see its descriptor."""
        now_ns = time.monotonic_ns()
        if now_ns < self._next_heartbeat_ns:
            return False
        self._next_heartbeat_ns = now_ns + _HEARTBEAT_NS
        self._control.send(m.Heartbeat(self._peer, pending=sum(model.queued for model in self._models.values())))
        self._report_quiesced()
        return True

    # ---- from frontends --------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        fd = self._requests.accept()
        if fd is not None:
            self._poller.watch(fd)

    def _receive_requests(self, fd: int) -> None:
        """Read what a frontend has sent."""
        now_ns = time.monotonic_ns()
        for packet in self._requests.receive(fd):
            for message in m.decode(packet):
                if isinstance(message, m.Infer):
                    self._on_infer(message, now_ns)
                elif isinstance(message, m.Cancel):
                    self._on_cancel(message, now_ns)
                elif isinstance(message, m.StatisticsQuery):
                    self._on_statistics(message)
                elif isinstance(message, m.MetricsQuery):
                    self._on_metrics(message)

    def _on_infer(self, infer: m.Infer, now_ns: int) -> None:
        model = self._models.get((infer.model, infer.version))
        if model is None:
            text = f"Request for unknown model: '{infer.model}' version {infer.version} is not found"
            self._outbox.post(infer.asker, m.Failure(infer.request_id, Code.NOT_FOUND, text))
        elif model.spec.key in self._failed:
            text = f"Request for unknown model: '{infer.model}' version {infer.version} is not at ready state"
            self._outbox.post(infer.asker, m.Failure(infer.request_id, Code.UNAVAILABLE, text))
        elif infer.asker not in self._gone:
            model.add(infer, now_ns)
            self._changed.add(model)

    def _on_cancel(self, cancel: m.Cancel, now_ns: int) -> None:
        for model in self._models.values():
            if model.cancel(cancel.asker, cancel.request_id, now_ns):
                failure = m.Failure(cancel.request_id, Code.CANCELLED, "the request was cancelled")
                self._outbox.post(cancel.asker, failure)
                return

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
        for reply in metrics_replies(query.request_id, found):
            self._outbox.post(query.asker, reply)

    # ---- from workers ----------------------------------------------------------------------------------------------

    def _on_worker(self, message: m.AnyMessage) -> None:
        if isinstance(message, m.BatchDone):
            model = self._model_of_instance.get(message.instance)
            if model is not None and model.done(message) is not None:
                self._changed.add(model)

    # ---- from the supervisor ---------------------------------------------------------------------------------------

    def _on_control(self, message: m.AnyMessage) -> None:
        if isinstance(message, m.Table):
            self._on_table(message)
        elif isinstance(message, m.InstanceUp):
            model = self._models.get((message.model, message.version))
            if model is not None:
                model.instances.add(message.peer)
                for warmup in message.warmups:
                    model.statistics.warmed_up(warmup)
                self._model_of_instance[message.peer] = model
                self._failed.discard(model.spec.key)
                self._changed.add(model)
        elif isinstance(message, m.PeerDown):
            self._on_peer_down(message)
        elif isinstance(message, m.Stop):
            self._stopping = True

    def _on_table(self, table: m.Table) -> None:
        """Follow the model table: schedule what it lists, and fail what waits for a version that is gone or has failed."""
        listed = {entry.spec.key: entry for entry in table.models}
        for key, entry in listed.items():
            if key not in self._models:
                self._models[key] = ModelScheduler(entry.spec, self._latencies(entry.spec))
            elif not entry.ready:
                self._refuse_waiting(self._models[key])
        ready = {key for key, entry in listed.items() if entry.ready}
        # A frontend may send for a version that has failed before it hears of it.
        self._failed = (self._failed | self._ready) & listed.keys() - ready
        self._ready = ready
        for key in [key for key in self._models if key not in listed]:
            self._refuse_waiting(self._models.pop(key))

    def _latencies(self, spec: ModelSpec) -> Latencies | None:
        """The distributions that the operator wants of a model."""
        settings = self._settings
        if not settings.allow_metrics or not (settings.metrics_summaries or settings.metrics_histograms):
            return None
        return Latencies(
            settings.metrics_quantiles if settings.metrics_summaries else None,
            spec.first_response_buckets_ms if settings.metrics_histograms else None,
        )

    def _refuse_waiting(self, model: ModelScheduler) -> None:
        text = f"Request for unknown model: '{model.spec.name}' version {model.spec.version} is not at ready state"
        self._fail(model.close(time.monotonic_ns()), Code.UNAVAILABLE, text)
        self._wake_at.pop(model, None)

    def _on_peer_down(self, down: m.PeerDown) -> None:
        """A process has died. A worker takes exactly the requests with it that it had; a frontend, those that it asked."""
        now_ns = time.monotonic_ns()
        model = self._model_of_instance.pop(down.peer, None)
        if model is not None:
            lost = model.instance_gone(down.peer, now_ns)
            text = (
                f"the instance of model '{model.spec.name}' that ran this request has died ({down.reason}); try again"
            )
            if lost:
                _log.error("model '%s': %s, with %d requests in flight", model.spec.name, down.reason, len(lost))
            self._fail(lost, Code.UNAVAILABLE, text)
            self._changed.add(model)
        for each in self._models.values():
            each.cancel_all_of(down.peer, now_ns)
        self._gone.add(down.peer)
        self._outbox.forget(down.peer)
        self._report_quiesced()

    def _fail(self, requests: list[QueuedRequest], code: Code, text: str) -> None:
        for request in requests:
            self._outbox.post(request.infer.asker, m.Failure(request.infer.request_id, code, text))

    def _report_quiesced(self) -> None:
        for peer in [peer for peer in self._gone if not any(model.runs_for(peer) for model in self._models.values())]:
            self._gone.discard(peer)
            self._control.send(m.Quiesced(self._peer, peer))

    # ---- dispatching -----------------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        now_ns = time.monotonic_ns()
        for model in [model for model, at_ns in self._wake_at.items() if at_ns <= now_ns]:
            self._changed.add(model)
        for model in self._changed:
            for peer, batch in model.dispatch(now_ns):
                items = tuple(
                    m.BatchItem(infer.request_id, infer.asker, infer.batch_size, infer.body)
                    for infer in [request.infer for request in batch.requests]
                )
                self._outbox.post(peer, m.Batch(batch.batch_id, items))
            wake_ns = model.wake_ns(now_ns)
            if wake_ns is None:
                self._wake_at.pop(model, None)
            else:
                self._wake_at[model] = wake_ns
        self._changed.clear()

    def _close(self) -> None:
        self._poller.close()
        self._mailbox.close()
        self._outbox.close()
        self._requests.close()
