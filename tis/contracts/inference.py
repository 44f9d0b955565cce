"""An inference request and its answer as both faces see them: no protocol, no process, no bytes.

A face parses its wire form into an `InferRequest`, whose tensors already lie in a block of the pool; it renders an
`Answer`. Checking a request against its model is `validation.py`.
"""

from dataclasses import dataclass, field

from tis.errors import TisError


@dataclass(slots=True)
class InputTensor:
    """An input as the client sent it. `start` is where its bytes lie in the request's block."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    size_bytes: int
    start: int = 0


@dataclass(slots=True)
class InferRequest:
    """A request for one execution of a model version."""

    model: str
    version: int
    client_id: str
    inputs: list[InputTensor]
    #: Names of the outputs wanted; empty for all that are configured.
    outputs: list[str] = field(default_factory=list)


@dataclass(slots=True)
class OutputTensor:
    """An output of an answer; `data` is a view into the pool, good until the answer is released."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: memoryview


@dataclass(slots=True)
class Answer:
    """What became of a request: outputs, or an error. Whoever receives it releases it once it is rendered."""

    outputs: list[OutputTensor]
    error: TisError | None = None
    #: The block that the outputs lie in, as (offset, generation); None where there is nothing to release.
    block: tuple[int, int] | None = None


def id_prefix(client_id: str) -> str:
    """What Triton puts before the text of an error that concerns one request."""
    return f"[request id: {client_id or '<id_unknown>'}] "
