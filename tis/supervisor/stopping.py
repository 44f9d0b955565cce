"""The order of a stop: no new connections, drain, stop workers and scheduler, leave. Decides when; the supervisor acts."""

import signal
import time
from collections.abc import Callable
from typing import Final, Protocol

from tis.log import get_logger

_PATIENCE_S: Final = 5.0
#: The same after a second signal or the exit timeout.
_GIVEN_UP_PATIENCE_S: Final = 1.0
_SECOND_SIGNAL_AFTER_S: Final = 0.5

_log = get_logger(__name__)


class StopHost(Protocol):
    """What a stop needs of the supervisor."""

    def later(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Call back after a delay."""

    def drain(self) -> set[int]:
        """Tell frontends to accept no more; gives those that will say when nothing is in flight."""

    def dismiss(self) -> None:
        """Tell all processes to end, and start none again."""

    def living(self) -> set[int]:
        """The processes that have not ended."""

    def kill_all(self) -> None:
        """End what has not ended by itself."""

    def leave(self) -> None:
        """Nothing is left to be done."""


class Stopping:
    """How far a stop is."""

    def __init__(self, host: StopHost, exit_timeout_s: float) -> None:
        self._host = host
        self._exit_timeout_s = exit_timeout_s
        self._undrained: set[int] = set()
        self._dismissed = False
        self._patience_s = _PATIENCE_S
        self._asked_s = 0.0
        self.begun = False
        self.exit_code = 0

    def on_signal(self, number: signal.Signals) -> None:
        """The first one stops in order, a later one at once."""
        now_s = time.monotonic()
        if self.begun:
            # `timeout` and some shells send a signal to the process and to its group: that is one wish, not two.
            if now_s - self._asked_s < _SECOND_SIGNAL_AFTER_S:
                return
            _log.info("Signal (%d) received again: what is in flight is given up.", number)
            self._give_up()
            return
        self._asked_s = now_s
        _log.info("Signal (%d) received.", number)
        self.begin()

    def begin(self) -> None:
        """Stop in order."""
        if self.begun:
            return
        self.begun = True
        self._undrained = self._host.drain()
        self._host.later(self._exit_timeout_s, self._drain_timed_out)
        self._go_on()

    def drained(self, peer: int) -> None:
        """Nothing is in flight in a frontend any more."""
        self._undrained.discard(peer)
        if self.begun:
            self._go_on()

    def process_ended(self) -> None:
        """A process has ended."""
        if self.begun:
            self._undrained &= self._host.living()
            self._go_on()

    def _drain_timed_out(self) -> None:
        if self._undrained:
            _log.error("Exit timeout expired. Exiting immediately.")
            self.exit_code = 1
            self._give_up()

    def _give_up(self) -> None:
        """What is in flight is lost, and nobody is waited for any longer than it takes to say so."""
        self._patience_s = _GIVEN_UP_PATIENCE_S
        self._undrained.clear()
        if self._dismissed:
            self._host.kill_all()
        else:
            self._go_on()

    def _go_on(self) -> None:
        """Go as far as the stop can go now; called again whenever something has ended."""
        if self._undrained:
            return
        if not self._dismissed:
            self._dismissed = True
            self._host.dismiss()
            self._host.later(self._patience_s, self._host.kill_all)
        if not self._host.living():
            self._host.leave()
