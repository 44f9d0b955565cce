"""A sequence as the scheduler knows it, and what its requests say of it. Nothing but its fields."""

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tis.contracts.messages import Wishes
from tis.scheduler.queued import QueuedRequest

if TYPE_CHECKING:
    from tis.scheduler.sequences.lane import Lane

_NO_WISHES: Final = Wishes()


@dataclass(slots=True, eq=False)
class Sequence:
    """Requests of one correlation id from a START to an END, or to whatever ends it before."""

    id: int | str
    #: Those that wait, in the order in which they came.
    requests: deque[QueuedRequest] = field(default_factory=deque)
    #: Where it is bound to; None while it waits for a slot.
    lane: "Lane | None" = None
    slot: int = -1
    #: Until when it must have a slot; None for as long as it takes.
    deadline_ns: int | None = None
    #: How many of its requests an instance has.
    running: int = 0
    #: A request of it has been handed to an instance, which therefore holds its state.
    begun: bool = False
    #: No further request joins it: its END has come, it idled for too long, or it was cancelled.
    closed: bool = False


def wishes_of(request: QueuedRequest) -> Wishes:
    """What the model is told of a request: its correlation id and flags among it."""
    return request.told or request.infer.wishes or _NO_WISHES
