"""How long a batch waits for more requests where the operator has set a goal for latency. Pure; the clock is an argument.

An idle instance waits for one more request no longer than that request's joining saves, so waiting never costs throughput;
no longer than the goal leaves the oldest request; and rarely where waiting at this size was in vain before. See
docs/adaptive_delay.md.
"""

from dataclasses import dataclass
from typing import Final

from tis.scheduler.execution_cost import ExecutionCost
from tis.scheduler.queued import QueuedRequest

#: What joining a batch must save of an execution of its own to be worth a wait.
_LEAST_SAVING: Final = 0.1
#: Kept back of the goal for the ways to and from the model.
_RESERVE: Final = 0.05
#: Waits at a size that may be in vain before the next is left out; from then on twice as many are left out each time.
_PATIENCE: Final = 2
_MOST_LEFT_OUT: Final = 64
#: Sizes whose outcomes are remembered.
_MOST_SIZES: Final = 1024


@dataclass(slots=True)
class _Outcomes:
    """What came of waiting at one size."""

    in_vain: int = 0  # in a row
    left_out: int = 0  # waits still to be left out


class AdaptiveDelay:
    """Decides whether a batch waits, and learns from what came of it and from executions."""

    def __init__(self, goal_ns: int, most_delay_ns: int = 0) -> None:
        self._goal_ns = goal_ns * (1 - _RESERVE)
        self._most_delay_ns = most_delay_ns
        self.cost: Final = ExecutionCost()
        self._outcomes: dict[int, _Outcomes] = {}
        #: The wait that goes on: for which batch, at which size, and until when it lasts at most.
        self._oldest: QueuedRequest | None = None
        self._size = 0
        #: Until when the batch waits; None where it does not.
        self.until_ns: int | None = None

    def learn(self, items: int, took_ns: int) -> None:
        """A batch of so many items took so long to execute."""
        self.cost.learn(items, took_ns)

    def waits(self, items: int, oldest: QueuedRequest, now_ns: int) -> bool:
        """Whether a batch that could be sent now waits for more; `until_ns` then says until when."""
        if self.until_ns is not None:
            if oldest is self._oldest:
                if items == self._size:
                    return now_ns < self.until_ns
                if items > self._size:
                    self._outcomes.pop(self._size, None)
            self.until_ns = None
        until_ns = self._until_ns(items, oldest, now_ns)
        if until_ns <= now_ns or self._leaves_out(items):
            return False
        self._oldest, self._size, self.until_ns = oldest, items, until_ns
        return True

    def sent(self, items: int) -> None:
        """The batch that was asked about is sent, with so many items in all."""
        if self.until_ns is None:
            return
        self.until_ns = self._oldest = None
        if items > self._size:
            self._outcomes.pop(self._size, None)
            return
        if len(self._outcomes) >= _MOST_SIZES:
            self._outcomes.clear()
        outcomes = self._outcomes.setdefault(self._size, _Outcomes())
        outcomes.in_vain += 1
        if outcomes.in_vain >= _PATIENCE:
            outcomes.left_out = min(2 ** (outcomes.in_vain - _PATIENCE), _MOST_LEFT_OUT)

    def _until_ns(self, items: int, oldest: QueuedRequest, now_ns: int) -> int:
        cost = self.cost
        if not cost.is_known or cost.base_ns < _LEAST_SAVING * cost.predicted_ns(1):
            return now_ns
        until_ns = min(now_ns + cost.base_ns, oldest.infer.arrival_ns + self._goal_ns - cost.predicted_ns(items + 1))
        if self._most_delay_ns:
            until_ns = min(until_ns, oldest.enqueued_ns + self._most_delay_ns)
        return int(until_ns)

    def _leaves_out(self, items: int) -> bool:
        outcomes = self._outcomes.get(items)
        if outcomes is None or not outcomes.left_out:
            return False
        outcomes.left_out -= 1
        return True
