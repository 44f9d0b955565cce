"""Batches and replies: between the scheduler, the workers and whoever asked."""

from typing import Final

import msgspec

from tis.contracts.messages.base import BlockRef, Message
from tis.contracts.messages.requests import Wishes

#: The request id and asker of an item that stands for an empty slot of a sequence batch: nobody is to be answered.
FILLER: Final = 0


class OutputRef(Message):
    """A tensor of a reply. The datatype is the backend's, which the config may leave open."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    start: int
    size_bytes: int
    #: The client's region that the data were written to; 0 for the reply's block.
    region: int = 0
    #: Which of the reply's blocks holds the tensor.
    block: int = 0


class BatchItem(Message):
    """One request of a batch; or, with `asker` FILLER, the stand-in for an empty slot before it."""

    request_id: int
    asker: int
    batch_size: int
    body: msgspec.Raw
    wishes: Wishes | None = None
    #: The slot of its sequence on this instance, by which states are kept; -1 outside sequences.
    slot: int = -1


class Batch(Message, tag=10):
    """Run these together, in this order. What comes of it is told to the scheduler that sent it."""

    scheduler: int
    batch_id: int
    items: tuple[BatchItem, ...]


class BatchDone(Message, tag=11):
    """A batch has run and its replies are sent.

    The tuples are positions in the batch: of requests that got an error, of those among them that were cancelled, of
    requests whose last response is still to come (each is followed by `Finished`), and of those to be run again.
    `free_ns`: when the instance could go on, which may be before the answers had gone; 0 for `end_ns`.
    """

    batch_id: int
    instance: int
    start_ns: int
    input_end_ns: int
    infer_end_ns: int
    end_ns: int
    failed: tuple[int, ...] = ()
    cancelled: tuple[int, ...] = ()
    unfinished: tuple[int, ...] = ()
    rescheduled: tuple[int, ...] = ()
    free_ns: int = 0


class Finished(Message, tag=17):
    """The last response of a request has been sent after its batch was done."""

    batch_id: int
    instance: int
    position: int
    end_ns: int
    failed: bool = False


class Reply(Message, tag=12):
    """A response to a request. The reader of `blocks` releases them in shared memory when the outputs have been read.

    `outputs` None: no response, only the news that there will be no more of them.
    """

    request_id: int
    blocks: tuple[BlockRef, ...]
    outputs: tuple[OutputRef, ...] | None
    #: Parameters that the model gave its response.
    parameters: dict[str, str | int | bool | float] = msgspec.field(default_factory=dict)
    #: False where more responses to this request follow.
    final: bool = True
    #: Stands for the one block of a reply with little data, where the asker takes that.
    data: bytes = b""


class Failure(Message, tag=13):
    """A request's error: the name of a `tis.errors.Code` and a text."""

    request_id: int
    code: str
    text: str
    #: True where the text is for the client as it stands; else the asker puts the request's id before it.
    complete: bool = False
    #: False where more responses to this request follow.
    final: bool = True


class Expired(Message, tag=18):
    """A request's time is over while it still runs: its client is to be answered so. Its own answer will come."""

    request_id: int
