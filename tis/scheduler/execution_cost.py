"""How long a model's batches take, by their items: learnt from those that have ended. Pure arithmetic.

The model is a line: a batch costs something however small it is, and something more for each item. Old batches count less
and less, so that the line follows a model, or a machine, that changes.
"""

from typing import Final

_FORGETTING: Final = 0.97
#: Batches before the line is believed.
_ENOUGH: Final = 4
#: A duration further above the line than this many deviations is cut to that: a stall is not a law.
_MOST_DEVIATIONS: Final = 4.0
_DEVIATION_WEIGHT: Final = 0.1
#: What is added to a prediction, in deviations, so that most batches keep it.
_RESERVE: Final = 2.0


class ExecutionCost:
    """Durations of executions as a line over the number of items."""

    def __init__(self) -> None:
        self._seen = 0
        self._weight = 0.0
        self._items = 0.0
        self._took = 0.0
        self._items_items = 0.0
        self._items_took = 0.0
        self._deviation_ns = 0.0
        #: The line: what a batch costs as such, and what each item adds.
        self._base_ns = 0.0
        self._item_ns = 0.0

    @property
    def is_known(self) -> bool:
        """True once enough batches have been seen."""
        return self._seen >= _ENOUGH

    @property
    def base_ns(self) -> float:
        """What one execution less saves: the part of its duration that does not depend on its items."""
        return self._base_ns

    def predicted_ns(self, items: int) -> float:
        """How long a batch of so many items takes at most, as a rule."""
        return self._base_ns + self._item_ns * items + _RESERVE * self._deviation_ns

    def learn(self, items: int, took_ns: float) -> None:
        """A batch has taken so long."""
        expected_ns = self._base_ns + self._item_ns * items
        if self.is_known:
            most_ns = max(_MOST_DEVIATIONS * self._deviation_ns, expected_ns / 4)
            took_ns = min(took_ns, expected_ns + most_ns)
        if self._seen:
            self._deviation_ns += _DEVIATION_WEIGHT * (abs(took_ns - expected_ns) - self._deviation_ns)
        self._seen += 1
        self._weight = self._weight * _FORGETTING + 1
        self._items = self._items * _FORGETTING + items
        self._took = self._took * _FORGETTING + took_ns
        self._items_items = self._items_items * _FORGETTING + items * items
        self._items_took = self._items_took * _FORGETTING + items * took_ns
        self._fit()

    def _fit(self) -> None:
        items, took_ns = self._items / self._weight, self._took / self._weight
        spread = self._items_items / self._weight - items * items
        if spread < 1e-3 * items * items:
            # One size only says nothing of others: then nothing is known to be saved, and twice the items cost twice.
            self._base_ns, self._item_ns = 0.0, took_ns / items
            return
        together = self._items_took / self._weight - items * took_ns
        self._item_ns = min(max(together / spread, 0.0), took_ns / items)
        self._base_ns = took_ns - self._item_ns * items
