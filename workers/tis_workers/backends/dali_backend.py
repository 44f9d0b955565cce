"""DALI pipelines (`dali`): serialized ones, and Python files that describe one with `@autoserialize`.

What a pipeline declares is read in `dali_definition.py`; configs are completed and compared in `dali_config.py`. DALI takes a
batch as a list of samples, so that requests of different shapes run together without being filled up, and the samples are
handed over where they lie. Parameters: `num_threads`, `split_along_outer_axis`.
"""

import runpy
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tis.contracts.arrays import NUMPY
from tis.contracts.model_spec import ModelSpec
from tis.errors import Code, TisError, internal, invalid, not_found, unsupported
from tis_workers.backends.base import Backend, LoadContext, Timings
from tis_workers.batch.parts import Arrays
from tis_workers.request import WorkRequest

try:
    import nvidia.dali as dali
except ImportError as error:
    raise unsupported(
        "the model needs NVIDIA DALI, which is not installed; install it with: pip install 'tis[dali]'"
    ) from error

from tis_workers.backends.dali_config import completed_config
from tis_workers.backends.dali_definition import definition_of

_DEFAULT_FILE: Final = "model.dali"
_FALLBACK: Final = "dali.py"


def load(context: LoadContext) -> "DaliBackend":
    """Read and build the pipeline of an instance.

    Raises:
        TisError: NOT_FOUND without a file, UNKNOWN with DALI's text where it refuses the file, INVALID_ARG where the config
            contradicts the pipeline.
    """
    return DaliBackend(context)


class DaliBackend(Backend):
    """One pipeline."""

    def __init__(self, context: LoadContext) -> None:
        parameters = context.spec.parameters
        self._serialized = _serialized(context)
        self._split = frozenset(filter(None, parameters.get("split_along_outer_axis", "").split(":")))
        self._threads = _threads(context)
        self._device: int | None = 0 if context.instance.kind == "GPU" else None
        self._definition = definition_of(self._serialized, context.spec.name)
        self._proposed = completed_config(context, self._definition, tuple(self._split))
        self._batch_size = self._definition.batch_size
        #: None after an error, until the next batch.
        self._pipeline: Any = None
        self._build()

    def proposed_config(self) -> str:
        """The config with what the pipeline declares."""
        return self._proposed

    def serve(self, spec: ModelSpec) -> None:
        """The completed specification, before the first batch."""
        super().serve(spec)
        if spec.max_batch_size and spec.max_batch_size != self._batch_size:
            self._batch_size = spec.max_batch_size
            self._build()

    def execute(self, requests: list[WorkRequest]) -> Timings:
        """One run for the whole batch. If that fails, each request runs alone, so that only the culprit fails."""
        if not self.spec.max_batch_size and len(requests) > 1:
            return self._one_by_one(requests)
        start_ns = time.monotonic_ns()
        try:
            samples = self._samples(requests)
            input_end_ns = time.monotonic_ns()
            outputs = self._run(samples)
        except TisError as error:
            if len(requests) > 1:
                return self._one_by_one(requests)
            requests[0].fail(error)
            now_ns = time.monotonic_ns()
            return Timings(start_ns, now_ns, now_ns, now_ns)
        infer_end_ns = time.monotonic_ns()
        at = 0
        for request in requests:
            end = at + _count(request)
            try:
                request.respond(self._part(outputs, at, end))
            except TisError as error:
                request.fail(error)
            at = end
        return Timings(start_ns, input_end_ns, infer_end_ns)

    def _one_by_one(self, requests: list[WorkRequest]) -> Timings:
        start_ns = time.monotonic_ns()
        for request in requests:
            self.execute([request])
        now_ns = time.monotonic_ns()
        return Timings(start_ns, start_ns, now_ns, now_ns)

    def _samples(self, requests: list[WorkRequest]) -> dict[str, list[npt.NDArray[Any]] | npt.NDArray[Any]]:
        """What each input is fed: samples in place, or all of a request at once."""
        found: dict[str, list[npt.NDArray[Any]] | npt.NDArray[Any]] = {}
        for tensor in self._definition.inputs:
            parts = [request.inputs.get(tensor.name) for request in requests]
            given = [part for part in parts if part is not None]
            if len(given) != len(parts):
                raise unsupported(f"failed to get input '{tensor.name}': the pipeline needs it of every request")
            found[tensor.name] = given[0] if len(given) == 1 else [sample for part in given for sample in part]
        if len({len(each) for each in found.values()}) > 1:
            raise invalid("Each input in a request must have the same batch size.")
        return found

    def _run(self, samples: dict[str, list[npt.NDArray[Any]] | npt.NDArray[Any]]) -> list[Any]:
        """The outputs of the pipeline, in main memory."""
        try:
            if self._pipeline is None:
                self._build()
            for name, values in samples.items():
                self._pipeline.feed_input(name, values)
            outputs = self._pipeline.run()
            return [output.as_cpu() if self._device is not None else output for output in outputs]
        except TisError:
            raise
        except Exception as error:
            # What has failed once never runs again, and what was fed may still lie there.
            self._pipeline = None
            raise TisError(Code.UNKNOWN, f"DALI error: {_told(error)}") from error

    def _part(self, outputs: list[Any], start: int, end: int) -> Arrays:
        """A request's samples of every output that it wants."""
        found: dict[str, npt.NDArray[Any]] = {}
        for tensor, output in zip(self.spec.outputs, outputs, strict=False):
            if tensor.name in self._split:
                array = np.concatenate([np.asarray(output.at(index)) for index in range(start, end)])
            elif output.is_dense_tensor() and len(output):
                array = np.asarray(output.as_tensor())[start:end]
            else:
                array = _stacked(tensor.name, [np.asarray(output.at(index)) for index in range(start, end)])
            if array.dtype != NUMPY.get(tensor.datatype):
                raise internal(
                    f"output '{tensor.name}' of the pipeline is of type {array.dtype}, the config says {tensor.datatype}"
                )
            found[tensor.name] = array
        return found

    def _build(self) -> None:
        """Make the pipeline anew. A pipeline on the CPU runs in this thread, which has nothing else to do.

        Raises:
            TisError: UNKNOWN with DALI's text.
        """
        on_cpu = self._device is None
        how = {"exec_async": False, "exec_pipelined": False} if on_cpu else {"exec_dynamic": True}
        try:
            self._pipeline = dali.Pipeline.deserialize(
                serialized_pipeline=self._serialized,
                batch_size=self._batch_size,
                num_threads=self._threads,
                device_id=self._device,
                prefetch_queue_depth=1,
                **how,
            )
        except Exception as error:
            self._pipeline = None
            raise TisError(Code.UNKNOWN, f"DALI error: {_told(error)}") from error


def _count(request: WorkRequest) -> int:
    """The samples of a request."""
    return request.batch_size or len(next(iter(request.inputs.values())))


def _stacked(name: str, samples: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    shapes = {sample.shape for sample in samples}
    if len(shapes) > 1:
        raise internal(
            f"output '{name}' of the pipeline has samples of different shapes in one request, which an answer cannot hold: "
            f"{', '.join(str(list(shape)) for shape in sorted(shapes))}"
        )
    return np.stack(samples)


def _serialized(context: LoadContext) -> bytes:
    """The serialized pipeline, from the file that the config names, or else from `dali.py`."""
    path = context.version_dir / (context.spec.filename or _DEFAULT_FILE)
    if not path.is_file():
        fallback = context.version_dir / _FALLBACK
        if not fallback.is_file():
            raise not_found(f"unable to find '{path}' or '{fallback}' for model '{context.spec.name}'")
        path = fallback
    return _autoserialized(path, context) if path.suffix == ".py" else path.read_bytes()


def _autoserialized(path: Path, context: LoadContext) -> bytes:
    """What the one function of a file that bears `@autoserialize` describes."""
    on_cpu = context.instance.kind != "GPU"
    try:
        found = [each for each in runpy.run_path(str(path)).values() if getattr(each, "_is_autoserialize", False)]
        if len(found) != 1:
            raise invalid(
                f"'{path}' of model '{context.spec.name}' must have one pipeline definition with @autoserialize; got "
                f"{len(found)}"
            )
        # A definition for GPUs cannot even be written down where there is none.
        pipeline = found[0](device_id=None) if on_cpu else found[0]()
        serialized: bytes = pipeline.serialize()
    except TisError:
        raise
    except Exception as error:
        text = f"DALI Backend error: Failed to serialize '{path}' of model '{context.spec.name}': {_told(error)}"
        raise TisError(Code.UNKNOWN, text) from error
    return serialized


def _threads(context: LoadContext) -> int:
    """`num_threads`, else the instance's share of the cores."""
    text = context.spec.parameters.get("num_threads", "")
    if not text:
        return context.threads
    if not (text.isascii() and text.isdigit() and int(text)):
        raise invalid(
            f"parameter 'num_threads' of model '{context.spec.name}' must be a whole number of 1 or more; got '{text}'"
        )
    return int(text)


def _told(error: Exception) -> str:
    """DALI's text, without the places in its own source and in that of the pipeline's author."""
    text = str(error).split("Stacktrace (", 1)[0]
    _, marker, cause = text.partition("encountered:")
    return " ".join((cause if marker else text).split())
