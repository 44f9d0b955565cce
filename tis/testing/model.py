"""A model in this process, and the ways to ask it."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, NoReturn, Self

from tis.contracts import messages as m
from tis.contracts.inference import Parameter
from tis.contracts.model_spec import ModelSpec
from tis.errors import TisError, internal, invalid
from tis.testing.answers import Answered, Array, Collector, ModelError, Outputs
from tis.testing.request import Asked, item_of, the_pool
from tis_workers.backends.base import Backend
from tis_workers.python_api.errors import TritonModelException
from tis_workers.regions import ClientRegions
from tis_workers.request import WorkRequest
from tis_workers.sequences import Sequences

#: How often a model's own threads are asked for what they have dropped.
_LOOK_S: Final = 0.02


class LoadedModel:
    """A model that `load_model` has loaded. One call at a time."""

    def __init__(self, backend: Backend, spec: ModelSpec, load_s: float) -> None:
        #: Its completed specification: names, datatypes and dims of its inputs and outputs, and all else.
        self.spec: Final = spec
        #: How long it took to load and initialize, in seconds.
        self.load_s: Final = load_s
        self._backend = backend
        self._closing: Callable[[], None] = lambda: None
        self._collector = Collector()
        self._regions = ClientRegions()
        self._number = 0
        self._open = True
        self._sequences: Sequences | None = None
        if spec.sequences is not None:
            self._sequences = Sequences(spec, the_pool(), self._collector, self._regions)
        self._slots: dict[int | str, int] = {}
        channel = backend.backchannel
        self._lock = channel.lock if channel is not None else threading.Lock()
        self._news = threading.Condition(self._lock)
        if channel is not None:
            channel.serve(self)

    def on_close(self, closing: Callable[[], None]) -> None:
        """Say what is to be done when the model has gone."""
        self._closing = closing

    # ---- asking ----------------------------------------------------------------------------------------------------

    def infer(
        self,
        inputs: Mapping[str, Any],
        *,
        outputs: Sequence[str] | None = None,
        parameters: Mapping[str, Parameter] | None = None,
        request_id: str = "",
        sequence_id: int | str = 0,
        sequence_start: bool = False,
        sequence_end: bool = False,
        timeout_s: float = 60.0,
    ) -> Outputs:
        """The answer to one request.

        Args:
            inputs: arrays by name, with the batch dimension where the model has one; lists become arrays of the datatype
                that the config names. BYTES are arrays of bytes or str.
            outputs: those wanted; all where None.
            parameters: the client's own.
            request_id: the client's.
            sequence_id: for a model with `sequence_batching`, which also gets its control tensors and states.
            sequence_start: this is the first of its sequence.
            sequence_end: this is the last of its sequence.
            timeout_s: for a model that answers from a thread of its own, how long to wait for that.

        Raises:
            ModelError: what the client would get, in place of an answer.
            ValueError: the model gave more than one response, or none: ask it with `stream`.
        """
        asked = Asked(inputs, outputs, parameters or {}, request_id, sequence_id, sequence_start, sequence_end)
        (answered,) = self._run([asked], timeout_s)
        if len(answered.responses) != 1:
            raise ValueError(
                f"model '{self.spec.name}' gave {len(answered.responses)} responses to a request; `stream` gives them all"
            )
        return _given(answered.responses[0])

    def stream(
        self,
        inputs: Mapping[str, Any],
        *,
        outputs: Sequence[str] | None = None,
        parameters: Mapping[str, Parameter] | None = None,
        request_id: str = "",
        timeout_s: float = 60.0,
    ) -> Iterator[Outputs]:
        """All responses to one request, which may be none; they are given when the last one is there.

        Raises:
            ModelError: in the place of a response that is an error.
        """
        (answered,) = self._run([Asked(inputs, outputs, parameters or {}, request_id)], timeout_s)
        return (_given(each) for each in answered.responses)

    def batch(self, requests: Sequence[Mapping[str, Any]], *, timeout_s: float = 60.0) -> list[Outputs | ModelError]:
        """The first response to each of several requests that are executed together; errors are given, not raised.

        Raises:
            ModelError: the requests do not fit the model, or into one batch.
        """
        answers = self._run([Asked(each) for each in requests], timeout_s)
        return [each.responses[0] if each.responses else Outputs({}, {}, {}) for each in answers]

    def finalize(self) -> None:
        """Let the model go. A second call does nothing."""
        if self._open:
            self._open = False
            try:
                self._backend.finalize()
            finally:
                self._closing()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.finalize()

    # ---- what a model's threads cause ------------------------------------------------------------------------------

    def look(self) -> None:
        """Nobody cancels a request here."""

    def sent(self, _work: WorkRequest) -> None:
        """Something was answered."""
        self._news.notify_all()

    def caller(self) -> NoReturn:
        """There are no other models.

        Raises:
            TritonModelException: always; the model may catch it.
        """
        raise TritonModelException(
            f"model '{self.spec.name}' asks another model, which only a server has; it was loaded without one"
        )

    # ---- executing -------------------------------------------------------------------------------------------------

    def _run(self, asked: Sequence[Asked], timeout_s: float) -> list[Answered]:
        """Execute requests together, again as long as the model wants some to run again."""
        if not self._open:
            raise ValueError(f"model '{self.spec.name}' has been finalized")
        made = [self._made(each) for each in asked]
        rows = sum(item.batch_size for item, _ in made)
        if len(made) > 1 and rows > self.spec.max_batch_size:
            error = invalid(
                f"{len(made)} requests with {rows} items are no batch of model '{self.spec.name}', whose max_batch_size "
                f"is {self.spec.max_batch_size}"
            )
            raise ModelError(error.code, error.message)
        answers = [self._collector.expect(item.request_id) for item, _ in made]
        end_s = time.monotonic() + timeout_s
        with self._lock if self._backend.backchannel is not None else contextlib.nullcontext():
            again = made
            while again:
                requests = [self._request(item, inputs) for item, inputs in again]
                self._execute(requests)
                self._wait(requests, end_s)
                again = [each for each, request in zip(again, requests, strict=True) if request.rescheduled]
        for (item, _), each in zip(made, asked, strict=True):
            del self._collector.answered[item.request_id]
            if each.sequence_end:
                self._slots.pop(each.sequence_id, None)
        return answers

    def _made(self, asked: Asked) -> tuple[m.BatchItem, dict[str, Array]]:
        self._number += 1
        return item_of(self.spec, asked, self._number, self._slot(asked))

    def _slot(self, asked: Asked) -> int:
        """The slot of a request's sequence: the first free one, from its start to its end."""
        if self._sequences is None:
            return -1
        if not asked.sequence_start and asked.sequence_id not in self._slots:
            error = invalid(
                f"inference request for sequence {asked.sequence_id} to model '{self.spec.name}' must specify the START "
                "flag on the first request of the sequence"
            )
            raise ModelError(error.code, error.message)
        taken = set(self._slots.values())
        free = next(number for number in range(len(taken) + 1) if number not in taken)
        return self._slots.setdefault(asked.sequence_id, free)

    def _request(self, item: m.BatchItem, inputs: dict[str, Array]) -> WorkRequest:
        if self._sequences is not None:
            request = self._sequences.request(item)
        else:
            request = WorkRequest(self.spec, item, the_pool(), self._collector, self._regions)
        request.inputs.update(inputs)
        return request

    def _execute(self, requests: list[WorkRequest]) -> None:
        name = self.spec.name
        try:
            if self._sequences is not None:
                self._sequences.execute(self._backend, requests)
            else:
                self._backend.execute(requests)
        except TisError as error:
            _fail_rest(requests, error)
        except Exception as error:
            # As a worker says it; here the cause can be looked at, too.
            _fail_rest(requests, internal(f"model '{name}' failed: {type(error).__name__}: {error}"))
            raise
        _fail_rest(requests, internal(f"model '{name}' gave no response"))

    def _wait(self, requests: list[WorkRequest], end_s: float) -> None:
        """Until threads of the model have answered what `execute` left open. The lock is held."""
        channel = self._backend.backchannel
        if channel is None:
            return
        while any(request.unfinished and not request.answered for request in requests):
            for action in channel.settle():
                action()
            if time.monotonic() > end_s:
                error = internal(f"model '{self.spec.name}' has not sent its last response in time")
                raise ModelError(error.code, error.message)
            self._news.wait(_LOOK_S)


def _fail_rest(requests: list[WorkRequest], error: TisError) -> None:
    for request in requests:
        if not (request.answered or request.unfinished or request.rescheduled):
            request.fail(error)


def _given(response: Outputs | ModelError) -> Outputs:
    if isinstance(response, ModelError):
        raise response
    return response
