"""Warming a model up: the samples of `model_warmup` run on an instance before it takes batches.

What is checked, counted and said follows Triton (GenerateWarmupData and WarmUp in its core): each sample is an execution of
`batch_size` equal requests of one item, given straight to the instance. Nobody is answered.
"""

import contextlib
import threading
import time
import traceback
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from tis.contracts import messages as m
from tis.contracts.arrays import NUMPY, decode_bytes
from tis.contracts.datatypes import ELEMENT_BYTES
from tis.contracts.inference import InferRequest, InputTensor, id_prefix
from tis.contracts.model_spec import ModelSpec
from tis.contracts.scheduling_spec import WarmupInputSpec, WarmupSpec
from tis.contracts.validation import check_bytes_elements, check_request
from tis.errors import TisError, internal, invalid
from tis.log import get_logger
from tis_shm.pool import Pool
from tis_workers.answers import NoAnswers
from tis_workers.backends.base import Backend
from tis_workers.regions import ClientRegions
from tis_workers.request import WorkRequest, reshaped

#: The folder in a model's directory that holds the files of samples.
FOLDER: Final = "warmup"
_SEED: Final = 0

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample ready to run: the inputs of each of its requests, in the shape that the backend sees."""

    name: str
    batch_size: int
    count: int
    inputs: dict[str, npt.NDArray[Any]]


class Channel(Protocol):
    """The way of a model's own threads into the worker, where a model has such threads: they answer when execute is over."""

    #: Held while a backend executes, and by a thread while it answers.
    lock: threading.Lock

    def serve(self, loop: Any) -> None:
        """From now on call `loop.look()` and `loop.sent(request)`, with the lock held."""


class _Watch:
    """Notices answers that come after an execution, in place of the worker's loop."""

    def __init__(self, lock: threading.Lock) -> None:
        self._answered = threading.Condition(lock)

    def look(self) -> None:
        """Nobody cancels a sample."""

    def sent(self, _request: WorkRequest) -> None:
        """Something was answered."""
        self._answered.notify_all()

    def wait_for(self, requests: list[WorkRequest]) -> None:
        """Wait, with the lock held, until all of these are answered; as long as it takes, like an execution itself."""
        self._answered.wait_for(lambda: all(request.answered for request in requests))


def warm_up(
    backend: Backend, spec: ModelSpec, instance: str, pool: Pool, channel: Channel | None = None
) -> tuple[m.Warmup, ...]:
    """Run a model's samples on this instance, after `backend.serve`; gives an entry for each execution.

    Args:
        backend: the loaded model.
        spec: its completed specification.
        instance: the instance's name, for errors.
        pool: what requests are made with; nothing is taken from it.
        channel: there where the model may answer from threads of its own. Whoever serves it next connects it anew.

    Raises:
        TisError: INVALID_ARG or INTERNAL, in Triton's words: a sample does not fit the model, or its execution failed.
    """
    if not spec.warmups:
        return ()
    samples = [make_sample(spec, each) for each in spec.warmups]
    watch = None
    if channel is not None:
        watch = _Watch(channel.lock)
        channel.serve(watch)
    with channel.lock if channel is not None else contextlib.nullcontext():
        return tuple(
            _run(backend, spec, instance, sample, pool, watch)
            for sample in samples
            for _iteration in range(sample.count)
        )


def make_sample(spec: ModelSpec, warmup: WarmupSpec) -> Sample:
    """The data of a sample, checked.

    An input that the config does not name is one that the server itself gives a model (a sequence's controls); it goes to
    the model unchecked.

    Raises:
        TisError: INVALID_ARG for a sample that does not fit the model, INTERNAL for a file that cannot be read.
    """
    for each in warmup.inputs:
        if any(dim < 0 for dim in each.shape):
            raise invalid(f"warmup setting expects all variable-size dimensions are specified for input '{each.name}'")
    random = np.random.default_rng(_SEED)
    given = {each.name: _given(spec, each) for each in warmup.inputs}
    own = [each for each in warmup.inputs if each.name in spec.inputs_by_name]
    _check_fit(spec, own, given)
    inputs: dict[str, npt.NDArray[Any]] = {}
    for each in warmup.inputs:
        if each.datatype not in ELEMENT_BYTES:
            raise invalid(f"{id_prefix('')}warmup setting expects input '{each.name}' to have data_type set")
        shape = _shape(spec, each)
        tensor = spec.inputs_by_name.get(each.name)
        if tensor is not None and tensor.reshape is not None:
            shape = reshaped(shape, tensor.shape, tensor.reshape, batched=spec.max_batch_size > 0)
        inputs[each.name] = _array(each, shape, given[each.name], random)
    return Sample(warmup.name, warmup.batch_size, warmup.count, inputs)


def _given(spec: ModelSpec, each: WarmupInputSpec) -> bytes:
    """The content of the input's file; empty where it has none. Every input must say where its data come from."""
    if each.source != "file":
        if not each.source:
            raise invalid(f"{id_prefix('')}warmup setting expects input '{each.name}' to have input_data_type set")
        return b""
    folder = Path(spec.model_path) / FOLDER
    path = folder / each.filename
    if not path.resolve().is_relative_to(folder.resolve()):
        raise invalid(
            f"warmup file '{each.filename}' of input '{each.name}' lies outside of the directory '{FOLDER}' of model "
            f"'{spec.name}'"
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise internal(f"failed to open text file for read {path}: {error.strerror}") from None
    size_bytes = _size_bytes(each)
    if size_bytes > len(content):
        raise invalid(
            f"{id_prefix('')}warmup setting expects {size_bytes} bytes, but the data provided from {each.filename} only "
            f"has {len(content)} bytes"
        )
    return content if each.datatype == "BYTES" else content[:size_bytes]


def _size_bytes(each: WarmupInputSpec) -> int:
    return prod(each.shape) * ELEMENT_BYTES.get(each.datatype, 0)


def _shape(spec: ModelSpec, each: WarmupInputSpec) -> tuple[int, ...]:
    """With the batch dimension, where the model has one. Controls have it, too."""
    return (1, *each.shape) if spec.max_batch_size > 0 else each.shape


def _check_fit(spec: ModelSpec, own: list[WarmupInputSpec], given: dict[str, bytes]) -> None:
    tensors = [InputTensor(each.name, each.datatype, _shape(spec, each), _size_bytes(each)) for each in own]
    check_request(spec, InferRequest(spec.name, spec.version, "", tensors))
    for each in own:
        if each.datatype == "BYTES" and each.source == "file":
            try:
                check_bytes_elements(each.name, spec.name, _shape(spec, each), memoryview(given[each.name]))
            except TisError as error:
                raise TisError(error.code, id_prefix("") + error.message) from None


def _array(
    each: WarmupInputSpec, shape: tuple[int, ...], content: bytes, random: np.random.Generator
) -> npt.NDArray[Any]:
    if each.datatype == "BYTES":
        if each.source == "file":
            try:
                return decode_bytes(content, shape)
            except ValueError as error:
                raise invalid(f"{id_prefix('')}warmup input '{each.name}': {error}") from None
        empty = np.empty(shape, np.object_)
        empty.fill(b"")
        return empty
    dtype = NUMPY[each.datatype]
    if each.source == "file":
        return np.frombuffer(content, dtype).reshape(shape)
    if each.source == "zero":
        return np.zeros(shape, dtype)
    if each.datatype == "BF16":
        # The upper half of a float is the same number with fewer digits.
        return (random.random(shape, np.float32).view(np.uint32) >> 16).astype(dtype)
    if dtype.kind == "f":
        # Not any bits, as Triton has them: NaN and subnormal numbers would warm up the wrong paths.
        return random.random(shape).astype(dtype)
    if dtype.kind == "b":
        return random.integers(0, 2, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def _run(
    backend: Backend, spec: ModelSpec, instance: str, sample: Sample, pool: Pool, watch: _Watch | None
) -> m.Warmup:
    """One execution of a sample."""
    answers = NoAnswers()
    if 1 != sample.batch_size > spec.max_batch_size:
        text = f"batch size {sample.batch_size} for '{instance}', max allowed is {spec.max_batch_size}"
        raise _failed(sample, [text] * sample.batch_size)
    body = m.encode_body(m.WorkBody("", (), (), None))
    batch_size = min(spec.max_batch_size, 1)
    regions = ClientRegions()
    requests: list[WorkRequest] = []
    for number in range(sample.batch_size):
        item = m.BatchItem(number + 1, m.FILLER, batch_size, body)
        request = WorkRequest(spec, item, pool, answers, regions)
        request.inputs.update(sample.inputs)
        requests.append(request)
    start_ns = time.monotonic_ns()
    try:
        timings = backend.execute(requests)
    except TisError as error:
        raise _failed(sample, [*answers.errors, error.message]) from error
    except Exception as error:
        _log.error("model '%s': warmup sample '%s' failed\n%s", spec.name, sample.name, traceback.format_exc())
        raise _failed(sample, [*answers.errors, f"{type(error).__name__}: {error}"]) from error
    if watch is not None:
        watch.wait_for([request for request in requests if request.unfinished])
    if answers.errors:
        raise _failed(sample, answers.errors)
    if not all(request.answered for request in requests):
        raise _failed(sample, [f"model '{spec.name}' gave no response"])
    end_ns = time.monotonic_ns()
    return m.Warmup(sample.batch_size, start_ns, timings.input_end_ns, timings.infer_end_ns, end_ns)


def _failed(sample: Sample, errors: list[str]) -> TisError:
    return invalid(f"failed to run warmup sample '{sample.name}': " + "".join(f"{error}; " for error in errors))
