"""What a load reads of the disk: where the model is, what its directory holds, what its config says. Run by threads.

Nothing of the server's state is touched here: what has been read is handed to `loader.py` as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tis.errors import TisError
from tis.repository.definition import ModelDefinition, read_definition
from tis.repository.layout import ModelDirectory, RepositoryScan, find, identifiers, model_directory, scan
from tis.repository.snapshot import Contents, Snapshot, snapshot
from tis.settings import ServerSettings


@dataclass(frozen=True)
class LoadOrder:
    """A wish to have a model loaded."""

    #: Its identifier.
    name: str
    #: Somebody asked for this very model; else an ensemble needs it.
    explicit: bool = True
    #: A config in JSON in place of the file's, and a directory in place of the model's own.
    config: str = ""
    folder: Path | None = None
    #: Load it though its files look as they did.
    force: bool = False
    #: Ensembles on the way here: a circle of them loads once.
    within: frozenset[str] = field(default_factory=frozenset)

    @property
    def changes_files(self) -> bool:
        """True where it is to be loaded though the model's own files may be as they were."""
        return bool(self.config) or self.folder is not None or self.force


@dataclass(frozen=True)
class ModelRead:
    """A model as it was found."""

    files: Snapshot
    definition: ModelDefinition
    #: Identifiers of the models of an ensemble's steps, by the names that it gives them.
    steps: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class NotFound:
    """There is no directory to read, or it cannot be listed."""

    error: TisError


@dataclass(frozen=True)
class Unreadable:
    """There is a directory; what it holds cannot be taken."""

    error: TisError


class ModelReader:
    """Reads models. May be used by several threads at once."""

    def __init__(self, settings: ServerSettings) -> None:
        #: As the command line has them, since that is what they are called as namespaces.
        self.repositories: Final = list(settings.model_repositories)
        self.namespacing: Final = settings.model_namespacing
        self.config_name: Final = settings.model_config_name
        self._auto_complete: Final = settings.auto_complete_config
        self._contents: Final = Contents()

    def read(self, order: LoadOrder) -> ModelRead | NotFound | Unreadable:
        """What an order to load a model needs of the disk."""
        try:
            directory = self._directory(order)
        except TisError as error:
            return NotFound(error)
        try:
            # Before the config: what changes later is told later.
            files = snapshot(directory, self._contents)
            definition = read_definition(directory, auto_complete=self._auto_complete, override=order.config or None)
        except TisError as error:
            return Unreadable(error)
        return ModelRead(files, definition, self._steps(definition))

    def scan(self) -> RepositoryScan:
        """What lies in all repositories.

        Raises:
            TisError: INTERNAL when a directory cannot be listed.
        """
        return scan(self.repositories, config_name=self.config_name, namespacing=self.namespacing)

    def meant(self, name: str, namespace: str = "") -> tuple[str, ...]:
        """Identifiers of the models that a name means to somebody within a namespace, or to a client, who is in none.

        Where nothing is known by it, or repositories are no namespaces, it is the name as it is.
        """
        found = identifiers(self.repositories, name, namespace) if self.namespacing else []
        return tuple(found) or (name,)

    def _steps(self, definition: ModelDefinition) -> dict[str, tuple[str, ...]]:
        names = {step.model_name for step in definition.config.ensemble_scheduling.step}
        return {name: self.meant(name, definition.namespace) for name in sorted(names)}

    def _directory(self, order: LoadOrder) -> ModelDirectory:
        if order.folder is None:
            return find(self.repositories, order.name, config_name=self.config_name, namespacing=self.namespacing)
        return model_directory(order.folder, self.config_name, name=order.name)
