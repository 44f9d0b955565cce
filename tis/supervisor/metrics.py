"""What the supervisor has to say when a frontend is scraped: the machine, the processes and the pool."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from tis.contracts import messages as m
from tis.log import get_logger
from tis.settings import ServerSettings
from tis.supervisor.child import Child
from tis.supervisor.grants import Grants
from tis.supervisor.machine_load import MachineLoad
from tis.supervisor.models import Models
from tis.supervisor.place import Place

_SHORTEST_INTERVAL_S: Final = 0.05
#: Kinds of process by the module that each runs.
_KINDS: Final = {"tis.scheduler": "scheduler", "tis_frontend": "frontend", "tis_workers": "worker"}

_log = get_logger(__name__)


class Metrics:
    """Counts of what happens to processes, kept here since they must outlive them."""

    def __init__(
        self,
        settings: ServerSettings,
        pool_bytes: int,
        later: Callable[[float, Callable[[], None]], None],
        custom: Callable[[], tuple[m.CustomFamily, ...]] = tuple,
    ) -> None:
        self._custom = custom
        self._pool_bytes = pool_bytes
        self._later = later
        self._interval_s = max(settings.metrics_interval_ms / 1000, _SHORTEST_INTERVAL_S)
        self._load = MachineLoad()
        self._restarts = Counter(dict.fromkeys(_KINDS.values(), 0))
        self._used_bytes: dict[int, int] = {}
        self._late_answers: dict[int, int] = {}
        self._late_answers_of_dead = 0
        if settings.allow_metrics and settings.allow_cpu_metrics:
            self._look()

    def started(self, child: Child, previous: int) -> None:
        """A process has been started, in the place of another (its peer id) or of none (0)."""
        if previous:
            self._restarts[_KINDS.get(child.module, child.module)] += 1

    def heard(self, beat: m.Heartbeat) -> None:
        """A process lives."""
        _log.debug("peer %d uses %d bytes of the pool, %d requests pending", beat.peer, beat.used_bytes, beat.pending)
        self._used_bytes[beat.peer] = beat.used_bytes
        if beat.late_answers:
            self._late_answers[beat.peer] = beat.late_answers

    def ended(self, peer: int) -> None:
        """A process has ended; what it has counted stays counted."""
        self._used_bytes.pop(peer, None)
        self._late_answers_of_dead += self._late_answers.pop(peer, 0)

    def message(self, frontends: Sequence[Place], models: Models, grants: Grants) -> m.ServerMetrics:
        """Everything as it stands."""
        holders = [
            (place.peer, "frontend", place.title, grants.frontend_range(index).size_bytes)
            for index, place in enumerate(frontends)
        ]
        for version in models.versions:
            holders += [(peer, "worker", name, grants.granted_bytes(peer)) for peer, name in version.processes()]
        return m.ServerMetrics(
            self._load.cpu_utilization,
            self._load.memory_total_bytes,
            self._load.memory_used_bytes,
            self._pool_bytes,
            tuple(
                m.ProcessMetrics(kind, name, granted_bytes, self._used_bytes.get(peer, 0))
                for peer, kind, name, granted_bytes in holders
            ),
            dict(self._restarts),
            self._late_answers_of_dead + sum(self._late_answers.values()),
            tuple(models.load_times()),
            self._custom(),
        )

    def _look(self) -> None:
        self._load.look()
        self._later(self._interval_s, self._look)
