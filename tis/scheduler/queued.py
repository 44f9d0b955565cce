"""A request that waits in a queue. Nothing but its fields."""

from dataclasses import dataclass

from tis.contracts.messages import Infer


@dataclass(slots=True, eq=False)
class QueuedRequest:
    """A request, when it came, and whether its client still wants it."""

    infer: Infer
    enqueued_ns: int
    cancelled: bool = False

    @property
    def items(self) -> int:
        """How many items it adds to a batch; a request without batch dimension counts as one."""
        return self.infer.batch_size or 1
