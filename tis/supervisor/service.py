"""What systemd is told of this server, and when: that it has started, how it is, that it reloads, stops, and still lives.

The watchdog is fed by the supervisor's own loop, and only while the scheduler and every frontend answer, too: a server whose
loops turn but whose requests go nowhere is restarted. Processes that are being restarted count as answering, since that is
being seen to.
"""

import os
import signal
import time
from collections.abc import Callable, Iterable
from typing import Final

from tis.log import get_logger
from tis.supervisor.child import Child
from tis.supervisor.place import Place
from tis.supervisor.stopping import Stopping
from tis.supervisor.systemd import Systemd, monotonic_us

#: A process that beats once a second and has not for so long does not answer.
SILENCE_S: Final = 10.0
#: The same for one that has just been started.
START_SILENCE_S: Final = 60.0
#: Of the watchdog's time, how much passes between two signs of life.
_FEEDS: Final = 4
_EXTENSION_S: Final = 30.0
_EXTEND_EVERY_S: Final = 5.0
#: What a stop takes beside waiting for requests.
_STOP_ROOM_S: Final = 10.0

_log = get_logger(__name__)


class Pulse:
    """When processes were heard last, by peer id."""

    def __init__(self) -> None:
        self._heard_s: dict[int, float] = {}

    def heard(self, peer: int, now_s: float) -> None:
        """A heartbeat has come."""
        self._heard_s[peer] = now_s

    def silent(self, children: Iterable[Child | None], now_s: float) -> list[Child]:
        """Those that should have been heard by now; None stands for a process that is about to be restarted."""
        alive = [child for child in children if child is not None]
        self._heard_s = {child.peer: self._heard_s[child.peer] for child in alive if child.peer in self._heard_s}
        return [child for child in alive if self._is_silent(child, now_s)]

    def _is_silent(self, child: Child, now_s: float) -> bool:
        heard_s = self._heard_s.get(child.peer)
        if heard_s is None:
            return now_s - child.started_s > START_SILENCE_S
        return now_s - heard_s > SILENCE_S


class Service:
    """The conversation with systemd; silent where there is none."""

    def __init__(
        self,
        systemd: Systemd,
        later: Callable[[float, Callable[[], None]], None],
        models_ready: Callable[[], tuple[int, int]],
    ) -> None:
        self._systemd = systemd
        self._later = later
        #: The places of the processes without which nothing is served.
        self._vital: list[Place] = []
        #: How many model versions are ready, and how many there should be.
        self._models_ready = models_ready
        self._pulse = Pulse()
        self._begun = False
        self._started = False
        self._stopping = False
        self._starving = False
        self._shown = ""

    def begin(self, vital: list[Place]) -> None:
        """The server's loop begins to turn; nothing is served without these processes."""
        self._begun = True
        self._vital = vital
        if self._systemd.listens:
            self._extend()
        if self._systemd.watchdog_s:
            self._feed()

    def heard(self, peer: int) -> None:
        """A process has sent a heartbeat."""
        self._pulse.heard(peer, time.monotonic())

    def started(self) -> None:
        """The server serves."""
        self._started = True
        self._systemd.notify("READY=1", self._status())

    def changed(self) -> None:
        """Something about the server or its models has changed."""
        if self._begun and self._systemd.listens and self._status() != self._shown:
            self._systemd.notify(self._status())
            self._shown = self._status()

    def stopping(self, exit_timeout_s: float) -> None:
        """A stop has begun, which waits for requests for so long: systemd must not cut it short."""
        self._stopping = True
        room_us = int((exit_timeout_s + _STOP_ROOM_S) * 1e6)
        self._systemd.notify("STOPPING=1", self._status(), f"EXTEND_TIMEOUT_USEC={room_us}")

    def hangup(self, act: Callable[[], None], stopping: Stopping) -> None:
        """SIGHUP: a terminal has gone, and the server with it; where there is none, somebody asks for a reload."""
        if os.isatty(0):
            stopping.on_signal(signal.SIGHUP)
        else:
            _log.info("Signal (%d) received: reloading.", signal.SIGHUP)
            self.reload(act)

    def reload(self, act: Callable[[], None]) -> None:
        """Do what a reload asks for, and let `systemctl reload` wait for it. A server that still starts only does it."""
        if self._started and not self._stopping:
            self._systemd.notify("RELOADING=1", f"MONOTONIC_USEC={monotonic_us()}")
            act()
            self._systemd.notify("READY=1", self._status())
        else:
            act()

    def _status(self) -> str:
        ready, wanted = self._models_ready()
        doing = "stopping" if self._stopping else "serving" if self._started else "starting"
        return f"STATUS={doing}, models ready: {ready}/{wanted}"

    def _extend(self) -> None:
        """Models may take their time to load; what matters is that the loop turns while they do."""
        if self._started or self._stopping:
            return
        if not self._silent():
            self._systemd.notify(f"EXTEND_TIMEOUT_USEC={int(_EXTENSION_S * 1e6)}")
        self._later(_EXTEND_EVERY_S, self._extend)

    def _feed(self) -> None:
        silent = self._silent()
        if not silent:
            self._systemd.notify("WATCHDOG=1")
        elif not self._starving:
            for child in silent:
                _log.error(
                    "process %d (%s) does not answer: the watchdog of systemd is not fed until it does",
                    child.pid,
                    child.module,
                )
        self._starving = bool(silent)
        self._later(self._systemd.watchdog_s / _FEEDS, self._feed)

    def _silent(self) -> list[Child]:
        # A stop has its own limits, and dismisses its processes one by one.
        return [] if self._stopping else self._pulse.silent([place.child for place in self._vital], time.monotonic())
