"""A place where a process should be running, and the keeping of one there."""

import time
from collections.abc import Callable
from typing import Protocol

from tis.log import get_logger
from tis.supervisor.backoff import Backoff
from tis.supervisor.child import Child

_log = get_logger(__name__)


class Host(Protocol):
    """What a place needs of the supervisor."""

    def new_peer(self) -> int:
        """A peer id that no process has had before."""

    def watch(self, child: Child, died: Callable[[str], None]) -> None:
        """Call back with the reason when the child has ended; tells everybody else that it is gone."""

    def later(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Call back after a delay."""


class Place:
    """Starts a process, and starts it again after it died, with growing delays, as long as it is wanted."""

    def __init__(self, host: Host, title: str, launch: Callable[[int], Child]) -> None:
        self._host = host
        self._launch = launch
        self._backoff = Backoff()
        self.title = title
        self.child: Child | None = None
        self._up_s: float | None = None
        self.wanted = True
        self._is_last = False
        #: It died too often and is not started again.
        self.given_up = False
        #: Why the process here could not do its work, where it has said so before it ended.
        self.last_words = ""
        self._last_peer = 0
        #: May the next process start, given the peer id of the one before?
        self.may_start: Callable[[int], bool] = lambda _previous: True
        #: The process died (peer id, reason). Returns False where it should not be started again.
        self.on_death: Callable[[int, str], bool] = lambda _peer, _reason: True
        #: It died too often.
        self.on_give_up: Callable[[str], None] = lambda _reason: None

    @property
    def peer(self) -> int:
        """Peer id of the process here; 0 for none."""
        return self.child.peer if self.child else 0

    @property
    def up(self) -> bool:
        """True once the process in this place has said that it does its work."""
        return self._up_s is not None

    @up.setter
    def up(self, up: bool) -> None:
        self._up_s = time.monotonic() if up else None

    def worked_s(self) -> float:
        """How long the process here has done its work."""
        return time.monotonic() - self._up_s if self._up_s is not None else 0.0

    def start(self) -> None:
        """Start the process."""
        if not self.wanted or self._is_last or self.child is not None:
            return
        if not self.may_start(self._last_peer):
            self._host.later(0.05, self.start)
            return
        self.child = self._launch(self._host.new_peer())
        self.child.title = self.title
        _log.debug("%s runs as process %d, peer %d", self.title, self.child.pid, self.child.peer)
        self.child.replaces = self._last_peer
        self._host.watch(self.child, self._died)

    def start_no_other(self) -> None:
        """The process here goes on, and none takes its place if it dies."""
        self._is_last = True

    def dismiss(self) -> None:
        """The process is not wanted any more; whoever asked ends it."""
        self.wanted = False

    def _died(self, reason: str) -> None:
        child = self.child
        if child is None:
            return
        # Time spent on coming up does not count: a large model may load for minutes and then die at once, each time.
        worked_s = self.worked_s()
        self.child = None
        self.up = False
        self._last_peer = child.peer
        if self.last_words:
            reason, self.last_words = f"{reason}: {self.last_words}", ""
        again = self.on_death(child.peer, reason)
        if not self.wanted or not again:
            return
        _log.error("%s (pid %d) %s", self.title, child.pid, reason)
        if self._is_last:
            return
        if child.is_excused:
            self._backoff.forgive()
        delay_s = self._backoff.died(worked_s)
        if delay_s is None:
            self.given_up = True
            _log.error("%s died %d times in a row; it is not started again", self.title, self._backoff.deaths)
            self.on_give_up(reason)
        else:
            self._host.later(delay_s, self.start)
