"""What a backend is: loads a model file, says what is in it, and executes batches of requests.

`TensorBackend` is for frameworks that map arrays to arrays; it does everything around that call. A backend that wants
the requests themselves (Python models) derives from `Backend`.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tis.contracts.model_spec import InstanceSpec, ModelSignature, ModelSpec
from tis.errors import TisError, internal
from tis_workers.request import WorkRequest

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class LoadContext:
    """What a backend is given to load a model instance."""

    spec: ModelSpec
    instance: InstanceSpec
    #: How many threads this instance should use at most, so that all instances share the cores.
    threads: int

    @property
    def model_file(self) -> Path:
        """The file or directory to load."""
        return Path(self.spec.model_path) / str(self.spec.version) / self.spec.filename


@dataclass(slots=True)
class Timings:
    """When an execution began, had its inputs, had its outputs and had answered, in monotonic nanoseconds."""

    start_ns: int
    input_end_ns: int
    infer_end_ns: int
    end_ns: int = 0


class Backend(ABC):
    """A loaded model instance."""

    def signature(self) -> ModelSignature | None:
        """What the model file says of its inputs and outputs; None where its format says nothing."""
        return None

    def serve(self, spec: ModelSpec) -> None:
        """The completed specification, before the first batch."""
        self.spec = spec

    @abstractmethod
    def execute(self, requests: list[WorkRequest]) -> Timings:
        """Answer every request. A request left unanswered, by an exception or by omission, is failed by the caller."""

    def finalize(self) -> None:
        """The instance is about to go."""
        return


class TensorBackend(Backend):
    """A backend that maps arrays to arrays: gathers a batch, runs it, scatters the results."""

    @abstractmethod
    def run(self, inputs: Arrays, outputs: Sequence[str]) -> Arrays:
        """The named outputs for these inputs. With batching, the first dimension counts the items of the whole batch.

        Raises:
            TisError: the model failed on these inputs.
        """

    def execute(self, requests: list[WorkRequest]) -> Timings:
        """One run for the whole batch. If that fails, each request runs alone, so that only the culprit fails."""
        start_ns = time.monotonic_ns()
        inputs = requests[0].inputs if len(requests) == 1 else _gather(requests)
        wanted = self._wanted(requests)
        input_end_ns = time.monotonic_ns()
        try:
            outputs = self.run(inputs, wanted)
        except TisError as error:
            if len(requests) == 1:
                requests[0].fail(error)
            else:
                for request in requests:
                    self.execute([request])
            now_ns = time.monotonic_ns()
            return Timings(start_ns, input_end_ns, now_ns, now_ns)
        timings = Timings(start_ns, input_end_ns, time.monotonic_ns())
        if len(requests) == 1:
            requests[0].respond(outputs)
        else:
            _scatter(requests, outputs)
        return timings

    def _wanted(self, requests: list[WorkRequest]) -> list[str]:
        """Names of the outputs that any of the requests wants, in the config's order, and of those that are states."""
        names = self._wanted_by(requests)
        return names + [name for name in self.spec.state_outputs if name not in names]

    def _wanted_by(self, requests: list[WorkRequest]) -> list[str]:
        first = requests[0].wanted
        if all(request.wanted == first for request in requests[1:]):
            return [output.name for output in first]
        names = {output.name for request in requests for output in request.wanted}
        return [output.name for output in self.spec.outputs if output.name in names]


def _gather(requests: list[WorkRequest]) -> Arrays:
    """The batch's inputs, each copied once into one array."""
    return {name: np.concatenate([request.inputs[name] for request in requests]) for name in requests[0].inputs}


def _scatter(requests: list[WorkRequest], outputs: Arrays) -> None:
    """Answer each request with its part of the outputs."""
    total = sum(request.batch_size for request in requests)
    for name, array in outputs.items():
        if not array.shape or array.shape[0] != total:
            raise internal(
                f"output '{name}' of a batch of {total} items has the shape {list(array.shape)}: its first dimension "
                "must be the batch; set max_batch_size to 0 if the model does not batch"
            )
    at = 0
    for request in requests:
        end = at + request.batch_size
        request.respond({name: array[at:end] for name, array in outputs.items()})
        at = end
