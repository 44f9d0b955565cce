"""The model table on its way to everybody: first to the scheduler, then to the frontends, and where it holds. Pure.

A frontend must not send a request for a load that the scheduler has not heard of; and a load is over only when no frontend
can send a request for it any more. So the scheduler is told first, and everybody says what it has seen.

Workers whose models ask others follow the table without saying what they have seen: a request of theirs for a load that is
over is refused by the scheduler, and they ask again by a newer table.
"""

from collections.abc import Callable

from tis.contracts import messages as m


class Publication:
    """The newest table and who has seen which."""

    def __init__(self, send: Callable[[int, m.Message], None]) -> None:
        self._send = send
        self._table = m.Table(0, ())
        self._scheduler = 0
        self._scheduler_epoch = 0
        #: The epoch that each living frontend has seen.
        self._frontends: dict[int, int] = {}
        #: Workers that have asked for the table.
        self._followers: set[int] = set()
        self._waiting: list[tuple[int, Callable[[], None]]] = []

    @property
    def table(self) -> m.Table:
        """The newest table, for the scheduler."""
        return self._table

    def publish(self, table: m.Table) -> None:
        """There is a newer table."""
        self._table = table
        if self._scheduler:
            self._send(self._scheduler, table)

    def scheduler_began(self, peer: int) -> None:
        """There is a scheduler, which has been given the newest table."""
        self._scheduler = peer
        self._scheduler_epoch = 0

    def frontend_began(self, peer: int) -> None:
        """There is a frontend, which has been given the newest table."""
        self._frontends[peer] = 0

    def follow(self, peer: int) -> None:
        """A worker wants each table as soon as the scheduler has seen it."""
        self._followers.add(peer)
        if self._scheduler_epoch == self._table.epoch:
            self._send(peer, self._table)

    def gone(self, peer: int) -> None:
        """A process has died; if it was the scheduler, the next one is told."""
        self._frontends.pop(peer, None)
        self._followers.discard(peer)
        if peer == self._scheduler:
            self._scheduler = 0
        self._settle()

    def seen(self, peer: int, epoch: int) -> None:
        """A process acts by the table of this epoch."""
        if peer == self._scheduler:
            self._scheduler_epoch = epoch
            if epoch == self._table.epoch:
                for each in (*self._frontends, *self._followers):
                    self._send(each, self._table)
        elif peer in self._frontends:
            self._frontends[peer] = max(epoch, self._frontends[peer])
        self._settle()

    @property
    def is_everywhere(self) -> bool:
        """True where everybody acts by the newest table."""
        return self._everywhere() >= self._table.epoch

    def _everywhere(self) -> int:
        return min([self._scheduler_epoch if self._scheduler else 0, *self._frontends.values()])

    def when_everywhere(self, callback: Callable[[], None]) -> None:
        """Call back once everybody acts by the newest table of now, or a newer one."""
        self._waiting.append((self._table.epoch, callback))
        self._settle()

    def _settle(self) -> None:
        everywhere = self._everywhere()
        due = [callback for epoch, callback in self._waiting if epoch <= everywhere]
        self._waiting = [(epoch, callback) for epoch, callback in self._waiting if epoch > everywhere]
        for callback in due:
            callback()
