"""What the pure logic of the scheduler may decide; the loop carries it out. Nothing but the kinds of decision."""

from collections.abc import Iterable
from itertools import count
from typing import Final, NamedTuple, Protocol

from tis.contracts.messages import BlockRef, Failure, Infer, Message, Reply
from tis.scheduler.instances import RunningBatch
from tis.scheduler.queued import QueuedRequest, Refusal, Timed

#: Numbers of the scheduler's own requests.
own_ids: Final = count(1)


class Run(NamedTuple):
    """Hand a batch to an instance."""

    peer: int
    batch: RunningBatch


class Tell(NamedTuple):
    """Send a message that ends nothing."""

    peer: int
    message: Message


class Asker(Protocol):
    """Whoever in the scheduler has requests of its own, such as the steps of an ensemble."""

    def answered(self, message: Reply | Failure, now_ns: int) -> "Iterable[Decision]":
        """A response to one of its requests has come. Its blocks are to be released, or handed on with an `Answer`."""


class Ask(NamedTuple):
    """Enqueue a request of the scheduler's own; its `asker` is the scheduler's peer id, its number from `own_ids`."""

    infer: Infer
    by: Asker
    timed: Timed | None = None
    #: What its asker names the request by that this one stands for, if it stands for one.
    origin: tuple[int, int] | None = None


class Withdraw(NamedTuple):
    """Cancel a request of the scheduler's own; its answer still comes."""

    request_id: int


class Answer(NamedTuple):
    """Respond to a request that the scheduler itself has taken care of. A final response ends the request."""

    request: QueuedRequest
    message: Reply | Failure


class Release(NamedTuple):
    """Nobody needs these blocks, which came with responses to the scheduler, any more."""

    blocks: tuple[BlockRef, ...]


Decision = Run | Refusal | Tell | Ask | Withdraw | Answer | Release
