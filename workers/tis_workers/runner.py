"""The worker's loop: takes batches from its mailbox, lets the backend execute them, sends replies, tells the scheduler.

The next batch usually lies in the mailbox already when one ends. Heartbeats come from this loop, so that they prove it.
"""

import contextlib
import time
import traceback
from collections import deque
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tis.carrier.datagram import PACKETS_A_TURN, Mailbox, Outbox
from tis.carrier.poller import Poller
from tis.contracts import messages as m
from tis.contracts.control import ControlLink
from tis.errors import Code, TisError, internal
from tis.log import get_logger
from tis_shm.pool import Pool
from tis_workers.backends.base import Backend, Timings
from tis_workers.forks import on_fork
from tis_workers.model_inputs import ModelInputs
from tis_workers.output import OutputWriter
from tis_workers.regions import ClientRegions
from tis_workers.request import WorkRequest
from tis_workers.sequences import Sequences

if TYPE_CHECKING:
    from tis_workers.bls.caller import Caller

_HEARTBEAT_S: Final = 1.0
_CATCH_UP_MS: Final = 50
_LAST_WORDS_S: Final = 2.0
_CANCELLED: Final = "Request was cancelled"

_log = get_logger(__name__)


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
        self._scheduler = scheduler
        self._mailbox = Mailbox(runtime_dir, control.peer)
        self._waiting: deque[m.Batch] = deque()
        #: The requests of the batch that runs.
        self._running: list[WorkRequest] = []
        #: Requests whose batch is done and whose last response is still to come: batch and position.
        self._unfinished: dict[WorkRequest, tuple[int, int]] = {}
        #: Asker and number of requests that wait here and need not run any more.
        self._cancelled: set[tuple[int, int]] = set()
        self._stopping = False
        self._regions = ClientRegions(self._catch_up_regions)
        spec = backend.spec
        #: There for a model that may write to its inputs and keep them.
        self._owned: ModelInputs | None = None
        if backend.hands_inputs_over:
            self._owned = ModelInputs(pool, self._regions, lends=not spec.decoupled)
            writer.before_waiting(self._owned.settle)
        #: There for a model whose requests belong to sequences.
        self._sequences: Sequences | None = None
        if spec.sequences is not None:
            self._sequences = Sequences(spec, pool, writer, self._regions, self._owned)
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
        timeout_s = (
            0.0 if self._waiting or self._control.must_read else max(self._next_heartbeat_s - time.monotonic(), 0.0)
        )
        readable = self._poller.wait(timeout_s)
        if self._control_fd in readable or self._control.must_read:
            self._receive_control()
        if self._mailbox_fd in readable:
            self._receive(1 if self._poller.woken_by_one else PACKETS_A_TURN)
        if self._wake_fd in readable and self._channel is not None:
            for action in self._channel.settle():
                action()
            self._outbox.flush()
        if self._waiting:
            self._execute(self._waiting.popleft())
            if self._owned is not None:
                self._owned.settle()
            self._outbox.flush()

    def _send_the_rest(self) -> None:
        """What slow readers have not taken yet is not lost with this process."""
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
                if message.peer == self._scheduler:
                    # Its batches may read what others have lent to it.
                    self._waiting.clear()
                self._quiesce(message)
            elif isinstance(message, m.PeerForgotten):
                self._writer.forget(message.peer)
            elif isinstance(message, m.SchedulerChanged):
                self._outbox.forget(self._scheduler)
                self._scheduler = message.peer
                self._waiting.clear()
                self._unfinished.clear()
                self._cancelled.clear()
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
                self._waiting.append(message)
            elif isinstance(message, m.Cancel):
                self._cancel((message.asker, message.request_id))
            elif self._caller is not None:
                self._caller.arrived(message)

    # ---- what a model's threads cause --------------------------------------------------------------------------------

    def look(self, most_packets: int = PACKETS_A_TURN) -> None:
        """Take what has arrived in the mailbox while a model runs or threads of it do."""
        waited = len(self._waiting)
        self._receive(most_packets)
        if len(self._waiting) > waited and self._channel is not None:
            # The loop may sleep, and the mailbox does not wake it any more.
            self._channel.wake()

    def sent(self, work: WorkRequest) -> None:
        """Something was posted for a request: send it, and tell the scheduler if it was the last after its batch."""
        if work.answered:
            place = self._unfinished.pop(work, None)
            if place is not None:
                self._post_finished(work, *place)
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

    def _post_finished(self, work: WorkRequest, batch_id: int, position: int) -> None:
        end_ns = time.monotonic_ns()
        finished = m.Finished(batch_id, self._control.peer, position, end_ns, work.failed)
        self._outbox.post(self._scheduler, finished)

    def _cancel(self, key: tuple[int, int]) -> None:
        """A client has gone: its request is told so where it runs, and not run where it waits."""
        for request in (*self._running, *self._unfinished):
            if request.key == key:
                request.cancelled = True
                return
        if any((item.asker, item.request_id) == key for batch in self._waiting for item in batch.items):
            self._cancelled.add(key)

    # ---- batches -----------------------------------------------------------------------------------------------------

    def _execute(self, batch: m.Batch) -> None:
        spec = self._backend.spec
        began_ns = time.monotonic_ns()
        requests = self._requests(batch.items)
        cancelled = self._drop_cancelled(requests) if self._cancelled else ()
        runnable = [request for request in requests if not request.answered]
        timings = Timings(began_ns, began_ns, began_ns)
        if runnable:
            self._running = runnable
            try:
                if self._sequences is None:
                    timings = self._backend.execute(runnable)
                else:
                    timings = self._sequences.execute(self._backend, requests)
            except TisError as error:
                self._fail_rest(runnable, error)
            except Exception as error:  # noqa: BLE001 - whatever a model raises ends its own requests, not the worker
                _log.error("model '%s': execution failed\n%s", spec.name, traceback.format_exc())
                self._fail_rest(runnable, internal(f"model '{spec.name}' failed: {type(error).__name__}: {error}"))
            self._running = []
        silent = [request for request in runnable if not request.answered]
        if silent:
            self._fail_rest(silent, internal(f"model '{spec.name}' gave no response"))
        end_ns = time.monotonic_ns()
        for request in requests:
            if request.traced:
                request.tell_times(began_ns, timings.input_end_ns, timings.infer_end_ns, end_ns)
        done = m.BatchDone(
            batch.batch_id,
            self._control.peer,
            began_ns,
            timings.input_end_ns,
            timings.infer_end_ns,
            end_ns,
            tuple([position for position, request in enumerate(requests) if request.failed]),
            cancelled,
        )
        if self._channel is not None:
            self._list_the_rest(done, requests)
        self._outbox.post(self._scheduler, done)

    def _requests(self, items: tuple[m.BatchItem, ...]) -> list[WorkRequest]:
        if self._sequences is not None:
            return [self._sequences.request(item) for item in items]
        spec = self._backend.spec
        return [WorkRequest(spec, item, self._pool, self._writer, self._regions, self._owned) for item in items]

    def _drop_cancelled(self, requests: list[WorkRequest]) -> tuple[int, ...]:
        """Answer those that need not run; gives their positions."""
        dropped: list[int] = []
        for position, request in enumerate(requests):
            if request.key in self._cancelled and not request.answered:
                request.fail(TisError(Code.CANCELLED, _CANCELLED))
                dropped.append(position)
            self._cancelled.discard(request.key)
        return tuple(dropped)

    def _list_the_rest(self, done: m.BatchDone, requests: list[WorkRequest]) -> None:
        """Which requests of a batch are not answered yet, or are to run again."""
        for position, request in enumerate(requests):
            if request.rescheduled:
                done.rescheduled += (position,)
            elif not request.answered:
                done.unfinished += (position,)
                self._unfinished[request] = (done.batch_id, position)

    def _fail_rest(self, requests: list[WorkRequest], error: TisError) -> None:
        for request in requests:
            if not (request.answered or request.unfinished or request.rescheduled):
                request.fail(error)
