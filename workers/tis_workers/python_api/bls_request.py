"""`InferenceRequest` as a model makes it, to ask another model: its fields, and the ways to send it."""

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tis_workers.python_api import serving
from tis_workers.python_api.errors import TritonModelException, fits
from tis_workers.python_api.memory import MemoryType, PreferredMemory
from tis_workers.python_api.parameters import checked
from tis_workers.python_api.response import InferenceResponse
from tis_workers.python_api.response_iterator import ResponseIterator, response_of
from tis_workers.python_api.sender import InferenceResponseSender
from tis_workers.python_api.tensor import Tensor
from tis_workers.python_api.trace import InferenceTrace

if TYPE_CHECKING:
    from tis_workers.bls.call import Ask, Call

_CPU: Final = PreferredMemory(MemoryType.TRITONSERVER_MEMORY_CPU)
_NO_TRACE: Final = InferenceTrace()
_INT64_END: Final = 1 << 63
_LISTS: Final = (list, tuple)
_TEXTS: Final = (str, bytes)


class InferenceRequest:
    """A request that a model makes. It may be sent any number of times."""

    __slots__ = (
        "_client_id",
        "_correlation_id",
        "_inputs",
        "_model",
        "_outputs",
        "_own_flags",
        "_own_parameters",
        "_priority",
        "_timeout_us",
        "_trace",
        "_version",
    )

    def __init__(
        self,
        request_id: str = "",
        correlation_id: int | str = 0,
        inputs: Any = None,
        requested_output_names: Any = None,
        model_name: str | None = None,
        model_version: int = -1,
        flags: int = 0,
        timeout: int = 0,
        preferred_memory: PreferredMemory = _CPU,
        trace: InferenceTrace = _NO_TRACE,
        parameters: Any = None,
        *,
        priority: int = 0,
    ) -> None:
        """Name a model, its inputs and the outputs wanted; the last three of those are mandatory.

        Args:
            request_id: an id of the caller's, which stands in errors.
            correlation_id: the sequence, a number or a string; 0 for none.
            inputs: a list of Tensor.
            requested_output_names: a list of names; all outputs where it is empty.
            model_name: the model.
            model_version: its version; -1 for the newest.
            flags: TRITONSERVER_REQUEST_FLAG_SEQUENCE_START and _END.
            timeout: in microseconds; 0 for none.
            preferred_memory: where the outputs should lie; they come on the CPU.
            trace: of the request that this one is made for.
            parameters: a dictionary of parameters for the model.
            priority: of the request, 0 for the model's default. Triton 2.51 does not have it.

        Raises:
            TypeError: a wrong kind of argument.
            TritonModelException: an empty name among those, or parameters that cannot travel.
        """
        given = (request_id, correlation_id, inputs, requested_output_names, model_name, model_version, flags, timeout)
        if not _fit(*given) or not (fits(preferred_memory, PreferredMemory) and fits(trace, InferenceTrace)):
            raise TypeError(
                "InferenceRequest takes request_id (str), correlation_id (int or str), inputs (list of Tensor), "
                "requested_output_names (list of str), model_name (str), model_version (int), flags, timeout (int, not "
                f"negative), preferred_memory, trace and parameters (dict); got {given!r}"
            )
        self._client_id = request_id
        self._correlation_id = correlation_id
        self._inputs: list[Tensor] | None = list(inputs)
        self._outputs: list[str] = [_text(name) for name in requested_output_names]
        self._model = _text(model_name)
        self._version = model_version
        self._own_flags = flags
        self._timeout_us = timeout
        self._trace = trace
        self._priority = priority
        for tensor in self._inputs:
            if tensor is None:
                raise TritonModelException(
                    f"Input tensor for request with id '{request_id}' and model name '{self._model}' should not be empty."
                )
        if "" in self._outputs:
            raise TritonModelException(
                f"Requested output name for request with id '{request_id}' and model name '{self._model}' should not be "
                "empty."
            )
        self._own_parameters = checked(parameters) if parameters is not None else {}

    # ---- what it says ----------------------------------------------------------------------------------------------

    def inputs(self) -> list[Tensor]:
        """The inputs."""
        return self._inputs or []

    def request_id(self) -> str:
        """Its id; empty for none."""
        return self._client_id

    def correlation_id(self) -> int | str:
        """Its sequence; 0 for none."""
        return self._correlation_id

    def flags(self) -> int:
        """1 for the start of a sequence, 2 for its end, together 3."""
        return self._own_flags

    def set_flags(self, flags: int) -> None:
        """Change these."""
        self._own_flags = flags

    def timeout(self) -> int:
        """Its timeout in microseconds; 0 for none."""
        return self._timeout_us

    def priority(self) -> int:
        """Its priority; 0 for the model's default."""
        return self._priority

    def parameters(self) -> str:
        """Its parameters as the JSON text of an object."""
        return json.dumps(self._own_parameters)

    def requested_output_names(self) -> set[str]:
        """The outputs wanted."""
        return set(self._outputs)

    def trace(self) -> InferenceTrace:
        """Its trace, to be given to requests that are made for it."""
        return self._trace

    def set_release_flags(self, flags: int) -> None:
        """Has no effect: the model itself releases what it has made."""

    def get_response_sender(self) -> InferenceResponseSender:
        """There is none: responses come to who sends it.

        Raises:
            TritonModelException: always.
        """
        raise TritonModelException("a request that a model makes has no response sender; exec() gives its responses")

    def is_cancelled(self) -> bool:
        """False: nobody can cancel it. Triton's server ends when it is asked this."""
        return False

    # ---- sending it ------------------------------------------------------------------------------------------------

    def exec(self, decoupled: bool = False) -> InferenceResponse | ResponseIterator:
        """Send it and wait for the response; with `decoupled` for the first one, and give an iterator of all.

        What goes wrong is a response with an error.

        Raises:
            TritonModelException: the model does not serve requests yet, or no more.
        """
        caller = serving.caller()
        lock = caller.lock
        with lock:
            call = caller.call(self._ask(), decoupled=decoupled)
            try:
                outcome = caller.wait(call)
            except BaseException:
                caller.abandon(call)
                raise
        if not decoupled:
            return response_of(outcome)
        return ResponseIterator(call, caller, serving.channel()).add(outcome)

    def async_exec(self, decoupled: bool = False) -> "asyncio.Future[Any]":
        """The same to be awaited; it is sent at once.

        Raises:
            RuntimeError: no asyncio loop runs in this thread.
            TritonModelException: the model does not serve requests yet, or no more.
        """
        asyncio.get_running_loop()
        caller = serving.caller()
        from tis_workers.bls.awaiting import reader_of

        with caller.lock:
            call: Call = caller.call(self._ask(), decoupled=decoupled)
        convert: Any = response_of
        if decoupled:
            convert = partial(_begun, ResponseIterator(call, caller, serving.channel()))
        return reader_of(caller).outcome(call, convert)

    def _ask(self) -> "Ask":
        from tis_workers.bls.call import Ask

        return Ask(
            self._model,
            self._version,
            self.request_id(),
            [tensor.parts() for tensor in self.inputs()],
            self._outputs,
            self.correlation_id(),
            self.flags(),
            self.timeout(),
            self.priority(),
            self._own_parameters,
        )


def _begun(iterator: ResponseIterator, outcome: Any) -> ResponseIterator:
    return iterator.add(outcome)


def _fit(
    request_id: object,
    correlation_id: object,
    inputs: Any,
    outputs: Any,
    model: object,
    version: object,
    flags: object,
    timeout: object,
) -> bool:
    return (
        fits(request_id, str)
        and (fits(correlation_id, str) or (isinstance(correlation_id, int) and 0 <= correlation_id < 2 * _INT64_END))
        and isinstance(inputs, _LISTS)
        and all(each is None or isinstance(each, Tensor) for each in inputs)
        and isinstance(outputs, _LISTS)
        and all(isinstance(each, _TEXTS) for each in outputs)
        and isinstance(model, _TEXTS)
        and isinstance(version, int)
        and isinstance(flags, int)
        and flags >= 0
        and isinstance(timeout, int)
        and 0 <= timeout < _INT64_END
    )


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
