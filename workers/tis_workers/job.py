"""A batch on its way through the worker: its requests, what runs them, and how that went.

The loop that takes batches is `runner.py`; what prepares one batch while another runs is `overlap.py`.
"""

import time
import traceback

from tis.contracts import messages as m
from tis.errors import TisError, internal
from tis.log import get_logger
from tis_workers.backends.base import Backend, TensorBackend
from tis_workers.backends.execution import Execution, Timings
from tis_workers.request import WorkRequest
from tis_workers.sequences import Sequences

_log = get_logger(__name__)


class Job:
    """One batch: `prepare`, `compute`, `answer`, in this order. Failures end the batch's own requests, not the worker."""

    __slots__ = (
        "_backend",
        "_error",
        "_execution",
        "_sequences",
        "batch",
        "began_ns",
        "cancelled",
        "frees_early",
        "requests",
        "runnable",
        "timings",
    )

    def __init__(
        self, backend: Backend, sequences: Sequences | None, batch: m.Batch, requests: list[WorkRequest], began_ns: int
    ) -> None:
        """`began_ns`: when its requests were begun to be read."""
        self._backend = backend
        self._sequences = sequences
        self.batch = batch
        self.requests = requests
        #: Positions of those that their clients have given up.
        self.cancelled: tuple[int, ...] = ()
        #: Those that are to run.
        self.runnable: list[WorkRequest] = []
        self.began_ns = began_ns
        self.timings = Timings(began_ns, began_ns, began_ns)
        #: The next batch has begun before this one's answers.
        self.frees_early = False
        self._execution: Execution | None = None
        self._error: TisError | None = None

    @property
    def answers_only(self) -> bool:
        """True after `compute` where `answer` leaves the model alone."""
        return self._execution is not None and self._execution.answers_only

    def prepare(self, backend: TensorBackend, *, beside: bool) -> None:
        """Have the inputs ready, of a model that takes its executions in steps. `beside`: while another batch runs."""
        if not self.runnable:
            return
        try:
            self._execution = backend.begin(self.runnable, beside=beside)
        except Exception as error:  # noqa: BLE001 - as in `compute`
            self._failed(error)

    def compute(self) -> None:
        """Run the model; of one that does not take its executions in steps, this is all of it."""
        if not self.runnable or self._error is not None:
            return
        execution = self._execution
        try:
            if execution is not None:
                self._shift(execution.timings)
                execution.compute()
            elif self._sequences is None:
                self.timings = self._backend.execute(self.runnable)
            else:
                self.timings = self._sequences.execute(self._backend, self.requests)
        except Exception as error:  # noqa: BLE001 - whatever a model raises ends its own requests, not the worker
            self._failed(error)

    def answer(self) -> None:
        """Answer every request that has no answer yet, with an error where there is nothing else."""
        execution = self._execution
        if execution is not None:
            try:
                if self._error is None:
                    execution.answer()
                else:
                    execution.abandon()
            except Exception as error:  # noqa: BLE001 - as above
                self._failed(error)
            self.timings = execution.timings
        if self._error is not None:
            self._fail_rest(self._error)
        silent = [request for request in self.runnable if not request.answered]
        if silent:
            self._fail_rest(internal(f"model '{self._backend.spec.name}' gave no response"))

    def abandon(self) -> bool:
        """Undo `prepare`; False where something has been answered already, so that the batch must go on."""
        if any(request.answered for request in self.requests):
            return False
        if self._execution is not None:
            self._execution.abandon()
        return True

    def _shift(self, timings: Timings) -> None:
        """What was prepared beside another batch has waited for that to end, and counts as prepared then."""
        waited_ns = time.monotonic_ns() - timings.input_end_ns
        self.began_ns += waited_ns
        timings.start_ns += waited_ns
        timings.input_end_ns += waited_ns

    def _failed(self, error: Exception) -> None:
        if isinstance(error, TisError):
            self._error = error
            return
        name = self._backend.spec.name
        _log.error("model '%s': execution failed\n%s", name, "".join(traceback.format_exception(error)))
        self._error = internal(f"model '{name}' failed: {type(error).__name__}: {error}")

    def _fail_rest(self, error: TisError) -> None:
        for request in self.runnable:
            if not (request.answered or request.unfinished or request.rescheduled):
                request.fail(error)
