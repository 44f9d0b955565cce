"""Which models to look at again at which moment. Pure; setting a moment costs the same however many are set."""

from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final, Generic, TypeVar

Thing = TypeVar("Thing")

_VOID_ENTRIES: Final = 64


def sooner_ns(one_ns: int | None, other_ns: int | None) -> int | None:
    """The earlier of two moments, None being never."""
    if one_ns is None or other_ns is None:
        return one_ns if other_ns is None else other_ns
    return min(one_ns, other_ns)


class Wakeups(Generic[Thing]):
    """At most one moment for each thing; entries of moments that have been changed since are void."""

    def __init__(self) -> None:
        self._at_ns: dict[Thing, int] = {}
        self._heap: list[tuple[int, int, Thing]] = []
        #: Tells entries of the same moment apart, so that things need no order.
        self._numbers = count()

    def set(self, thing: Thing, at_ns: int | None) -> None:
        """Wake for this thing at this moment, and not at the one set before; None for never."""
        if at_ns is None:
            self._at_ns.pop(thing, None)
            return
        if self._at_ns.get(thing) == at_ns:
            return
        self._at_ns[thing] = at_ns
        if len(self._heap) > _VOID_ENTRIES + 2 * len(self._at_ns):
            self._heap = [entry for entry in self._heap if self._at_ns.get(entry[2]) == entry[0]]
            heapify(self._heap)
        heappush(self._heap, (at_ns, next(self._numbers), thing))

    def next_ns(self) -> int | None:
        """The earliest moment."""
        heap = self._heap
        while heap:
            at_ns, _, thing = heap[0]
            if self._at_ns.get(thing) == at_ns:
                return at_ns
            heappop(heap)
        return None

    def due(self, now_ns: int) -> list[Thing]:
        """Things whose moment has come; their moments are forgotten."""
        things: list[Thing] = []
        while (at_ns := self.next_ns()) is not None and at_ns <= now_ns:
            thing = heappop(self._heap)[2]
            del self._at_ns[thing]
            things.append(thing)
        return things
