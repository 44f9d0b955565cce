"""Models written in Python for Triton's Python backend: a `model.py` with a class TritonPythonModel, run as it is.

The class and its module are user code: whatever they raise, even SystemExit, is an answer. Rules of what `execute` may return
and all texts are those of Triton 2.51 (python_backend, pb_stub.cc).
"""

import io
import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import CoroutineType
from typing import Any, Final, TypeVar

from tis.contracts.model_spec import ModelSpec
from tis.errors import TisError, internal, invalid
from tis.log import get_logger
from tis_workers.backchannel import Backchannel
from tis_workers.backends.base import Backend, LoadContext, Timings
from tis_workers.forks import end_if_forked, on_fork
from tis_workers.metrics_link import MetricsLink
from tis_workers.python_api.coroutines import Coroutines
from tis_workers.python_api.errors import described
from tis_workers.python_api.metrics import connect
from tis_workers.python_api.model_config import ModelConfig
from tis_workers.python_api.model_dir import set_model_dir
from tis_workers.python_api.request import InferenceRequest
from tis_workers.python_api.response import InferenceResponse
from tis_workers.python_api.sender import answer
from tis_workers.python_api.serving import set_channel
from tis_workers.request import WorkRequest

_CLASS: Final = "TritonPythonModel"
#: Characters of an error in the log.
_LONGEST_LOGGED: Final = 32 << 10
_NOT_ITERATIVE: Final = (
    "Request is released with TRITONSERVER_REQUEST_RELEASE_RESCHEDULE, while the model is not configured to handle such a "
    "flag."
)
_TOO_LATE: Final = "a decoupled model's coroutine cannot reschedule its request: it runs after the request was released"

_T = TypeVar("_T")

_log = get_logger(__name__)


def load(context: LoadContext) -> "PythonBackend":
    """Import a model and let it complete its config.

    Raises:
        TisError: INTERNAL, with what the model raised and where.
    """
    return PythonBackend(context)


class PythonBackend(Backend):
    """One instance of a model."""

    hands_inputs_over = True

    def __init__(self, context: LoadContext) -> None:
        self._context = context
        self._channel = Backchannel()
        self._coroutines = Coroutines()
        on_fork(self._channel.leave)
        self._metrics = MetricsLink(self._channel, context.control, context.instance.name)
        connect(self._metrics)
        set_channel(self._channel, context.instance.name)
        self._class = _called(_import_class, context)
        self._proposed = ""
        if context.complete and hasattr(self._class, "auto_complete_config"):
            self._proposed = self._completed(context.spec)
        self._model: Any = None

    @property
    def backchannel(self) -> Backchannel:
        """Models have threads, which send responses."""
        return self._channel

    def proposed_config(self) -> str:
        """What `auto_complete_config` gave."""
        return self._proposed

    def serve(self, spec: ModelSpec) -> None:
        """Make the model and initialize it.

        Raises:
            TisError: INTERNAL, with what the model raised and where.
        """
        super().serve(spec)
        self._model = _called(self._class)
        if hasattr(self._model, "initialize"):
            _called(self._model.initialize, self._arguments(spec))
        if not hasattr(self._model, "execute"):
            # Triton finds out at the first request.
            raise internal(f"Python model {self._context.model_file} does not implement `execute` method.")

    def execute(self, requests: list[WorkRequest]) -> Timings:
        """One call of the model for the whole batch."""
        start_ns = time.monotonic_ns()
        channel = self._channel
        asked = [InferenceRequest(work, channel) for work in requests]
        input_end_ns = time.monotonic_ns()
        lock = channel.lock
        self._metrics.executing = True
        lock.release()
        try:
            responses = self._model.execute(asked)
            if type(responses) is CoroutineType and not self.spec.decoupled:
                responses = self._coroutines.result(responses)
        except BaseException as error:  # noqa: BLE001 - sys.exit and the like end a batch, not the worker
            end_if_forked()
            text = described(error, __file__)
            lock.acquire()
            self._metrics.executed()
            return self._failed(requests, text, Timings(start_ns, input_end_ns, time.monotonic_ns()))
        end_if_forked()
        lock.acquire()
        self._metrics.executed()
        if type(responses) is CoroutineType:
            return self._goes_on(requests, asked, responses, Timings(start_ns, input_end_ns, time.monotonic_ns()))
        timings = Timings(start_ns, input_end_ns, time.monotonic_ns())
        text = self._answered(requests, asked, responses)
        return self._failed(requests, text, timings) if text else timings

    def finalize(self) -> None:
        """Tell the model; what it raises is only logged."""
        self._coroutines.stop()
        if self._model is None or not hasattr(self._model, "finalize"):
            return
        try:
            self._model.finalize()
            end_if_forked()
        except BaseException as error:  # noqa: BLE001 - the instance goes anyway
            end_if_forked()
            _log.error("Failed to finalize model '%s': %s", self.spec.name, described(error, __file__))

    # ---- in the background -------------------------------------------------------------------------------------------

    def _goes_on(
        self,
        requests: list[WorkRequest],
        asked: list[InferenceRequest],
        coroutine: "CoroutineType[Any, Any, Any]",
        timings: Timings,
    ) -> Timings:
        """A decoupled model's coroutine runs beside those of later requests."""
        for work in requests:
            work.unfinished = not work.answered
        self._coroutines.begin(coroutine, partial(self._ended, requests, asked, timings))
        return timings

    def _ended(
        self,
        requests: list[WorkRequest],
        asked: list[InferenceRequest],
        timings: Timings,
        returned: Any,
        error: BaseException | None,
    ) -> None:
        """It has ended. Unlike in Triton, whose clients then wait for ever, what it raised is told to those who wait."""
        end_if_forked()
        text = described(error, __file__) if error is not None else ""
        with self._channel.lock:
            if error is None:
                again = any(request.rescheduled for request in asked)
                text = _TOO_LATE if again else self._answered(requests, asked, returned)
                forgotten = internal(f"model '{self.spec.name}' gave no response")
                for work in requests:
                    if not text and not (work.answered or work.unfinished):
                        work.fail(forgotten)
            if text:
                self._failed(requests, text, timings)
            for work in requests:
                self._channel.sent(work)

    # ---- answers ---------------------------------------------------------------------------------------------------

    def _answered(self, requests: list[WorkRequest], asked: list[InferenceRequest], responses: Any) -> str:
        """Answer the requests with what `execute` returned. Gives the text of what is wrong with that, if anything."""
        try:
            return self._answered_with(requests, asked, responses)
        except BaseException as error:  # noqa: BLE001 - a list or response of a model's own class may do anything
            return described(error, __file__)

    def _answered_with(self, requests: list[WorkRequest], asked: list[InferenceRequest], responses: Any) -> str:
        if responses is None:
            responses = [None] * len(requests)
        elif self.spec.decoupled:
            return (
                f"Python model '{self._context.instance.name}' is using the decoupled mode and the execute function must "
                "return None."
            )
        elif not isinstance(responses, list):
            return f"Expected a list in the execute return, found type '{type(responses)}'."
        elif len(responses) != len(asked):
            return (
                "Number of InferenceResponse objects do not match the number of InferenceRequest objects. "
                f"InferenceRequest(s) size is:{len(asked)}, and InferenceResponse(s) size is:{len(responses)}\n"
            )
        text = _misfit(asked, responses)
        if text:
            return text
        iterative = self.spec.sequences is not None and self.spec.sequences.iterative
        for work, request, response in zip(requests, asked, responses, strict=True):
            if response is None and request.rescheduled and not iterative:
                # Triton only logs this, and its client waits for ever.
                work.fail(invalid(_NOT_ITERATIVE))
            elif response is None:
                work.rescheduled = request.rescheduled
                # The sender may be in a thread's hands.
                work.unfinished = not work.answered and not request.rescheduled and request.has_sender
            elif not work.answered:
                answer(work, response)
        return ""

    def _failed(self, requests: list[WorkRequest], text: str, timings: Timings) -> Timings:
        instance = self._context.instance.name
        error = internal(f"Failed to process the request(s) for model '{instance}', message: {text}")
        _log.error("%s", error.message[:_LONGEST_LOGGED])
        for work in requests:
            if not work.answered:
                work.fail(error, verbatim=True)
        return timings

    # ---- loading ---------------------------------------------------------------------------------------------------

    def _completed(self, spec: ModelSpec) -> str:
        config = ModelConfig(self._context.config_json)
        proposed = _called(self._class.auto_complete_config, config)
        if not isinstance(proposed, ModelConfig):
            raise internal(
                f"auto_complete_config function in model '{spec.name}' must return a valid pb.ModelConfig object."
            )
        try:
            return json.dumps(proposed.as_dict())
        except (TypeError, ValueError) as error:
            raise invalid(
                f"auto_complete_config function in model '{spec.name}' gave no valid config: {error}"
            ) from error

    def _arguments(self, spec: ModelSpec) -> dict[str, str]:
        instance = self._context.instance
        return {
            "model_config": self.config_json,
            "model_instance_kind": instance.kind,
            "model_instance_name": instance.name,
            "model_instance_device_id": str(instance.device_id),
            "model_repository": spec.model_path,
            "model_version": str(spec.version),
            "model_name": spec.name,
        }


def _import_class(context: LoadContext) -> Any:
    """The model's class. Its module is `<version>.<file>`; version and model directory end the path, as in Triton."""
    file = Path(context.spec.backend_file or context.model_file)
    # No bytecode beside the models: their directory may be read-only, shared, or looked at for changes.
    sys.dont_write_bytecode = True
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What a model prints comes out line by line, even into a pipe.
        sys.stdout.reconfigure(line_buffering=True)
    set_model_dir(context.version_dir)
    if context.spec.backend_file:
        # The backend's directory stands in the place of the model's two, and its module has a plain name.
        sys.path += [str(file.parent)]
        name = file.stem
    else:
        sys.path += [str(file.parent), context.spec.model_path]
        name = f"{context.spec.version}.{file.stem}"
    module = __import__(name, fromlist=[_CLASS])
    if not hasattr(module, _CLASS) and "tis.functions" in sys.modules:
        # What declares functions as models has imported that.
        from tis_workers.python_api.function_model import function_model_in

        functions = function_model_in(module, context.spec.name)
        if functions is not None:
            return functions
    return getattr(module, _CLASS)


def _called(function: Callable[..., _T], *arguments: Any) -> _T:
    """The result of a model's function at load.

    Raises:
        TisError: INTERNAL, whatever it raised.
    """
    try:
        result = function(*arguments)
    except TisError:
        raise
    except BaseException as error:
        end_if_forked()
        raise internal(described(error, __file__)) from error
    end_if_forked()
    return result


def _misfit(asked: Sequence[InferenceRequest], responses: Sequence[Any]) -> str:
    for request, response in zip(asked, responses, strict=True):
        if response is not None and request.rescheduled:
            return (
                "Expected a None object in the execute function return list for reschduled request, found type "
                f"'{type(response)}'."
            )
        if response is not None and not isinstance(response, InferenceResponse):
            return (
                "Expected an 'InferenceResponse' object in the execute function return list, found type "
                f"'{type(response)}'."
            )
    return ""
