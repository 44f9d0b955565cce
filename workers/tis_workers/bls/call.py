"""A request that a model makes, what came of it, and the checks and texts of Triton's Python backend around it.

Facts, from Triton 2.51: what keeps a request from running is told with the model's name before it; what a model answers is
told as it is; every error is INTERNAL. Decision: the same, but that what only this server says, which is that a process has
died or that there is no room, keeps its code UNAVAILABLE: a model may ask again then.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tis.contracts import messages as m
from tis.contracts.inference import InferRequest, InputTensor, Parameter, id_prefix
from tis.contracts.model_spec import ModelSpec
from tis.contracts.plan import Plan, make_plan
from tis.contracts.validation import check_output_names, check_sequence_id
from tis.errors import Code, TisError, internal
from tis_shm.pool import Block
from tis_workers.bls.ready_models import NEWEST
from tis_workers.bls.results import Output

_START, _END = 1, 2
_UNKNOWN = "Request for unknown model: "


@dataclass(slots=True)
class Ask:
    """What a model wants of another one."""

    model: str
    version: int = NEWEST
    client_id: str = ""
    inputs: list[Output] = field(default_factory=list)
    #: Names of the outputs wanted; all of them for none.
    outputs: list[str] = field(default_factory=list)
    sequence_id: int | str = 0
    flags: int = 0
    timeout_us: int = 0
    priority: int = 0
    parameters: dict[str, Parameter] = field(default_factory=dict)


@dataclass(slots=True)
class Outcome:
    """A response: outputs or an error; with neither, the news that there are no more."""

    outputs: list[Output] = field(default_factory=list)
    error: TisError | None = None
    parameters: dict[str, Parameter] = field(default_factory=dict)
    final: bool = True


class Call:
    """A request on its way. All of it is touched under the worker's lock only."""

    __slots__ = (
        "ask",
        "block",
        "decoupled",
        "epoch",
        "is_abandoned",
        "is_over",
        "outcomes",
        "request_id",
        "retried",
        "spec",
        "wake",
    )

    def __init__(self, ask: Ask, *, decoupled: bool) -> None:
        self.ask = ask
        self.decoupled = decoupled
        self.request_id = 0
        #: Where its inputs lie; None before and after.
        self.block: Block | None = None
        self.spec: ModelSpec | None = None
        #: The table that it was checked against.
        self.epoch = 0
        self.retried = False
        #: Responses that nobody has taken yet.
        self.outcomes: deque[Outcome] = deque()
        #: The last response has come.
        self.is_over = False
        #: Nobody wants the responses any more.
        self.is_abandoned = False
        #: Called when there is something in `outcomes`; once.
        self.wake: Callable[[], None] | None = None

    def tell(self, outcome: Outcome) -> None:
        """A response has come."""
        self.is_over = outcome.final
        if self.is_abandoned:
            return
        self.outcomes.append(outcome)
        wake, self.wake = self.wake, None
        if wake is not None:
            wake()


def checked(ask: Ask, spec: ModelSpec | None, *, decoupled: bool) -> ModelSpec:
    """The model version that a request is for.

    Raises:
        TisError: INTERNAL, in the words of Triton's Python backend.
    """
    if spec is None:
        raise refusal(ask.model, f"Failed for execute the inference request. Model '{ask.model}' is not ready.")
    if spec.decoupled and not decoupled:
        raise refusal(
            ask.model,
            f"Model {ask.model} is using the decoupled. The current BLS request call doesn't support models using the "
            "decoupled transaction policy. Please use 'decoupled=True' argument to the 'exec' or 'async_exec' calls for "
            "decoupled models.'",
        )
    return spec


def planned(ask: Ask, spec: ModelSpec, inputs: list[InputTensor]) -> Plan:
    """A request checked against its model.

    Raises:
        TisError: INTERNAL, in Triton's words.
    """
    request = InferRequest(
        spec.name,
        spec.version,
        ask.client_id,
        inputs,
        list(ask.outputs),
        parameters=ask.parameters,
        sequence_id=ask.sequence_id,
        sequence_start=bool(ask.flags & _START),
        sequence_end=bool(ask.flags & _END),
        priority=ask.priority,
        timeout_us=ask.timeout_us,
    )
    try:
        check_sequence_id(ask.sequence_id)
        check_output_names(spec, ask.outputs)
        return make_plan(spec, request)
    except TisError as error:
        raise refusal(ask.model, error.message) from None


def refusal(model: str, text: str) -> TisError:
    """The error of a request that was not run."""
    return internal(f"Model {model} - Error when running inference: {text}")


def is_gone(failure: m.Failure) -> bool:
    """Whether the scheduler did not know the load that a request named: there may be a newer one."""
    return not failure.complete and failure.text.startswith(_UNKNOWN)


def as_error(ask: Ask, failure: m.Failure) -> TisError:
    """What a failed request's asker is told."""
    if is_gone(failure):
        return refusal(ask.model, f"Failed for execute the inference request. Model '{ask.model}' is not ready.")
    if failure.complete:
        # Of the scheduler's refusals only those of sequences are as complete as what models answer.
        is_refusal = failure.text.startswith("inference request ") and f" to model '{ask.model}' must " in failure.text
        return refusal(ask.model, failure.text) if is_refusal else internal(failure.text)
    text = id_prefix(ask.client_id) + failure.text
    if failure.code == Code.UNAVAILABLE:
        return TisError(Code.UNAVAILABLE, text)
    return refusal(ask.model, text)
