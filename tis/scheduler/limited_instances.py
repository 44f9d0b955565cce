"""The instances of a model version whose executions are limited: one that is idle must also have its turn. Pure logic."""

from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final

from tis.contracts.model_spec import InstanceSpec, ModelSpec
from tis.scheduler.instances import Instance, Instances, RunningBatch
from tis.scheduler.rate_limiter import RateLimiter, Turn

_UNNAMED: Final = InstanceSpec("", "CPU")
_VOID_ENTRIES: Final = 64


class LimitedInstances(Instances):
    """As `Instances`, but for this: none gets a batch ahead, and `free` and `is_free` ask for its turn.

    So they are to be asked for an instance that there is a batch for; asking for no reason costs others a moment at most.
    """

    def __init__(self, limiter: RateLimiter, spec: ModelSpec) -> None:
        super().__init__(ahead=False)
        self._limiter: Final = limiter
        self._spec = spec
        self._turns: dict[Instance, Turn] = {}
        #: Idle instances, the one that has run least first; an entry is void where the instance is not idle since then.
        self._least: list[tuple[int, int, Instance]] = []
        self._idle_since: dict[Instance, int] = {}
        self._numbers = count(1)

    def add(self, peer: int, spec: InstanceSpec = _UNNAMED) -> Instance:
        """An instance takes batches from now on."""
        known = self.get(peer)
        if known is not None:
            return known
        instance = super().add(peer, spec)
        if len(self) == 1 or spec not in self._spec.instances:
            # One that comes while others serve is not in the specification yet.
            self._register()
        self._turns[instance] = self._limiter.enter(self._spec.identity, spec)
        self._note_idle(instance)
        return instance

    def respecified(self, spec: ModelSpec) -> None:
        """The specification has other instances: they need other resources."""
        self._spec = spec
        if len(self):
            self._register()

    def _register(self) -> None:
        """What is there counts, and what should be."""
        self._limiter.register(self._spec.identity, [*self._spec.instances, *(each.spec for each in self)])

    def remove(self, peer: int) -> Instance | None:
        """An instance has gone."""
        instance = super().remove(peer)
        if instance is not None:
            self._idle_since.pop(instance, None)
            self._limiter.leave(self._turns.pop(instance))
            if not len(self):
                self._limiter.unregister(self._spec.identity)
            elif instance.spec not in self._spec.instances:
                self._register()
        return instance

    def retire(self, peer: int) -> Instance | None:
        """An instance gets nothing new from now on."""
        instance = super().retire(peer)
        if instance is not None:
            self._idle_since.pop(instance, None)
        return instance

    def free(self, now_ns: int) -> Instance | None:  # noqa: ARG002 - as above
        """The idle instance that has run least, if it is its turn."""
        least = self._least
        while least:
            _, since, instance = least[0]
            if self._idle_since.get(instance) == since:
                return instance if self._limiter.ask(self._turns[instance]) else None
            heappop(least)
        return None

    def is_free(self, instance: Instance, now_ns: int) -> bool:
        """True where this very instance is idle and it is its turn."""
        return super().is_free(instance, now_ns) and self._limiter.ask(self._turns[instance])

    def begin(self, instance: Instance, batch: RunningBatch, now_ns: int) -> None:
        """Hand a batch to an instance that was free."""
        super().begin(instance, batch, now_ns)
        self._idle_since.pop(instance, None)
        self._limiter.hold(self._turns[instance])

    def finish(self, peer: int, batch_id: int, start_ns: int, free_ns: int) -> tuple[Instance, RunningBatch] | None:
        """A batch has ended."""
        found = super().finish(peer, batch_id, start_ns, free_ns)
        if found is not None:
            if not found[0].retiring:
                self._note_idle(found[0])
            self._limiter.release(self._turns[found[0]])
        return found

    def _note_idle(self, instance: Instance) -> None:
        since = self._idle_since[instance] = next(self._numbers)
        if len(self._least) > _VOID_ENTRIES + 2 * len(self):
            # Where only `is_free` is asked, nobody takes void entries off the top.
            self._least = [each for each in self._least if self._idle_since.get(each[2]) == each[1]]
            heapify(self._least)
        heappush(self._least, (self._turns[instance].score, since, instance))
