"""Whose turn it is to run, where instances share resources: `--rate-limit=execution_count`. Pure logic over all models.

The rules are Triton's: an instance holds its resources while it runs; of the instances for which a batch waits, the one
with the smallest executions times priority comes first, and while its resources are not free nobody passes it. Beyond
Triton: an instance that joins late begins level with the others, instead of having every turn until it has caught up.

How a turn passes: a model that has a batch for an idle instance asks. If it may not run now, its claim is noted. After
models have been dispatched, among them those of which something was released, the model of the first claim is woken if
that can run now, and asks again. A claim that its model does not renew when it is dispatched is void, so that a request
that was cancelled or is not due holds nobody up.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final

from tis.contracts.model_spec import InstanceSpec
from tis.contracts.resources import Given, Resource, available, most_needed, needs
from tis.settings import ServerSettings

#: A model version by name and number.
ModelKey = tuple[str, int, int]

_VOID_ENTRIES: Final = 64


@dataclass(slots=True, eq=False)
class Turn:
    """An instance as the limiter sees it."""

    owner: ModelKey
    needs: dict[Resource, int]
    weight: int
    executions: int = 0
    holds: bool = False
    #: Since when it has waited for its turn, as a rising number; 0 while it does not.
    since: int = 0
    #: The round in which its claim was made or renewed; 0 for no claim.
    claimed: int = 0

    @property
    def score(self) -> int:
        """The smallest comes first."""
        return self.executions * self.weight


@dataclass(slots=True)
class _Amount:
    """A resource: how much there is and how much is held."""

    count: int = 0
    held: int = 0


@dataclass(slots=True)
class _Model:
    """What a model needs at most, and its instances that have claims."""

    most: dict[Resource, int] = field(default_factory=dict)
    claims: set[Turn] = field(default_factory=set)


class RateLimiter:
    """Resources and turns of all models. `wake` is called with a model that should be dispatched again."""

    def __init__(self, given: Given, wake: Callable[[ModelKey], None]) -> None:
        self._given: Final = given
        self._wake: Final = wake
        self._models: dict[ModelKey, _Model] = {}
        self._turns: set[Turn] = set()
        self._amounts: dict[Resource, _Amount] = {}
        #: Claims, first one on top; entries whose instance has no claim any more are void.
        self._claims: list[tuple[int, int, Turn]] = []
        self._numbers = count(1)
        self._round = 1

    # ---- who takes part --------------------------------------------------------------------------------------------

    def register(self, owner: ModelKey, specs: Iterable[InstanceSpec]) -> None:
        """A model's instances count for what there is of each resource, whether they are up or not; may be called again."""
        self._models.setdefault(owner, _Model()).most = most_needed(specs)
        self._count()

    def unregister(self, owner: ModelKey) -> None:
        """A model is going away. What its instances hold stays held until they leave."""
        if self._models.pop(owner, None) is not None:
            self._count()

    def enter(self, owner: ModelKey, spec: InstanceSpec) -> Turn:
        """An instance of a registered model is up. It begins level with the one that has run least."""
        weight = max(spec.rate_limit.priority, 1)
        level = min((turn.score for turn in self._turns), default=0)
        turn = Turn(owner, needs(spec), weight, level // weight)
        self._turns.add(turn)
        return turn

    def leave(self, turn: Turn) -> None:
        """An instance has gone."""
        self._turns.discard(turn)
        self._drop(turn)
        self.release(turn)

    def _count(self) -> None:
        """How much there is of everything, from what all models need."""
        most: dict[Resource, int] = {}
        for model in self._models.values():
            for resource, amount in model.most.items():
                most[resource] = max(amount, most.get(resource, 0))
        for resource in most.keys() | self._amounts.keys():
            amount_now = self._amounts.setdefault(resource, _Amount())
            amount_now.count = available(resource, most.get(resource, 0), self._given)

    # ---- turns -----------------------------------------------------------------------------------------------------

    def ask(self, turn: Turn) -> bool:
        """Whether an idle instance, for which a batch waits, may run now. Else it has a claim from now on."""
        first = self._first()
        if not turn.since:
            turn.since = next(self._numbers)
        mine = (turn.score, turn.since)
        if (first is None or first is turn or mine < (first.score, first.since)) and self._fits(turn):
            return True
        if not turn.claimed:
            if len(self._claims) > _VOID_ENTRIES + 2 * len(self._turns):
                self._claims = [each for each in self._claims if each[2].claimed and each[2].since == each[1]]
                heapify(self._claims)
            heappush(self._claims, (*mine, turn))
            self._models[turn.owner].claims.add(turn)
        turn.claimed = self._round
        return False

    def hold(self, turn: Turn) -> None:
        """An instance begins to run."""
        self._drop(turn)
        turn.since = 0
        turn.executions += 1
        turn.holds = True
        for resource, amount in turn.needs.items():
            self._amounts[resource].held += amount

    def release(self, turn: Turn) -> None:
        """An instance has run."""
        if not turn.holds:
            return
        turn.holds = False
        for resource, amount in turn.needs.items():
            self._amounts[resource].held -= amount

    def settle(self, dispatched: Iterable[ModelKey]) -> None:
        """These models have just been dispatched: claims that they have not renewed are void, and the next may be tried."""
        for owner in dispatched:
            model = self._models.get(owner)
            if model is not None and model.claims:
                for turn in [turn for turn in model.claims if turn.claimed != self._round]:
                    turn.since = 0
                    self._drop(turn)
        self._round += 1
        first = self._first()
        if first is not None and self._fits(first):
            self._wake(first.owner)

    def _first(self) -> Turn | None:
        """The instance whose turn is next."""
        claims = self._claims
        while claims:
            _, since, turn = claims[0]
            if turn.claimed and turn.since == since:
                return turn
            heappop(claims)
        return None

    def _fits(self, turn: Turn) -> bool:
        amounts = self._amounts
        for resource, amount in turn.needs.items():
            there = amounts[resource]
            if there.held + amount > there.count:
                return False
        return True

    def _drop(self, turn: Turn) -> None:
        if turn.claimed:
            turn.claimed = 0
            model = self._models.get(turn.owner)
            if model is not None:
                model.claims.discard(turn)


def limiter_of(settings: ServerSettings, wake: Callable[[ModelKey], None]) -> RateLimiter | None:
    """The limiter that the operator asks for."""
    return RateLimiter(settings.rate_limit_resources, wake) if settings.rate_limit == "execution_count" else None
