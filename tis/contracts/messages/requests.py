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
    #: Which of the request's blocks holds the tensor: an ensemble's step may read what several steps wrote.
    block: int = 0
    #: True where others may read it at the same time: a model that writes to its inputs needs a copy.
    shared: bool = False


class OutputPlacement(Message):
    """An output to be written into a client's region. `index` counts the configured outputs."""

    index: int
    region: int
    start: int
    size_bytes: int
    #: What the client calls the output, where that is not the model's name for it: an ensemble has names of its own.
    name: str = ""
    #: True where an output that is larger than the place is wanted in the reply's block instead of an error.
    spill: bool = False


class WorkBody(Message):
    """The part of a request that only the worker reads; the scheduler passes it on without looking.

    Except for ensembles, whose steps' bodies the scheduler makes from it.
    """

    client_id: str
    blocks: tuple[BlockRef, ...]
    inputs: tuple[TensorRef, ...]
    #: Indices of the configured outputs that are wanted; None for all.
    outputs: tuple[int, ...] | None
    #: Where outputs go that the client wants in its own shared memory.
    placements: tuple[OutputPlacement, ...] = ()
    #: The client's own parameters, by name, for models that read them.
    parameters: dict[str, str | int | bool | float] = msgspec.field(default_factory=dict)
    #: True where the asker wants `ComputeTimes` behind the reply.
    traced: bool = False
    #: Stands for the one block of a request with little data: that of its inputs.
    data: bytes = b""
    #: True where the asker takes replies with their data in them.
    takes_data: bool = False


class Wishes(Message):
    """What a client wants of the scheduler; absent where it wants nothing. The model sees them, too.

    For sequences, `sequence_start` and `sequence_end` are what the model's control tensors say in this execution.
    """

    #: 0 for the model's default level.
    priority: int = 0
    timeout_us: int = 0
    #: 0 or "" for none.
    sequence_id: int | str = 0
    sequence_start: bool = False
    sequence_end: bool = False


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
    wishes: Wishes | None = None
    #: What the response cache knows the answer by; empty where the model's answers are not cached.
    cache_key: bytes = b""
    #: The load of the model version that the request was checked against; 0 for whichever there is.
    load: int = 0


class Cancel(Message, tag=2):
    """The asker's client has gone: drop the request if it still waits, and tell the worker if it runs."""

    request_id: int
    asker: int


class StatisticsQuery(Message, tag=3):
    """Ask for the statistics of a model (empty name: of all), answered by one or several `StatisticsReply`."""

    request_id: int
    asker: int
    model: str
    version: int  # 0: all versions
