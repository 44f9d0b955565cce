"""Dead processes and who may still hold something of them: when the memory of one comes free. Pure bookkeeping.

The scheduler is asked first, since it may still hand on what a dead worker has written, or run what a dead frontend has
asked for. Only when it has let go are all others told, and when they have let go, too, nobody reads that memory any more.
"""

from collections.abc import Callable

#: Tells everybody but the scheduler of a death; gives those that may hold something of the dead one.
Announce = Callable[[int, str], set[int]]


class Departures:
    """The dead that are not forgotten yet."""

    def __init__(
        self, ask_scheduler: Callable[[int, str], None], announce: Announce, forgotten: Callable[[int], None]
    ) -> None:
        self._ask_scheduler = ask_scheduler
        self._announce = announce
        #: Called when nobody holds anything of a dead peer any more.
        self._forgotten = forgotten
        #: Those that only the scheduler knows of so far, and why they died.
        self._first: dict[int, str] = {}
        #: The others, and whom they wait for.
        self._awaited: dict[int, set[int]] = {}

    def __contains__(self, peer: int) -> bool:
        """True while somebody may hold something of a dead peer."""
        return peer in self._first or peer in self._awaited

    def died(self, peer: int, reason: str, *, scheduler_lives: bool) -> None:
        """A process is gone. `scheduler_lives` is false where it was the scheduler, too."""
        for gone in list(self._awaited):
            self.quiesced(peer, gone)
        if scheduler_lives:
            self._first[peer] = reason
            self._ask_scheduler(peer, reason)
            return
        # What the scheduler held went with it.
        waiting, self._first = self._first, {}
        for gone, why in {**waiting, peer: reason}.items():
            self._tell_others(gone, why)

    def scheduler_quiesced(self, gone: int) -> None:
        """The scheduler holds nothing of `gone` any more, and will hand on nothing of it."""
        reason = self._first.pop(gone, None)
        if reason is not None:
            self._tell_others(gone, reason)

    def quiesced(self, peer: int, gone: int) -> None:
        """`peer` holds nothing of `gone` any more."""
        awaited = self._awaited.get(gone)
        if awaited is not None:
            awaited.discard(peer)
            self._settle(gone)

    def _tell_others(self, gone: int, reason: str) -> None:
        self._awaited[gone] = set(self._announce(gone, reason))
        self._settle(gone)

    def _settle(self, gone: int) -> None:
        if not self._awaited[gone]:
            del self._awaited[gone]
            self._forgotten(gone)
