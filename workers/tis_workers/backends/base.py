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
from tis_workers.backends.execution import Execution, TensorExecution
from tis_workers.backends.execution import Timings as Timings
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

    #: What a run gives stays as it is when the next one begins, and `begin` may be called while another run is under way.
    overlaps: bool = False
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

    def begin(self, requests: list[WorkRequest], *, beside: bool = False) -> Execution:
        """Have the inputs of a batch ready. `beside`: while another batch of this instance runs, which keeps its own."""
        start_ns = time.monotonic_ns()
        as_it_is = self.goes_as_it_is(requests)
        inputs = requests[0].inputs if as_it_is else self._gather(requests, beside=beside)
        return self.begun(requests, inputs, start_ns, as_it_is=as_it_is)

    def begun(self, requests: list[WorkRequest], inputs: Arrays, start_ns: int, *, as_it_is: bool) -> TensorExecution:
        """The common execution of a batch whose inputs are these. `as_it_is`: see `goes_as_it_is`."""
        return TensorExecution(self, requests, inputs, self._wanted(requests), start_ns, as_it_is=as_it_is)

    def execute(self, requests: list[WorkRequest]) -> Timings:
        """All steps of an execution."""
        execution = self.begin(requests)
        try:
            execution.compute()
        except BaseException:
            execution.abandon()
            raise
        execution.answer()
        return execution.timings

    def _gather(self, requests: list[WorkRequest], *, beside: bool) -> Arrays:  # noqa: ARG002 - the memory is new each time
        return gather(requests) if self._shaping is None else self._shaping.gather(requests)

    def answer(self, requests: list[WorkRequest], outputs: Arrays) -> None:
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
