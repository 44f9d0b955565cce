"""An inference request and its answer as both faces see them: no protocol, no process, no bytes.

A face parses its wire form into an `InferRequest`, whose tensors already lie in a block of the pool; it renders an
`Answer`. Checking a request against its model is `validation.py`.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tis.errors import TisError

#: What Triton answers a request whose time was over before it ran.
REQUEST_TIMEOUT_TEXT: Final = "Request timeout expired"

#: What a client or a model may give as the value of a parameter of its own.
Parameter = str | int | bool | float


class Place(NamedTuple):
    """A place in a client's registered region, `start` counting from the region's begin."""

    region: int
    start: int
    size_bytes: int
    #: True where an output that is larger than the place is wanted elsewhere instead of an error.
    spill: bool = False


@dataclass(slots=True)
class InputTensor:
    """An input as the client sent it. `start` is where its bytes lie in the request's block, or in a client's region."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    size_bytes: int
    start: int = 0
    #: The number of the client's region that holds the tensor; 0 for the block.
    region: int = 0


@dataclass(slots=True)
class InferRequest:
    """A request for one execution of a model version."""

    model: str
    version: int
    client_id: str
    inputs: list[InputTensor]
    #: Names of the outputs wanted; empty for all that are configured.
    outputs: list[str] = field(default_factory=list)
    #: Outputs to be written into a client's region.
    placements: dict[str, Place] = field(default_factory=dict)
    #: Outputs wanted as that many of their largest classes, instead of as they are.
    classification: dict[str, int] = field(default_factory=dict)
    #: The client's own parameters by name, for models that read them; those that have a meaning of their own are below.
    parameters: dict[str, Parameter] = field(default_factory=dict)
    sequence_id: int | str = 0
    sequence_start: bool = False
    sequence_end: bool = False
    priority: int = 0
    #: How long the request may wait in the queue; 0 for no wish.
    timeout_us: int = 0


@dataclass(slots=True)
class OutputTensor:
    """An output of an answer; `data` is a view into the pool, good until the answer is released."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: memoryview
    #: True where the data are in the client's own region instead.
    placed: bool = False
    #: How many bytes of the client's region they take.
    placed_bytes: int = 0


@dataclass(slots=True)
class Answer:
    """What became of a request: outputs, or an error. Whoever receives it releases it once it is rendered."""

    outputs: list[OutputTensor]
    error: TisError | None = None
    #: The blocks that the outputs lie in, each as (offset, generation).
    blocks: tuple[tuple[int, int], ...] = ()
    #: Parameters that the model gave its response.
    parameters: dict[str, Parameter] = field(default_factory=dict)
    #: False where more answers to the same request follow, as of a decoupled model.
    final: bool = True
    #: True where this is no response but the news that no more will come.
    is_empty: bool = False
    #: True where the request still runs, although this is its answer: its time is over.
    still_runs: bool = False


def id_prefix(client_id: str) -> str:
    """What Triton puts before the text of an error that concerns one request."""
    return f"[request id: {client_id or '<id_unknown>'}] "
