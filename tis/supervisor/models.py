"""All models of the repositories: read at start, then versions, the model table and readiness."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from tis.config.completion import DEFAULT_MAX_BATCH_SIZE
from tis.config.resolve import Surroundings
from tis.contracts import messages as m
from tis.errors import TisError, unavailable
from tis.log import get_logger
from tis.repository.definition import ModelDefinition, read_definition
from tis.repository.layout import DUPLICATE_REASON, scan
from tis.repository.versions import missing_version_texts, require_versions
from tis.settings import ServerSettings
from tis.supervisor.index import reason_shown, repository_index
from tis.supervisor.machine import backend_uses_gpu
from tis.supervisor.version import ModelVersion, State, VersionHost

_log = get_logger(__name__)


class Models:
    """What should be served, and how far it is."""

    def __init__(self, host: VersionHost, settings: ServerSettings) -> None:
        self._host: Final = host
        self._settings: Final = settings
        self._epoch = 0
        self.versions: list[ModelVersion] = []
        #: Models without any version to serve, and why.
        self.failed: dict[str, str] = {}
        #: Those of them that could not even be read, and what the index says of each.
        self.unread: dict[str, str] = {}
        #: Called when every version has become READY or UNAVAILABLE.
        self.on_settled: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Read the repositories and begin to load everything.

        Raises:
            TisError: a repository cannot be read.
        """
        scanned = scan([Path(each) for each in self._settings.model_repositories])
        for name in scanned.duplicates:
            self.unread[name] = DUPLICATE_REASON
            self._cannot_load(name, unavailable(DUPLICATE_REASON))
        for directory in scanned.models.values():
            try:
                definition = read_definition(directory, auto_complete=self._settings.auto_complete_config)
            except TisError as error:
                self.unread[directory.name] = reason_shown(error)
                self._cannot_load(directory.name, error)
                continue
            try:
                self._add(definition)
            except TisError as error:
                self._cannot_load(directory.name, error)
        for version in self.versions:
            version.start()
        self._settle()

    def _add(self, definition: ModelDefinition) -> None:
        for text in (*definition.warnings, *missing_version_texts(definition.name, definition.selection)):
            _log.warning("model '%s': %s", definition.name, text)
        if definition.unacted:
            _log.warning(
                "model '%s': these fields of its config have no effect in this version of the server: %s",
                definition.name,
                ", ".join(definition.unacted),
            )
        surroundings = self._surroundings(str(definition.config.backend))
        for number in require_versions(definition.name, definition.selection):
            version = ModelVersion(self._host, definition, number, surroundings)
            version.on_settled = self._settle
            self.versions.append(version)

    def _surroundings(self, backend: str) -> Surroundings:
        return Surroundings(
            gpu_count=len(self._host.machine.gpus),
            backend_uses_gpu=backend_uses_gpu(backend),
            auto_complete=self._settings.auto_complete_config,
            default_max_batch_size=_default_max_batch_size(self._settings, backend),
        )

    def _cannot_load(self, name: str, error: TisError) -> None:
        self.failed[name] = f"{error.code.spoken}: {error.message}"
        _log.error("failed to load '%s': %s", name, self.failed[name])

    # ---- state -----------------------------------------------------------------------------------------------------

    @property
    def settled(self) -> bool:
        """True when nothing is loading."""
        return all(version.state is not State.LOADING for version in self.versions)

    @property
    def all_ready(self) -> bool:
        """True when everything that should be served is."""
        return not self.failed and all(version.state is State.READY for version in self.versions)

    def counts(self) -> tuple[int, int]:
        """How many versions are ready, and how many there should be; a model that cannot be read counts as one."""
        ready = sum(version.state is State.READY for version in self.versions)
        return ready, len(self.versions) + len(self.failed)

    def of_peer(self, peer: int) -> ModelVersion | None:
        """The version that a worker belongs to."""
        return next((version for version in self.versions if version.place_of(peer) is not None), None)

    def instance_name(self, peer: int) -> str:
        """The instance that a worker is; empty for a process that is none."""
        version = self.of_peer(peer)
        place = version.place_of(peer) if version is not None else None
        return version.spec.instances[place].name if version is not None and place is not None else ""

    def table(self) -> m.Table:
        """The model table under a new epoch."""
        self._epoch += 1
        entries = tuple(
            m.TableEntry(version.spec, version.state is State.READY) for version in self.versions if version.completed
        )
        named = {entry.spec.name for entry in entries}
        unavailable = {name: reason for name, reason in self.failed.items() if name not in self.unread}
        unavailable.update({each.name: each.reason for each in self.versions if each.name not in named})
        index = repository_index(self.versions, self.unread)
        return m.Table(self._epoch, entries, tuple(unavailable.items()), index)

    def load_times(self) -> list[tuple[str, int, float]]:
        """Name, version and seconds that loading took, of every version that has been loaded."""
        return [(each.name, each.version, each.load_s) for each in self.versions if each.load_s]

    def log_table(self) -> str:
        """Models, versions and states as the table that Triton logs at start."""
        rows = [("Model", "Version", "Status")]
        rows += [
            (each.name, str(each.version), "READY" if each.state is State.READY else f"UNAVAILABLE: {each.reason}")
            for each in self.versions
        ]
        rows += [(name, "-", f"Not loaded: {reason}") for name, reason in self.failed.items()]
        return _table(rows)

    def _settle(self) -> None:
        if self.settled:
            self.on_settled()


def _default_max_batch_size(settings: ServerSettings, backend: str) -> int:
    """`--backend-config=default-max-batch-size=N`, for all backends or one; 4 where it is not given."""
    chosen = DEFAULT_MAX_BATCH_SIZE
    for name, key, value in settings.backend_config:
        if key == "default-max-batch-size" and name in ("", backend) and value.isdigit():
            chosen = int(value)
    return chosen


def _table(rows: list[tuple[str, str, str]]) -> str:
    """Rows in a frame, the first one as heading. Cells with several lines show their first."""
    cells = [[cell.split("\n", 1)[0] for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    rule = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    return "\n".join([rule, lines[0], rule, *lines[1:], rule])
