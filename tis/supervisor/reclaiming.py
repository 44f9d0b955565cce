"""What a dead process held: who is asked whether they still hold something of it, and the memory that comes free then.

The order is that of `departures.py`; here are the messages and the pool.
"""

from tis.contracts import messages as m
from tis.supervisor.departures import Departures
from tis.supervisor.grants import Grants
from tis.supervisor.processes import Processes
from tis_shm.pool import Pool


class Reclaiming:
    """From a death to the memory that is free again."""

    def __init__(self, processes: Processes, grants: Grants, pool: Pool) -> None:
        self._processes = processes
        self._grants = grants
        self._pool = pool
        self._departures = Departures(self._ask_scheduler, self._announce, self._forget)

    def __contains__(self, peer: int) -> bool:
        """True while somebody may hold something of a dead peer."""
        return peer in self._departures

    def died(self, peer: int, reason: str) -> None:
        """A process is gone."""
        self._departures.died(peer, reason, scheduler_lives=self._processes.scheduler_listens)

    def quiesced(self, message: m.Quiesced) -> None:
        """Somebody holds nothing of a dead one any more."""
        if message.peer == self._processes.scheduler_peer:
            self._departures.scheduler_quiesced(message.gone)
        else:
            self._departures.quiesced(message.peer, message.gone)

    def given_back(self, message: m.GrantReturn) -> None:
        """A worker needs ranges no more that it was granted, and nobody reads them."""
        for grant in self._grants.give_back(message.peer, message.grants):
            self._pool.punch(*grant)

    def _ask_scheduler(self, gone: int, reason: str) -> None:
        self._processes.tell_scheduler(m.PeerDown(gone, reason))

    def _announce(self, gone: int, reason: str) -> set[int]:
        others = self._processes.others()
        lent = self._grants.granted_bytes(gone) > 0
        for each in others:
            self._processes.send(each, m.PeerDown(gone, reason, lent))
        return others.intersection(self._processes.readers())

    def _forget(self, gone: int) -> None:
        """Nobody reads what was a dead process's, nor what workers had lent to it: its pages go back to the machine."""
        for grant in self._grants.reclaim(gone):
            self._pool.punch(*grant)
        self._processes.tell_workers_up(m.PeerForgotten(gone))
