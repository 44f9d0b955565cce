"""Batches and replies: between the scheduler, the workers and whoever asked."""

import msgspec

from tis.contracts.messages.base import BlockRef, Message


class OutputRef(Message):
    """A tensor of a reply. The datatype is the backend's, which the config may leave open."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    start: int
    size_bytes: int
    #: The client's region that the data were written to; 0 for the reply's block.
    region: int = 0


class BatchItem(Message):
    """One request of a batch."""

    request_id: int
    asker: int
    batch_size: int
    body: msgspec.Raw


class Batch(Message, tag=10):
    """Run these together, in this order."""

    batch_id: int
    items: tuple[BatchItem, ...]


class BatchDone(Message, tag=11):
    """A batch has run and its replies are sent. `failed` are positions in the batch whose request got an error."""

    batch_id: int
    instance: int
    start_ns: int
    input_end_ns: int
    infer_end_ns: int
    end_ns: int
    failed: tuple[int, ...] = ()


class Reply(Message, tag=12):
    """A request's answer. The reader of `block` releases it in shared memory when the outputs have been read."""

    request_id: int
    block: BlockRef | None
    outputs: tuple[OutputRef, ...]
    #: Parameters that the model gave its response.
    parameters: dict[str, str | int | bool | float] = msgspec.field(default_factory=dict)


class Failure(Message, tag=13):
    """A request's error: the name of a `tis.errors.Code` and a text."""

    request_id: int
    code: str
    text: str
