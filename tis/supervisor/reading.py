"""What a load reads of the disk: where the model is, what its directory holds, what its config says. Run by threads.

Nothing of the server's state is touched here: what has been read is handed to `loader.py` as it is.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tis.errors import TisError
from tis.repository.definition import ModelDefinition, read_definition
from tis.repository.layout import ModelDirectory, find, model_directory
from tis.repository.snapshot import Contents, Snapshot, snapshot
from tis.settings import ServerSettings


@dataclass(frozen=True)
class LoadOrder:
    """A wish to have a model loaded."""

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
        self.repositories: Final = [Path(each) for each in settings.model_repositories]
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
        return ModelRead(files, definition)

    def _directory(self, order: LoadOrder) -> ModelDirectory:
        if order.folder is None:
            return find(self.repositories, order.name, config_name=self.config_name)
        return model_directory(order.folder, self.config_name, name=order.name)
