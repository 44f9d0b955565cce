"""A sequence model's scheduler, its clock turned by hand, and workers that end their batches when told to."""

from typing import Final

import msgspec

from tis.contracts.messages import BatchDone, Infer, Wishes
from tis.contracts.model_spec import ModelSpec
from tis.contracts.scheduling_spec import SequenceBatcherSpec
from tis.errors import TisError
from tis.scheduler.decisions import Run
from tis.scheduler.model import ModelScheduler
from tis.scheduler.queued import QueuedRequest, Refusal

MS: Final = 1_000_000
#: What stands in a batch for an empty slot.
FILLER: Final = "-"
FRONTEND: Final = 1


class Driver:
    """Requests are told apart by names such as "a1"."""

    def __init__(
        self, sequences: SequenceBatcherSpec | None = None, *, slots: int = 4, workers: tuple[int, ...] = (100,)
    ) -> None:
        self.spec = ModelSpec("m", 1, "", "onnxruntime", slots, (), (), sequences=sequences or SequenceBatcherSpec())
        self.scheduler = ModelScheduler(self.spec)
        self.now_ns = 0
        self.names: dict[QueuedRequest, str] = {}
        self.requests: dict[str, QueuedRequest] = {}
        self.refused: dict[str, TisError] = {}
        #: Batches that run, by worker, and those that have been handed over in all.
        self.running: dict[int, Run] = {}
        self.history: list[tuple[int, list[str]]] = []
        for worker in workers:
            self.scheduler.instance_up(worker)

    def send(
        self,
        name: str,
        sequence: int | str = 0,
        *,
        start: bool = False,
        end: bool = False,
        timeout_us: int = 0,
        items: int = 1,
        key: bytes = b"",
    ) -> None:
        """A request arrives.

        Raises:
            TisError: it is refused at once.
        """
        wishes = Wishes(0, timeout_us, sequence, start, end)
        number = len(self.names) + 1
        body = msgspec.Raw(b"\xc0")
        request = QueuedRequest(Infer(number, FRONTEND, "m", 1, items, key, self.now_ns, body, wishes), self.now_ns)
        self.scheduler.add(request, self.now_ns)
        self.names[request] = name
        self.requests[name] = request

    def run(self) -> list[tuple[int, list[str]]]:
        """What is handed over now, as worker and names in the order of the batch."""
        begun: list[tuple[int, list[str]]] = []
        for decision in self.scheduler.dispatch(self.now_ns):
            if isinstance(decision, Run):
                self.running[decision.peer] = decision
                begun.append((decision.peer, self.named(decision)))
            else:
                self.note(decision)
        self.history += begun
        return begun

    def named(self, run: Run) -> list[str]:
        """The names of a batch."""
        return [FILLER if each.is_filler else self.names[each] for each in run.batch.requests]

    def note(self, decision: object) -> None:
        """Remember a refusal; nothing else is expected."""
        assert isinstance(decision, Refusal), decision
        name = self.names[decision.request]
        assert name not in self.refused, "refused once only"
        self.refused[name] = decision.error

    def done(self, worker: int = 100, *, again: tuple[str, ...] = ()) -> list[str]:
        """The batch of a worker ends; returns the requests that are finished with it."""
        run = self.running.pop(worker)
        positions = tuple(at for at, name in enumerate(self.named(run)) if name in again)
        start_ns = end_ns = self.now_ns
        message = BatchDone(run.batch.batch_id, worker, start_ns, start_ns, end_ns, end_ns, rescheduled=positions)
        finished = self.scheduler.done(message, self.now_ns)
        return [FILLER if each.is_filler else self.names[each] for each in finished]

    def step(self, worker: int = 100) -> list[tuple[int, list[str]]]:
        """End a worker's batch and hand over what follows."""
        self.done(worker)
        return self.run()

    def cancel(self, name: str) -> None:
        """The client of a request goes."""
        for decision in self.scheduler.cancel(self.requests[name], self.now_ns):
            self.note(decision)

    def die(self, worker: int = 100) -> None:
        """A worker dies."""
        self.running.pop(worker, None)
        for decision in self.scheduler.instance_gone(worker, "was killed", self.now_ns):
            self.note(decision)

    def pass_ms(self, duration_ms: float) -> None:
        """Time goes by."""
        self.now_ns += int(duration_ms * MS)

    def wake_ms(self) -> float | None:
        """In how many milliseconds the scheduler wants to be asked again."""
        wake_ns = self.scheduler.wake_ns(self.now_ns)
        return None if wake_ns is None else (wake_ns - self.now_ns) / MS
