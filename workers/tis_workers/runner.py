"""The worker's loop: takes batches from its mailbox, lets the backend execute them, sends replies, tells the scheduler.

The next batch usually lies in the mailbox already when one ends, or has been prepared beside it; what is done with
them is in `batches.py`. Heartbeats come from this loop, so that they prove it.
"""

import contextlib
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tis.carrier.datagram import PACKETS_A_TURN, Mailbox, Outbox
from tis.carrier.poller import Poller
from tis.contracts import messages as m
from tis.contracts.control import ControlLink
from tis_shm.pool import Pool
from tis_workers.backends.base import Backend
from tis_workers.batches import Batches
from tis_workers.forks import on_fork
from tis_workers.model_inputs import ModelInputs
from tis_workers.output import OutputWriter
from tis_workers.regions import ClientRegions
from tis_workers.request import WorkRequest

if TYPE_CHECKING:
    from tis_workers.bls.caller import Caller

_HEARTBEAT_S: Final = 1.0
_CATCH_UP_MS: Final = 50
_LAST_WORDS_S: Final = 2.0


class Runner:
    """Serves one loaded model instance. All of it runs under the backend's lock, where that has one (see `Backchannel`)."""

    def __init__(
        self,
        runtime_dir: Path,
        control: ControlLink,
        pool: Pool,
        writer: OutputWriter,
        outbox: Outbox,
        backend: Backend,
        scheduler: int,
    ) -> None:
        self._control = control
        self._pool = pool
        self._writer = writer
        self._outbox = outbox
        self._backend = backend
        self._channel = backend.backchannel
        self._mailbox = Mailbox(runtime_dir, control.peer)
        self._stopping = False
        self._regions = ClientRegions(self._catch_up_regions)
        #: There for a model that may write to its inputs and keep them.
        self._owned: ModelInputs | None = None
        if backend.hands_inputs_over:
            self._owned = ModelInputs(pool, self._regions, lends=not backend.spec.decoupled)
            writer.before_waiting(self._owned.settle)
        self._batches = Batches(control.peer, scheduler, backend, (pool, writer, self._regions, self._owned), outbox)
        self._batches.overlap(self._receive, self._mailbox.fileno())
        #: Control messages that have been read in the midst of a batch.
        self._unfollowed: list[m.AnyMessage] = []
        self._mailbox_fd = self._mailbox.fileno()
        self._control_fd = control.socket.fileno()
        self._wake_fd = -1
        self._poller = Poller(outbox, self._channel.lock if self._channel else None)
        self._poller.watch(self._mailbox_fd)
        self._poller.watch(self._control_fd)
        if self._channel is not None:
            self._wake_fd = self._channel.fileno()
            self._poller.watch(self._wake_fd)
            self._channel.serve(self)
            on_fork(self._leave)
        self._next_heartbeat_s = 0.0
        #: There once the model has asked others.
        self._caller: Caller | None = None

    def run(self, warmups: tuple[m.Warmup, ...] = ()) -> None:
        """Work until told to stop. `warmups`: what has been executed here already."""
        with self._channel.lock if self._channel is not None else contextlib.nullcontext():
            self._control.send(m.Up(self._control.peer, warmups))
            while not self._stopping:
                self._turn()
            self._send_the_rest()
        if self._channel is not None:
            self._channel.serve(None)
        self._batches.close()
        self._backend.finalize()
        self._regions.close()
        self._mailbox.close()
        self._outbox.close()
        self._poller.close()

    def _leave(self) -> None:
        """This is a process that the model has forked off: it must not hold open what the worker receives on."""
        self._mailbox.leave()
        self._outbox.close()
        self._poller.close()

    def _turn(self) -> None:
        self._heartbeat()
        must_look = self._batches.waiting or self._control.must_read
        timeout_s = 0.0 if must_look else max(self._next_heartbeat_s - time.monotonic(), 0.0)
        readable = self._poller.wait(timeout_s)
        if self._control_fd in readable or self._control.must_read:
            self._batches.answer_computed()
            self._receive_control()
        if self._mailbox_fd in readable:
            self._receive(1 if self._poller.woken_by_one else PACKETS_A_TURN)
        if self._wake_fd in readable and self._channel is not None:
            for action in self._channel.settle():
                action()
            self._outbox.flush()
        if self._batches.waiting:
            self._batches.run_next(follows=not self._poller.waited)
            if self._owned is not None:
                self._owned.settle()
            self._outbox.flush()

    def _send_the_rest(self) -> None:
        """What slow readers have not taken yet is not lost with this process."""
        self._batches.answer_computed()
        self._outbox.flush()
        end_s = time.monotonic() + _LAST_WORDS_S
        while self._outbox.blocked() and time.monotonic() < end_s:
            self._poller.wait(end_s - time.monotonic())

    def _heartbeat(self) -> None:
        """Beat once a second."""
        now_s = time.monotonic()
        if now_s < self._next_heartbeat_s:
            return
        self._next_heartbeat_s = now_s + _HEARTBEAT_S
        self._writer.collect()
        if self._owned is not None:
            self._owned.tidy()
        self._regions.tidy()
        self._backend.tidy()
        if self._caller is not None:
            self._caller.results.tidy()
        self._control.send(m.Heartbeat(self._control.peer, self._writer.used_bytes))

    def _catch_up_regions(self) -> bool:
        """A request names a region that is not known here yet: the news is on its way. All other news wait."""
        self._control.socket.poll(_CATCH_UP_MS)
        for message in self._control.receive():
            if isinstance(message, m.Regions):
                self._regions.replace(message)
            else:
                self._unfollowed.append(message)
        # What has been read here must be followed after this batch, though the socket will not signal it again.
        self._next_heartbeat_s = 0.0
        return True

    def _receive_control(self) -> None:
        messages, self._unfollowed = [*self._unfollowed, *self._control.receive()], []
        for message in messages:
            if isinstance(message, m.PeerDown):
                self._batches.peer_gone(message.peer)
                self._quiesce(message)
            elif isinstance(message, m.PeerForgotten):
                self._writer.forget(message.peer)
            elif isinstance(message, m.SchedulerChanged):
                self._batches.follow(message.peer)
                if self._caller is not None:
                    self._caller.line.hear()
            elif isinstance(message, m.Regions):
                self._regions.replace(message)
            elif isinstance(message, m.Stop):
                self._stopping = True
            elif self._caller is not None:
                self._caller.told(message)

    def _quiesce(self, down: m.PeerDown) -> None:
        """Say that nothing of a dead process is held here; once that is so of what it has answered the model."""
        quiesced = m.Quiesced(self._control.peer, down.peer)
        if down.lent and self._caller is not None:
            # Its last replies may still lie in the mailbox.
            self._receive()
            self._caller.results.when_given_back(partial(self._control.send, quiesced))
        else:
            self._control.send(quiesced)

    def _receive(self, most_packets: int = PACKETS_A_TURN) -> None:
        for message in self._mailbox.receive(most_packets):
            if isinstance(message, m.Batch):
                self._batches.arrived(message)
            elif isinstance(message, m.Cancel):
                self._batches.cancel((message.asker, message.request_id))
            elif self._caller is not None:
                self._caller.arrived(message)

    # ---- what a model's threads cause --------------------------------------------------------------------------------

    def look(self, most_packets: int = PACKETS_A_TURN) -> None:
        """Take what has arrived in the mailbox while a model runs or threads of it do."""
        waited = self._batches.waiting
        self._receive(most_packets)
        if self._batches.waiting > waited and self._channel is not None:
            # The loop may sleep, and the mailbox does not wake it any more.
            self._channel.wake()

    def sent(self, work: WorkRequest) -> None:
        """Something was posted for a request: send it, and tell the scheduler if it was the last after its batch."""
        if work.answered:
            self._batches.finished(work)
        if self._owned is not None:
            self._owned.settle()
        self._outbox.flush()
        if self._outbox.blocked() and self._channel is not None:
            # The loop polls those sockets, from its next turn on.
            self._channel.wake()

    def catch_up(self) -> None:
        """Take what has arrived from the supervisor, as far as it concerns what the model asks of others."""
        for message in self._control.receive():
            if self._caller is None or not self._caller.told(message):
                self._unfollowed.append(message)
        if self._unfollowed and self._channel is not None:
            # To be followed by the loop, which may sleep: the socket will not signal it again.
            self._next_heartbeat_s = 0.0
            self._channel.wake()

    def caller(self) -> "Caller":
        """What asks other models; loaded at the first use."""
        if self._caller is None and self._channel is not None:
            from tis_workers.bls.caller import Caller

            link = self._channel.lock, self._control
            self._caller = Caller(self, *link, self._pool, self._writer, self._mailbox_fd, self._backend.spec.namespace)
        if self._caller is None:
            raise TypeError("only models with a backchannel ask others")
        return self._caller
