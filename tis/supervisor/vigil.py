"""Which processes hang, or load or run for too long, and their end: their stacks go into the log, then they are killed.

Every process beats once a second from its working loop. The scheduler and frontends must always do so. A worker does not
while it executes, which may take any time: whether it has something to execute is in the scheduler's beats, which also say
since when. So a long execution is no hang unless the model sets a limit, and a worker that is silent without any work is one.
A process that has been stopped (SIGSTOP) hangs whatever it had to do; one that a debugger holds does not.

Silence is counted in turns of the supervisor's own loop, each for at most a little more than it should take: on a machine
that is overloaded, or was suspended, nobody is killed for what the supervisor itself could not have done any better.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tis.contracts import messages as m
from tis.log import get_logger
from tis.supervisor.child import Child
from tis.supervisor.service import SILENCE_S, START_SILENCE_S

LOOK_S: Final = 1.0
#: How much of the time between two looks counts at most.
LONGEST_LOOK_S: Final = 1.5
#: Between asking a process for its stacks and killing it.
DUMP_WAIT_S: Final = 1.0
#: How long a process may take to end after it was told to: models finalize meanwhile.
END_PATIENCE_S: Final = 30.0
#: So many reports of the scheduler in a row must say that a silent worker has nothing to do: one may be late.
IDLE_REPORTS: Final = 3
#: A worker that was silent for so long when it got its batch has not begun with it.
MISSED_S: Final = 5.0
_SILENT: Final = f"no sign of life for {SILENCE_S:g} s"

_log = get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Watched:
    """A process, and what has been heard of it. Seconds are those of the supervisor's loop."""

    child: Child
    is_worker: bool
    is_up: bool = False
    heard: bool = False
    age_s: float = 0.0
    silent_s: float = 0.0
    stopped_s: float = 0.0
    #: How long ago it was told to end; None where it was not.
    ending_s: float | None = None
    #: By the scheduler: since when its batch runs (0: it has requests, but no batch), None where it has nothing to do.
    batch_ns: int | None = None
    idle_reports: int = 0
    #: It was silent already when it got its batch.
    was_silent: bool = False
    #: The scheduler is a new one, and knows nothing of what the worker may have got before.
    is_unknown: bool = False
    is_condemned: bool = False


class Vigil:
    """Watches over all children."""

    def __init__(
        self,
        later: Callable[[float, Callable[[], None]], None],
        is_stopped: Callable[[int], bool] | None = None,
    ) -> None:
        self._later = later
        self._is_stopped = is_stopped or process_is_stopped
        self._watched: dict[int, _Watched] = {}
        #: The scheduler that may have given something to workers: the first one, until another one reports.
        self._scheduler = 0
        self._looked_s = 0.0
        #: A stop of the server has limits of its own.
        self.over = False

    # ---- what happens ----------------------------------------------------------------------------------------------

    def watch(self, child: Child) -> None:
        """A process has been started."""
        since_s = self._since_look_s(child.started_s)
        self._watched[child.peer] = _Watched(child, child.module == "tis_workers", age_s=-since_s, silent_s=-since_s)
        if child.module == "tis.scheduler" and not self._scheduler:
            self._scheduler = child.peer

    def up(self, peer: int) -> None:
        """It does its work from now on."""
        watched = self._watched.get(peer)
        if watched is not None:
            watched.is_up = True
            watched.silent_s = 0.0

    def told_to_end(self, peer: int) -> None:
        """It has been told to end, and beats no more."""
        watched = self._watched.get(peer)
        if watched is not None and watched.ending_s is None:
            watched.ending_s = 0.0

    def ended(self, peer: int) -> None:
        """It is gone."""
        self._watched.pop(peer, None)

    def heard(self, beat: m.Heartbeat, now_ns: int) -> None:
        """A heartbeat has come."""
        watched = self._watched.get(beat.peer)
        if watched is None:
            return
        watched.heard = True
        watched.silent_s = -self._since_look_s(now_ns / 1e9)
        watched.stopped_s = 0.0
        watched.is_unknown = watched.was_silent = False
        if watched.child.module == "tis.scheduler":
            self._reported(beat, now_ns)

    def _since_look_s(self, now_s: float) -> float:
        """The part of the time until the next look that does not count for what happens now."""
        return min(max(now_s - self._looked_s, 0.0), LONGEST_LOOK_S)

    def _reported(self, beat: m.Heartbeat, now_ns: int) -> None:
        """The scheduler says which workers have something to do."""
        running = dict(beat.running)
        is_new = beat.peer != self._scheduler
        self._scheduler = beat.peer
        for watched in self._watched.values():
            if not watched.is_worker or not watched.is_up:
                continue
            watched.is_unknown |= is_new
            since_ns = running.get(watched.child.peer)
            watched.idle_reports = 0 if since_ns is not None else watched.idle_reports + 1
            if since_ns and since_ns != watched.batch_ns:
                watched.was_silent = watched.silent_s - (now_ns - since_ns) / 1e9 > MISSED_S
            watched.batch_ns = since_ns
            limit_s = watched.child.limits.execution_s
            if limit_s and since_ns and now_ns - since_ns > limit_s * 1e9 and watched.ending_s is None:
                self._condemn_execution(watched, since_ns)

    # ---- looking ---------------------------------------------------------------------------------------------------

    def begin(self, now_s: float, clock: Callable[[], float]) -> None:
        """Look once a second from now on."""
        self._looked_s = now_s

        def look() -> None:
            self.look(clock())
            self._later(LOOK_S, look)

        self._later(LOOK_S, look)

    def look(self, now_s: float) -> None:
        """Who has been silent for too long?"""
        passed_s = min(now_s - self._looked_s, LONGEST_LOOK_S)
        self._looked_s = now_s
        if self.over:
            return
        for watched in list(self._watched.values()):
            watched.age_s += passed_s
            watched.silent_s += passed_s
            if watched.ending_s is not None:
                watched.ending_s += passed_s
            self._judge(watched, passed_s)

    def _judge(self, watched: _Watched, passed_s: float) -> None:
        limits = watched.child.limits
        if watched.ending_s is not None:
            if watched.ending_s > END_PATIENCE_S:
                self._condemn(watched, f"it did not end within {END_PATIENCE_S:g} s of being told to", _never)
        elif not watched.is_worker:
            limit_s = SILENCE_S if watched.heard else START_SILENCE_S
            if watched.silent_s > limit_s:
                self._condemn(watched, f"no sign of life for {limit_s:g} s", lambda: watched.silent_s < SILENCE_S)
        elif not watched.is_up:
            if limits.load_s and watched.age_s > limits.load_s:
                self._condemn(watched, limits.load_text, lambda: watched.is_up)
            else:
                self._judge_stopped(watched, passed_s, START_SILENCE_S)
        elif watched.silent_s > SILENCE_S:
            if self._hangs(watched):
                self._condemn(watched, _SILENT, lambda: watched.silent_s < SILENCE_S)
            elif watched.is_unknown and limits.execution_s and watched.silent_s > limits.execution_s + SILENCE_S:
                self._condemn(watched, limits.execution_text, lambda: watched.silent_s < SILENCE_S, is_excused=True)
            else:
                self._judge_stopped(watched, passed_s, MISSED_S)

    def _judge_stopped(self, watched: _Watched, passed_s: float, limit_s: float) -> None:
        watched.stopped_s = watched.stopped_s + passed_s if self._is_stopped(watched.child.pid) else 0.0
        if watched.stopped_s > limit_s:
            self._condemn(watched, "it has been stopped (SIGSTOP) and nobody lets it go on", _never)

    @staticmethod
    def _hangs(watched: _Watched) -> bool:
        """Whether a worker that is up, and silent, cannot be executing anything."""
        if watched.is_unknown:
            return False
        return watched.was_silent or watched.idle_reports >= IDLE_REPORTS

    # ---- the end ---------------------------------------------------------------------------------------------------

    def _condemn_execution(self, watched: _Watched, since_ns: int) -> None:
        text = watched.child.limits.execution_text
        self._condemn(watched, text, lambda: watched.batch_ns != since_ns, is_excused=True)

    def _condemn(self, watched: _Watched, why: str, is_spared: Callable[[], bool], *, is_excused: bool = False) -> None:
        if watched.is_condemned:
            return
        watched.is_condemned = True
        child = watched.child
        _log.error("%s (pid %d) is to be killed: %s; the stacks of its threads:", child.title, child.pid, why)
        child.dump_stacks()
        self._later(DUMP_WAIT_S, lambda: self._end(watched, why, is_spared, is_excused))

    def _end(self, watched: _Watched, why: str, is_spared: Callable[[], bool], is_excused: bool) -> None:
        child = watched.child
        if self._watched.get(child.peer) is not watched:
            return
        if is_spared():
            watched.is_condemned = False
            _log.warning("%s (pid %d) goes on and is not killed", child.title, child.pid)
            return
        child.is_excused = is_excused
        child.kill(f"was killed: {why}")


def _never() -> bool:
    return False


def process_is_stopped(pid: int) -> bool:
    """True for a process that job control has stopped; one that is traced has another state."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except (OSError, IndexError):
        return False
