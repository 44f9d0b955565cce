"""Traces: what happened to single requests and when. Nothing of this travels for a request that is not traced."""

from tis.contracts.messages.base import Message


class ComputeTimes(Message, tag=15):
    """From a worker to the asker of a traced request: when it was computed. Follows the reply."""

    request_id: int
    start_ns: int
    input_end_ns: int
    output_start_ns: int
    end_ns: int


class TracedTensor(Message):
    """A tensor of a traced request, as text."""

    activity: str
    name: str
    data: str
    shape: str
    datatype: str


class Trace(Message):
    """A traced request that has been answered, and the times of its events by Triton's names.

    Without events nobody wants to know the times: then there is no head either.
    """

    #: The model whose own settings had it traced; empty for the global ones.
    setting: str
    model: str
    version: int
    client_id: str
    #: Those before the request was known to be one for this model, and those after.
    arrival: tuple[tuple[str, int], ...]
    events: tuple[tuple[str, int], ...]
    #: What passed by between the first two events and the others.
    tensors: tuple[TracedTensor, ...] = ()


class Traces(Message, tag=49):
    """From a frontend: traces to be kept."""

    peer: int
    traces: tuple[Trace, ...]
