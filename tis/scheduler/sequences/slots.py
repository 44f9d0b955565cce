"""The slots that no sequence has. Pure logic."""

from heapq import heapify, heappop, heappush

from tis.scheduler.sequences.lane import Lane


class FreeSlots:
    """Free slots of all instances: the lowest number comes first, so that sequences spread over the instances."""

    def __init__(self) -> None:
        #: Slot, how many lanes there were before its own, lane.
        self._heap: list[tuple[int, int, Lane]] = []

    def __bool__(self) -> bool:
        return bool(self._heap)

    def add_lane(self, lane: Lane) -> None:
        """All slots of a new instance are free."""
        for slot in range(len(lane.occupants)):
            self.free(lane, slot)

    def remove_lane(self, lane: Lane) -> None:
        """An instance has gone, and its slots with it."""
        self._heap = [entry for entry in self._heap if entry[2] is not lane]
        heapify(self._heap)

    def free(self, lane: Lane, slot: int) -> None:
        """A sequence has left its slot."""
        heappush(self._heap, (slot, lane.number, lane))

    def take(self) -> tuple[Lane, int]:
        """The lowest free slot; of equals that of the instance that came first."""
        slot, _, lane = heappop(self._heap)
        return lane, slot
