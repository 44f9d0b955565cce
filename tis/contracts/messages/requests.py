"""Requests: what frontends send the scheduler, and what of it the worker reads."""

import msgspec

from tis.contracts.messages.base import BlockRef, Message


class TensorRef(Message):
    """A tensor inside a block. `index` counts the configured inputs; `start` is relative to the block."""

    index: int
    shape: tuple[int, ...]
    start: int
    size_bytes: int
    #: A client's registered region that holds the tensor, `start` counting from the region's begin; 0 for the block.
    region: int = 0


class OutputPlacement(Message):
    """An output to be written into a client's region. `index` counts the configured outputs."""

    index: int
    region: int
    start: int
    size_bytes: int


class WorkBody(Message):
    """The part of a request that only the worker reads; the scheduler passes it on without looking."""

    client_id: str
    block: BlockRef
    inputs: tuple[TensorRef, ...]
    #: Indices of the configured outputs that are wanted; None for all.
    outputs: tuple[int, ...] | None
    #: Where outputs go that the client wants in its own shared memory.
    placements: tuple[OutputPlacement, ...] = ()
    #: The client's own parameters, by name, for models that read them.
    parameters: dict[str, str | int | bool | float] = msgspec.field(default_factory=dict)
    #: True where the asker wants `ComputeTimes` behind the reply.
    traced: bool = False


class Infer(Message, tag=1):
    """A validated request. `request_id` is the asker's own number; the reply goes to `asker`."""

    request_id: int
    asker: int
    model: str
    version: int
    batch_size: int
    #: Requests may share a batch only if these are equal: variable dimensions and the set of inputs supplied.
    batch_key: bytes
    arrival_ns: int
    body: msgspec.Raw


class Cancel(Message, tag=2):
    """The asker's client has gone: drop the request if it still waits."""

    request_id: int
    asker: int


class StatisticsQuery(Message, tag=3):
    """Ask for the statistics of a model (empty name: of all), answered by one or several `StatisticsReply`."""

    request_id: int
    asker: int
    model: str
    version: int  # 0: all versions
