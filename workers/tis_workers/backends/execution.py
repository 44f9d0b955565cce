"""An execution in three steps: what comes before a model runs, the run itself, and what comes after it.

The steps before and after may be taken by another thread than the run, beside the run of another batch; see
`tis_workers.overlap`. What a backend is and how it makes executions is in `base.py`.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tis.errors import TisError
from tis_workers.batch.parts import Arrays
from tis_workers.request import WorkRequest

if TYPE_CHECKING:
    from tis_workers.backends.base import TensorBackend


@dataclass(slots=True)
class Timings:
    """When an execution began, had its inputs, had its outputs and had answered, in monotonic nanoseconds."""

    start_ns: int
    input_end_ns: int
    infer_end_ns: int
    end_ns: int = 0


class Execution(ABC):
    """A batch whose inputs are ready. Of `answer` and `abandon` one is called, once."""

    __slots__ = ("answers_only", "timings")

    def __init__(self, start_ns: int) -> None:
        """`start_ns`: when the inputs were begun with; they are ready now."""
        now_ns = time.monotonic_ns()
        self.timings = Timings(start_ns, now_ns, now_ns)
        #: After `compute`: nothing is left to be computed, so that `answer` may run beside another batch's `compute`.
        self.answers_only = False

    @abstractmethod
    def compute(self) -> None:
        """Run the model. Touches nothing that the worker's other batches use."""

    @abstractmethod
    def answer(self) -> None:
        """Answer every request.

        Raises:
            TisError: some are not answered, and cannot be.
        """

    def abandon(self) -> None:  # noqa: B027 - most hold nothing
        """Give back what is held for it: it will not run, or has failed."""

    def computed(self) -> None:
        """The model has run."""
        self.timings.infer_end_ns = time.monotonic_ns()


class TensorExecution(Execution):
    """One run for the whole batch. If that fails, each request runs alone, so that only the culprit fails."""

    __slots__ = ("_as_it_is", "_backend", "_error", "_inputs", "_outputs", "_requests", "_wanted")

    def __init__(
        self,
        backend: "TensorBackend",
        requests: list[WorkRequest],
        inputs: Arrays,
        wanted: Sequence[str],
        start_ns: int,
        *,
        as_it_is: bool,
    ) -> None:
        """`as_it_is`: a single request whose inputs and outputs are the model's."""
        super().__init__(start_ns)
        self._backend = backend
        self._requests = requests
        self._inputs = inputs
        self._wanted = wanted
        self._as_it_is = as_it_is
        self._outputs: Arrays = {}
        self._error: TisError | None = None

    def compute(self) -> None:
        """Run the model; its error is kept for `answer`."""
        try:
            self._outputs = self._backend.run(self._inputs, self._wanted)
            self.answers_only = True
        except TisError as error:
            self._error = error
        self.computed()

    def answer(self) -> None:
        """Answer each request with its part of the outputs."""
        requests = self._requests
        if self._error is not None:
            if len(requests) == 1:
                requests[0].fail(self._error)
            else:
                for request in requests:
                    self._backend.execute([request])
            self.timings.infer_end_ns = self.timings.end_ns = time.monotonic_ns()
        elif self._as_it_is and _has_rows_of(requests[0], self._outputs):
            requests[0].respond(self._outputs)
        else:
            self._backend.answer(requests, self._outputs)


def _has_rows_of(request: WorkRequest, outputs: Arrays) -> bool:
    """True where every output has a row for each item of a request that ran alone, and no more."""
    items = request.batch_size
    if items:
        for array in outputs.values():
            if not array.shape or array.shape[0] != items:
                return False
    return True
