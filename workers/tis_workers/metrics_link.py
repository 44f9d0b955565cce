"""What this worker's models count for themselves, on its way to the supervisor, where all workers' counts add up.

What happens to metrics while `execute` runs is gathered and told once, when it returns and before the responses leave; so a
client that has its answer and then reads the metrics finds its request counted. Everywhere else the loop tells at its next
turn. Only making a family or a metric, and reading a value, wait for an answer.
"""

import time
from bisect import bisect_left
from collections.abc import Callable
from itertools import count
from typing import Final

from tis.contracts import messages as m
from tis.contracts.control import ControlLink
from tis.errors import unavailable
from tis_workers.backchannel import Backchannel

_ANSWER_DEADLINE_S: Final = 5.0
#: An `execute` that runs for long tells what it has counted this often, in nanoseconds.
_LONGEST_WAIT_NS: Final = 10_000_000


class MetricsLink:
    """The way to the supervisor. It uses the control socket, and so the backchannel's lock."""

    def __init__(self, channel: Backchannel, control: ControlLink | None, title: str) -> None:
        #: The instance, by whose name Triton's texts call it.
        self.title: Final = title
        self._channel = channel
        #: None where a model is only looked at: then nothing is counted.
        self._control = control
        self._numbers = count(1)
        self._calls = count(1)
        self._pending: dict[int, m.MetricChange] = {}
        self._told_ns = 0
        #: Whether `execute` runs, which tells when it returns; whether the loop will.
        self.executing = False
        self._announced = False

    # ---- questions -------------------------------------------------------------------------------------------------

    def new_family(self, name: str, description: str, kind: str) -> tuple[int, str]:
        """Its number, and what is wrong with it."""
        number = next(self._numbers)
        answer = self._ask(lambda peer, call_id: m.NewMetricFamily(peer, call_id, number, name, description, kind))
        return number, answer.text

    def new_metric(
        self, family: int, labels: dict[str, str], bounds: tuple[float, ...]
    ) -> tuple[int, tuple[float, ...], str]:
        """Its number, its true bounds and what is wrong with it."""
        number = next(self._numbers)
        answer = self._ask(lambda peer, call_id: m.NewMetric(peer, call_id, number, family, labels, bounds))
        return number, answer.bounds if self._control is not None else bounds, answer.text

    def value(self, metric: int) -> float:
        """What it stands at, all workers together."""
        return self._ask(lambda peer, call_id: m.MetricChanges(peer, self._taken(), call_id, metric)).value

    def _ask(self, question: Callable[[int, int], m.Message]) -> m.MetricAnswer:
        """Raises TisError where there is no answer in time."""
        control = self._control
        if control is None:
            return m.MetricAnswer(0)
        with self._channel.lock:
            self._tell()
            call_id = next(self._calls)
            control.send(question(control.peer, call_id))
            try:
                while True:
                    answer = control.wait_for(m.MetricAnswer, _ANSWER_DEADLINE_S)
                    # Another one is that of a question whose asker has given up.
                    if answer.call_id == call_id:
                        return answer
            except TimeoutError as error:
                raise unavailable(f"the server does not answer questions about metrics: {error}") from error
            finally:
                # What else came meanwhile is read, so that the socket will not wake the loop for it.
                self._channel.wake()

    # ---- news ------------------------------------------------------------------------------------------------------

    def increment(self, metric: int, value: float) -> None:
        """It has grown by a value."""
        with self._channel.lock:
            self._change(metric).increment += value
            self._soon()

    def set(self, metric: int, value: float) -> None:
        """It has a new value."""
        with self._channel.lock:
            change = self._change(metric)
            change.base, change.increment = value, 0.0
            self._soon()

    def observe(self, metric: int, bounds: tuple[float, ...], value: float) -> None:
        """A histogram has seen a value."""
        with self._channel.lock:
            change = self._change(metric)
            counts = list(change.counts) or [0] * (len(bounds) + 1)
            counts[bisect_left(bounds, value)] += 1
            change.counts = tuple(counts)
            change.total += value
            self._soon()

    def drop(self, family: int) -> None:
        """A family is no more. From anywhere, even a destructor."""
        control = self._control
        if control is not None:
            self._channel.later(lambda: control.send(m.DropMetricFamily(control.peer, family)))

    def executed(self) -> None:
        """`execute` has returned. To be called with the lock held."""
        self.executing = False
        if self._pending:
            self._tell()

    def _change(self, metric: int) -> m.MetricChange:
        change = self._pending.get(metric)
        if change is None:
            change = self._pending[metric] = m.MetricChange(metric)
        return change

    def _taken(self) -> tuple[m.MetricChange, ...]:
        taken, self._pending = tuple(self._pending.values()), {}
        return taken

    def _tell(self) -> None:
        self._told_ns = time.monotonic_ns()
        self._announced = False
        changes = self._taken()
        if changes and self._control is not None:
            self._control.send(m.MetricChanges(self._control.peer, changes))

    def _soon(self) -> None:
        if self.executing:
            if time.monotonic_ns() - self._told_ns > _LONGEST_WAIT_NS:
                self._tell()
                self._channel.wake()
        elif not self._announced:
            self._announced = True
            self._channel.later(self._tell)
