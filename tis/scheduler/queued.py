"""A request as the scheduler knows it, from its arrival to its last response. Nothing but its fields."""

from typing import NamedTuple, Protocol

import msgspec

from tis.contracts.inference import REQUEST_TIMEOUT_TEXT
from tis.contracts.messages import FILLER, Infer, Wishes
from tis.errors import Code, TisError


class Timed(Protocol):
    """Whoever in the scheduler adds up how long executions take, as ensembles do."""

    def computed(self, input_ns: int, infer_ns: int, output_ns: int) -> None:
        """An execution of the request has taken so long; told after its response."""


class QueuedRequest(msgspec.Struct, eq=False):
    """A request, when it came, and what has become of it."""

    infer: Infer
    enqueued_ns: int
    #: What the model is told of the request's wishes, where that is not what the client said.
    told: Wishes | None = None
    #: What its asker names the request by that this one of the scheduler's own stands for.
    origin: tuple[int, int] | None = None
    #: The slot of its sequence on the instance that runs it; -1 outside sequences.
    slot: int = -1
    #: The worker that has it; 0 while it waits.
    peer: int = 0
    #: Its client does not want the answer any more.
    cancelled: bool = False
    #: Its time was over while it ran, and its client has been told.
    expired: bool = False
    #: Who in the scheduler wants to know how long its execution takes.
    timed: Timed | None = None

    @property
    def items(self) -> int:
        """How many items it adds to a batch; a request without batch dimension counts as one."""
        return self.infer.batch_size or 1

    @property
    def key(self) -> tuple[int, int]:
        """What its asker names it by."""
        return (self.infer.asker, self.infer.request_id)

    @property
    def is_filler(self) -> bool:
        """True for the stand-in of an empty slot, which nobody asked for."""
        return self.infer.asker == FILLER


class Refusal(NamedTuple):
    """A request that will not run (any more), and why."""

    request: QueuedRequest
    error: TisError


def timed_out() -> TisError:
    """The error of a request that has waited, or taken, too long."""
    return TisError(Code.UNAVAILABLE, REQUEST_TIMEOUT_TEXT, complete=True)


def filler(model: str, version: int) -> QueuedRequest:
    """A stand-in for an empty slot."""
    return QueuedRequest(Infer(FILLER, FILLER, model, version, 1, b"", 0, msgspec.Raw(b"\xc0")), 0)
