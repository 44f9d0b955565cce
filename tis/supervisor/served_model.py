"""A model by name: what serves, what is being loaded, what is on its way out. Bookkeeping; the orders are `models.py`'s."""

import shutil
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from tis.contracts import messages as m
from tis.repository.definition import ModelDefinition
from tis.repository.snapshot import Snapshot
from tis.supervisor.attempt import LoadAttempt
from tis.supervisor.version import ModelVersion, State


class ServedModel:
    """Everything known of a model."""

    def __init__(self, name: str) -> None:
        #: Its identifier.
        self.name = name
        #: What the versions that serve were loaded from.
        self.definition: ModelDefinition | None = None
        #: Versions that serve, or would but for a failure.
        self.versions: dict[int, ModelVersion] = {}
        #: A load in progress has its directory and its config read.
        self.is_read = False
        #: The load in progress, once they have been read.
        self.attempt: LoadAttempt | None = None
        #: Versions that finish what they have.
        self.leaving: list[ModelVersion] = []
        #: Versions that are gone, and why they are unavailable since.
        self.unloaded: dict[int, str] = {}
        #: Why there is no version to serve; empty where there is or where it was never tried.
        self.failure = ""
        #: What the index says of a model whose directory could not be taken at all; None where it could.
        self.unread: str | None = None
        #: Its directory is gone, or has not been found yet: it goes, too, when nothing of it lives.
        self.is_forgotten = False
        #: The last load asked for has failed, whatever still serves.
        self.last_failed = False
        #: The version that comes in the place of one that had to go first; 0 for none.
        self.awaited = 0
        #: Somebody asked for it by name; else it is there for ensembles.
        self.explicit = False
        #: The files as they were when it was loaded.
        self.files: Snapshot | None = None
        #: Directories with files that clients sent: each goes when no version lives in it any more.
        self.sent_folders: set[Path] = set()
        #: What is to be done when the load in progress has ended.
        self.afterwards: deque[Callable[[], None]] = deque()

    @property
    def busy(self) -> bool:
        """True while a load is in progress."""
        return self.is_read or self.attempt is not None

    @property
    def serves(self) -> bool:
        """True where requests are taken."""
        return any(version.state is State.READY for version in self.versions.values())

    @property
    def is_known(self) -> bool:
        """False for one that has been unloaded, and where nothing was ever tried."""
        return bool(self.versions or self.busy or self.failure) or self.unread is not None

    def living(self) -> Iterator[ModelVersion]:
        """Versions that have, or may have, processes."""
        yield from self.versions.values()
        if self.attempt is not None:
            yield from self.attempt.versions.values()
        yield from self.leaving

    def drop_sent_files(self) -> None:
        """Remove what clients sent for versions that are gone."""
        used = {version.path for version in self.living()}
        for folder in self.sent_folders - used:
            shutil.rmtree(folder, ignore_errors=True)
        self.sent_folders &= used

    def shown(self) -> dict[int, ModelVersion]:
        """Versions that tell what the model is in: those that serve, and where none does those that are being loaded."""
        if self.attempt is not None and not self.serves:
            return {**self.versions, **self.attempt.versions}
        return self.versions

    def index_entries(self) -> list[m.IndexEntry]:
        """What the repository index lists of it."""
        shown = {number: version for number, version in self.shown().items() if version.listed}
        entries = [m.IndexEntry(self.name, number, each.state.name, each.reason) for number, each in shown.items()]
        leaving = {each.version for each in self.leaving if each.state is State.UNLOADING} - shown.keys()
        entries += [m.IndexEntry(self.name, number, State.UNLOADING.name) for number in leaving]
        gone = self.unloaded.keys() - shown.keys() - leaving
        entries += [m.IndexEntry(self.name, each, State.UNAVAILABLE.name, self.unloaded[each]) for each in gone]
        if entries:
            return sorted(entries, key=lambda entry: entry.version)
        if self.unread is not None:
            return [m.IndexEntry(self.name, 0, State.UNAVAILABLE.name if self.unread else "", self.unread)]
        if any(not version.listed for version in self.shown().values()):
            return [m.IndexEntry(self.name)]
        return []
