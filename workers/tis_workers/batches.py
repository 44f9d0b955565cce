"""The batches that an instance has: those that wait, the one that runs, and beside it the one before and the one after.

What brings them is the loop in `runner.py`; how one of them runs is in `job.py`. All of it is called under the backend's
lock, where that has one, and under that of `Overlap`.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Final

from tis.carrier.datagram import Outbox
from tis.contracts import messages as m
from tis.errors import Code, TisError
from tis_shm.pool import Pool
from tis_workers.backends.base import Backend, TensorBackend
from tis_workers.job import Job
from tis_workers.model_inputs import ModelInputs
from tis_workers.output import OutputWriter
from tis_workers.overlap import Overlap
from tis_workers.regions import ClientRegions
from tis_workers.request import WorkRequest
from tis_workers.sequences import Sequences

_CANCELLED: Final = "Request was cancelled"


class Batches:
    """Takes batches, runs one after another, and tells the scheduler of each."""

    def __init__(
        self,
        peer: int,
        scheduler: int,
        backend: Backend,
        memory: tuple[Pool, OutputWriter, ClientRegions, ModelInputs | None],
        outbox: Outbox,
    ) -> None:
        """`peer`, `scheduler`: the numbers of this worker and of who sends batches; a successor has a larger one."""
        self._peer = peer
        #: The oldest scheduler whose batches are run: the living one, or the number behind that of one that has died.
        self._scheduler = scheduler
        self._backend = backend
        self._memory = memory
        self._outbox = outbox
        #: There for a model whose requests belong to sequences.
        self._sequences: Sequences | None = None
        if backend.spec.sequences is not None:
            self._sequences = Sequences(backend.spec, *memory)
        self._waiting: deque[m.Batch] = deque()
        #: What is ready to run next.
        self._prepared: Job | None = None
        #: The requests of the batch that runs.
        self._running: list[WorkRequest] = []
        #: What has run and is still to be answered.
        self._computed: Job | None = None
        #: Requests whose batch is done and whose last response is still to come: scheduler, batch and position.
        self._unfinished: dict[WorkRequest, tuple[int, int, int]] = {}
        #: Asker and number of requests that wait here and need not run any more.
        self._cancelled: set[tuple[int, int]] = set()
        #: There for a model whose batches may overlap.
        self._overlap: Overlap | None = None
        self._in_steps: TensorBackend | None = None

    def overlap(self, receive: Callable[[], None], mailbox_fd: int) -> None:
        """Prepare and answer batches beside each other where the backend lets that be. `receive`: takes what has arrived."""
        if isinstance(self._backend, TensorBackend) and self._backend.overlaps and self._sequences is None:
            self._in_steps = self._backend
            self._overlap = Overlap(lambda: self._meanwhile(receive), mailbox_fd)

    @property
    def waiting(self) -> int:
        """How many have not run yet."""
        return len(self._waiting) + (self._prepared is not None)

    def arrived(self, batch: m.Batch) -> None:
        """A scheduler has sent a batch. Of a new one this may be the first that is heard: news take another way."""
        self.follow(batch.scheduler)
        if batch.scheduler == self._scheduler:
            self._waiting.append(batch)

    def cancel(self, key: tuple[int, int]) -> None:
        """A client has gone: its request is told so where it runs, and not run where it waits."""
        for request in (*self._running, *self._unfinished):
            if request.key == key:
                request.cancelled = True
                return
        job = self._prepared
        if job is not None and any(request.key == key for request in job.requests) and job.abandon():
            # It waits again, and is prepared without that request.
            self._prepared = None
            self._waiting.appendleft(job.batch)
        if any((item.asker, item.request_id) == key for batch in self._waiting for item in batch.items):
            self._cancelled.add(key)

    def finished(self, work: WorkRequest) -> None:
        """The last response of a request has been posted: the scheduler hears of it if its batch was done before."""
        place = self._unfinished.pop(work, None)
        if place is not None:
            scheduler, batch_id, position = place
            finished = m.Finished(batch_id, self._peer, position, time.monotonic_ns(), work.failed)
            self._outbox.post(scheduler, finished)

    def peer_gone(self, peer: int) -> None:
        """A process has died. If it was the scheduler, what it asked and has not run is not to run, nor what still comes.

        It may read what others had lent to that scheduler.
        """
        if peer == self._scheduler:
            self.follow(peer + 1)

    def follow(self, scheduler: int) -> None:
        """There is another scheduler, which knows nothing of what this one was asked. Nothing where that has been heard."""
        if scheduler <= self._scheduler:
            return
        self._outbox.forget(self._scheduler)
        self._scheduler = scheduler
        self._waiting.clear()
        if self._prepared is not None:
            self._prepared.abandon()
            self._prepared = None
        self._unfinished.clear()
        self._cancelled.clear()

    def run_next(self, *, follows: bool) -> None:
        """Run a batch; there is one. `follows`: it was there when the one before had ended."""
        job, self._prepared = self._prepared, None
        overlap = self._overlap
        if overlap is not None and not (follows and overlap.pays):
            overlap = None
        if job is None:
            job = self._prepare(in_steps=overlap is not None)
        self._running = job.runnable
        if overlap is None:
            job.compute()
        else:
            overlap.during(job.compute)
        self._running = []
        # Where the thread has not come to it.
        self.answer_computed()
        self._computed = job
        if not self._answers_later(job):
            self.answer_computed()

    def _answers_later(self, job: Job) -> bool:
        """Whether a batch that has run is answered while the next one runs, which is ready."""
        job.frees_early = job.answers_only and self._prepared is not None
        return job.frees_early

    def answer_computed(self) -> None:
        """Answer the requests of the batch that has run, if that has not been done, and tell the scheduler."""
        job, self._computed = self._computed, None
        if job is None:
            return
        job.answer()
        timings, requests = job.timings, job.requests
        if self._overlap is not None:
            self._overlap.learn(timings.infer_end_ns - timings.input_end_ns)
        end_ns = time.monotonic_ns()
        for request in requests:
            if request.traced:
                request.tell_times(job.began_ns, timings.input_end_ns, timings.infer_end_ns, end_ns)
        done = m.BatchDone(
            job.batch.batch_id,
            self._peer,
            job.began_ns,
            timings.input_end_ns,
            timings.infer_end_ns,
            end_ns,
            tuple([position for position, request in enumerate(requests) if request.failed]),
            job.cancelled,
            free_ns=timings.infer_end_ns if job.frees_early else end_ns,
        )
        if self._backend.backchannel is not None:
            self._list_the_rest(done, job.batch.scheduler, requests)
        self._outbox.post(job.batch.scheduler, done)

    def close(self) -> None:
        """End what has been begun."""
        if self._overlap is not None:
            self._overlap.close()

    def _meanwhile(self, receive: Callable[[], None]) -> bool:
        """What another thread does while a batch runs: answer the one before, prepare the one after."""
        self.answer_computed()
        self._outbox.flush()
        receive()
        if self._prepared is None and self._waiting:
            self._prepared = self._prepare(in_steps=True, beside=True)
            # Some may have been refused.
            self._outbox.flush()
        return self._prepared is None

    def _prepare(self, *, in_steps: bool, beside: bool = False) -> Job:
        """The batch that has waited longest. `beside`: while another one runs."""
        began_ns = time.monotonic_ns()
        batch = self._waiting.popleft()
        job = Job(self._backend, self._sequences, batch, self._requests(batch.items), began_ns)
        if self._cancelled:
            job.cancelled = self._drop_cancelled(job.requests)
        job.runnable = [request for request in job.requests if not request.answered]
        if in_steps and self._in_steps is not None:
            job.prepare(self._in_steps, beside=beside)
        return job

    def _requests(self, items: tuple[m.BatchItem, ...]) -> list[WorkRequest]:
        if self._sequences is not None:
            return [self._sequences.request(item) for item in items]
        spec, (pool, writer, regions, owned) = self._backend.spec, self._memory
        return [WorkRequest(spec, item, pool, writer, regions, owned) for item in items]

    def _drop_cancelled(self, requests: list[WorkRequest]) -> tuple[int, ...]:
        """Answer those that need not run; gives their positions."""
        dropped: list[int] = []
        for position, request in enumerate(requests):
            if request.key in self._cancelled and not request.answered:
                request.fail(TisError(Code.CANCELLED, _CANCELLED))
                dropped.append(position)
            self._cancelled.discard(request.key)
        return tuple(dropped)

    def _list_the_rest(self, done: m.BatchDone, scheduler: int, requests: list[WorkRequest]) -> None:
        """Which requests of a batch are not answered yet, or are to run again."""
        for position, request in enumerate(requests):
            if request.rescheduled:
                done.rescheduled += (position,)
            elif not request.answered:
                done.unfinished += (position,)
                self._unfinished[request] = (scheduler, done.batch_id, position)
