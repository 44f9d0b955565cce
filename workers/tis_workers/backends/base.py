"""What a backend is: loads a model file, says what is in it, and executes batches of requests.

`TensorBackend` is for frameworks that map arrays to arrays; it does everything around that call. A backend that wants
the requests themselves (Python models) derives from `Backend`.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tis.contracts.control import ControlLink
from tis.contracts.model_spec import InstanceSpec, ModelSignature, ModelSpec
from tis.errors import TisError
from tis_workers.backchannel import Backchannel
from tis_workers.batch.gather import gather
from tis_workers.batch.parts import Arrays as Arrays
from tis_workers.batch.scatter import scatter
from tis_workers.batch.shaping import Shaping, shaping_of
from tis_workers.request import WorkRequest


@dataclass(frozen=True, slots=True)
class LoadContext:
    """What a backend is given to load a model instance."""

    spec: ModelSpec
    instance: InstanceSpec
    #: How many threads this instance should use at most, so that all instances share the cores.
    threads: int
    #: Whether the model may complete its config.
    complete: bool = True
    #: For a Python model: the config as JSON.
    config_json: str = ""
    #: The way to the supervisor, where there is one: a model may also be loaded only to be looked at.
    control: ControlLink | None = None
    #: What `--backend-config` says to this backend, or to all.
    backend_config: Mapping[str, str] = field(default_factory=dict)

    @property
    def version_dir(self) -> Path:
        """The directory of the version."""
        return Path(self.spec.model_path) / str(self.spec.version)

    @property
    def model_file(self) -> Path:
        """The file or directory to load."""
        return self.version_dir / self.spec.filename


@dataclass(slots=True)
class Timings:
    """When an execution began, had its inputs, had its outputs and had answered, in monotonic nanoseconds."""

    start_ns: int
    input_end_ns: int
    infer_end_ns: int
    end_ns: int = 0


class Backend(ABC):
    """A loaded model instance."""

    #: For a Python model: the completed config as JSON, there before `serve`.
    config_json: str = ""
    #: Whether the model's own code gets the inputs, which it may write to and keep.
    hands_inputs_over: bool = False

    def signature(self) -> ModelSignature | None:
        """What the model file says of its inputs and outputs; None where its format says nothing."""
        return None

    def proposed_config(self) -> str:
        """The whole config as the model wants it, as JSON; empty where it does not say."""
        return ""

    def serve(self, spec: ModelSpec) -> None:
        """The completed specification, before the first batch.

        Raises:
            TisError: the model cannot run so.
        """
        self.spec = spec

    def map_pool(self, memory: memoryview) -> None:  # noqa: B027 - most backends need nothing of it
        """The shared memory that inputs will lie in, before the first batch: a backend may tell a device of it."""

    @property
    def backchannel(self) -> Backchannel | None:
        """The way of the model's own threads into the worker's loop; None where a model has no such threads."""
        return None

    @abstractmethod
    def execute(self, requests: list[WorkRequest]) -> Timings:
        """Answer every request. A request left unanswered, by an exception or by omission, is failed by the caller.

        Unless it is `unfinished`, or `rescheduled`. With a backchannel, its lock is held when this is called and returns.
        """

    def tidy(self) -> None:  # noqa: B027 - most backends keep nothing
        """Once a second, between batches: give up what was kept for batches that do not come any more."""

    def finalize(self) -> None:
        """The instance is about to go."""
        return


class TensorBackend(Backend):
    """A backend that maps arrays to arrays: gathers a batch, runs it, scatters the results."""

    #: How batches are made that are more than whole rows; None for the common way.
    _shaping: Shaping | None = None

    def serve(self, spec: ModelSpec) -> None:
        """The completed specification, before the first batch."""
        super().serve(spec)
        self._shaping = shaping_of(spec)

    def goes_as_it_is(self, requests: list[WorkRequest]) -> bool:
        """True for a single request whose inputs the model takes and whose outputs it gives without a change."""
        return len(requests) == 1 and (self._shaping is None or self._shaping.leaves(requests[0]))

    @abstractmethod
    def run(self, inputs: Arrays, outputs: Sequence[str]) -> Arrays:
        """The named outputs for these inputs. With batching, the first dimension counts the items of the whole batch.

        Raises:
            TisError: the model failed on these inputs.
        """

    def execute(self, requests: list[WorkRequest]) -> Timings:
        """One run for the whole batch. If that fails, each request runs alone, so that only the culprit fails."""
        start_ns = time.monotonic_ns()
        as_it_is = self.goes_as_it_is(requests)
        inputs = requests[0].inputs if as_it_is else self._gather(requests)
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
        if as_it_is and self._has_rows_of(requests[0], outputs):
            requests[0].respond(outputs)
        else:
            self._answer(requests, outputs)
        return timings

    def _has_rows_of(self, request: WorkRequest, outputs: Arrays) -> bool:
        """True where every output has a row for each item of a request that ran alone, and no more."""
        items = request.batch_size
        if items:
            for array in outputs.values():
                if not array.shape or array.shape[0] != items:
                    return False
        return True

    def _gather(self, requests: list[WorkRequest]) -> Arrays:
        return gather(requests) if self._shaping is None else self._shaping.gather(requests)

    def _answer(self, requests: list[WorkRequest], outputs: Arrays) -> None:
        """Answer each request with its part of the outputs."""
        shaping = self._shaping
        answers = scatter(requests, outputs) if shaping is None else shaping.scatter(requests, outputs)
        for request, answer in zip(requests, answers, strict=True):
            if isinstance(answer, TisError):
                request.fail(answer)
            else:
                request.respond(answer)

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
