"""A model version's scheduler with instances that take as long as they are told, on a clock that jumps."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Final

import msgspec

from tis.contracts.messages import BatchDone, Cancel, Expired, Failure, Infer, Wishes
from tis.contracts.model_spec import ModelSpec
from tis.errors import TisError
from tis.scheduler.decisions import Answer, Decision, Run, Tell
from tis.scheduler.instances import RunningBatch
from tis.scheduler.model import ModelScheduler
from tis.scheduler.queued import QueuedRequest, Refusal

MS: Final = 1_000_000
FRONTEND: Final = 1
_BODY: Final = msgspec.Raw(b"\xc0")


@dataclass
class Simulation:
    """What is given to a model, and what comes of it. Moments are in milliseconds."""

    spec: ModelSpec
    #: How long a batch of so many items takes, in milliseconds.
    takes_ms: Callable[[int], float]
    instances: int = 1
    #: Batches as (when they began, how many items each of their requests had, their requests).
    batches: list[tuple[float, list[int], list[int]]] = field(default_factory=list)
    answered: dict[int, float] = field(default_factory=dict)
    refused: dict[int, tuple[float, str]] = field(default_factory=dict)
    expired: dict[int, float] = field(default_factory=dict)
    told_to_stop: dict[int, float] = field(default_factory=dict)
    now_ns: int = 0

    def __post_init__(self) -> None:
        self.scheduler = ModelScheduler(self.spec)
        self.requests: dict[int, QueuedRequest] = {}
        self._numbers = count(1)
        self._order = count()
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        #: What each instance has still to run, in order, and whether it runs.
        self._held: dict[int, list[RunningBatch]] = {100 + number: [] for number in range(self.instances)}
        for number, peer in enumerate(self._held):
            self.scheduler.instance_up(peer, number)

    def at(self, at_ms: float, action: Callable[[], None]) -> None:
        """Let something happen."""
        heappush(self._events, (int(at_ms * MS), next(self._order), action))

    def ask(self, at_ms: float, items: int = 1, *, priority: int = 0, timeout_ms: float = 0, key: bytes = b"") -> int:
        """A request comes; returns its number."""
        number = next(self._numbers)
        self.at(at_ms, lambda: self._arrive(number, items, Wishes(priority, int(timeout_ms * 1000)), key))
        return number

    def cancel(self, at_ms: float, number: int) -> None:
        """The client of a request goes."""

        def gone() -> None:
            # Nobody hears of it.
            list(self.scheduler.cancel(self.requests[number], self.now_ns))

        self.at(at_ms, gone)

    def run(self, until_ms: float = float("inf")) -> "Simulation":
        """Until nothing happens any more."""
        while True:
            wake_ns = self.scheduler.wake_ns(self.now_ns)
            next_ns = min(
                self._events[0][0] if self._events else float("inf"), float("inf") if wake_ns is None else wake_ns
            )
            if next_ns == float("inf") or next_ns > until_ms * MS:
                return self
            assert wake_ns is None or wake_ns > self.now_ns, "it would be woken for ever"
            self.now_ns = max(self.now_ns, int(next_ns))
            while self._events and self._events[0][0] <= self.now_ns:
                heappop(self._events)[2]()
            self._carry_out(self.scheduler.dispatch(self.now_ns))

    @property
    def sizes(self) -> list[list[int]]:
        """Items of the requests of each batch."""
        return [items for _, items, _ in self.batches]

    @property
    def served(self) -> list[int]:
        """The requests in the order in which they ran."""
        return [number for _, _, numbers in self.batches for number in numbers]

    def _arrive(self, number: int, items: int, wishes: Wishes, key: bytes) -> None:
        infer = Infer(number, FRONTEND, "m", 1, items, key, self.now_ns, _BODY, wishes)
        request = self.requests[number] = QueuedRequest(infer, self.now_ns)
        try:
            self._carry_out(self.scheduler.add(request, self.now_ns))
        except TisError as error:
            self.refused[number] = (self.now_ns / MS, error.message)

    def _carry_out(self, decisions: Iterable[Decision]) -> None:
        for decision in decisions:
            if isinstance(decision, Run):
                self._begin(decision)
            elif isinstance(decision, Refusal):
                self.refused[decision.request.infer.request_id] = (self.now_ns / MS, decision.error.message)
            elif isinstance(decision, Answer):
                assert isinstance(decision.message, Failure)
                self.refused[decision.message.request_id] = (self.now_ns / MS, decision.message.text)
            elif isinstance(decision, Tell):
                kept = self.expired if isinstance(decision.message, Expired) else self.told_to_stop
                assert isinstance(decision.message, Expired | Cancel)
                kept[decision.message.request_id] = self.now_ns / MS

    def _begin(self, run: Run) -> None:
        held = self._held[run.peer]
        held.append(run.batch)
        if len(held) == 1:
            self._execute(run.peer)

    def _execute(self, peer: int) -> None:
        batch = self._held[peer][0]
        items = [request.items for request in batch.requests]
        numbers = [request.infer.request_id for request in batch.requests]
        self.batches.append((self.now_ns / MS, items, numbers))
        start_ns = self.now_ns
        self.at(start_ns / MS + self.takes_ms(batch.items), lambda: self._end(peer, batch, start_ns))

    def _end(self, peer: int, batch: RunningBatch, start_ns: int) -> None:
        done = BatchDone(batch.batch_id, peer, start_ns, start_ns, self.now_ns, self.now_ns)
        for request in self.scheduler.done(done, self.now_ns):
            self.answered[request.infer.request_id] = self.now_ns / MS
        self._held[peer].pop(0)
        if self._held[peer]:
            self._execute(peer)
