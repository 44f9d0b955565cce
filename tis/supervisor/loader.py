"""Loading models: reads their directories and brings up new versions beside the old ones, which `unloader.py` lets go.

A load is of all versions that the policy selects, or of none: where one fails, what served before goes on serving. Loads
and unloads of one model happen one after the other; those of different models do not wait for each other.
"""

import shutil
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tis.config.proto import Message
from tis.config.resolve import Surroundings
from tis.config.spreading import GpuRoom, wants_spreading
from tis.contracts.resources import check_resources
from tis.errors import TisError, internal, invalid, unavailable
from tis.log import get_logger
from tis.repository.backend_library import find_backend
from tis.repository.definition import ModelDefinition, read_definition
from tis.repository.layout import DUPLICATE_REASON, ModelDirectory, find, model_directory, scan
from tis.repository.snapshot import Contents, Snapshot, snapshot
from tis.repository.versions import missing_version_texts, require_versions
from tis.settings import ServerSettings
from tis.supervisor.attempt import LoadAttempt
from tis.supervisor.backend_settings import default_max_batch_size, tell_moot
from tis.supervisor.ensemble_version import EnsembleVersion
from tis.supervisor.index import reason_shown
from tis.supervisor.machine import backend_uses_gpu
from tis.supervisor.models import Models
from tis.supervisor.publication import Publication
from tis.supervisor.served_model import ServedModel
from tis.supervisor.unloader import Unloader
from tis.supervisor.version import ModelVersion, State
from tis.supervisor.version_host import VersionHost

#: Called when a load has ended; with why it failed, where it did.
Done = Callable[[TisError | None], None]

_log = get_logger(__name__)


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


class Loader:
    """Brings models up."""

    def __init__(self, host: VersionHost, settings: ServerSettings, models: Models, publication: Publication) -> None:
        self._host: Final = host
        self._settings: Final = settings
        self._models: Final = models
        self._publication: Final = publication
        self.repositories: Final = [Path(each) for each in settings.model_repositories]
        self.config_name: Final = settings.model_config_name
        self._contents: Final = Contents()
        self.unloader: Final = Unloader(models, publication)
        #: Versions that wait until fewer others load.
        self._waiting: deque[ModelVersion] = deque()
        self._loading: set[ModelVersion] = set()

    # ---- loading ---------------------------------------------------------------------------------------------------

    def load_at_start(self) -> None:
        """Load what the server is started with: everything, or in explicit mode what the operator names.

        Raises:
            TisError: a repository cannot be read.
        """
        settings = self._settings
        tell_moot(settings)
        named = settings.model_control_mode == "explicit" and settings.startup_models != ("*",)
        with self._models.held_back():
            if named:
                for name in settings.startup_models:
                    self.load(LoadOrder(name), _told)
                return
            scanned = scan(self.repositories, config_name=self.config_name)
            for name in scanned.duplicates:
                self._unreadable(self._models.at(name), unavailable(DUPLICATE_REASON), DUPLICATE_REASON)
            for name in scanned.models:
                # An ensemble before it may have brought it along: then this waits, and finds nothing changed.
                self.load(LoadOrder(name), _told)

    def load(self, order: LoadOrder, done: Done) -> None:
        """Load a model, or load it anew where it has changed; `done` is called once, perhaps at once."""
        model = self._models.get(order.name)
        if model is not None and model.busy:
            model.afterwards.append(lambda: self.load(order, done))
            return
        try:
            directory = self._directory(order)
        except TisError as error:
            _log.error("failed to poll model '%s': %s", order.name, error.message)
            if order.folder is not None:
                shutil.rmtree(order.folder, ignore_errors=True)
            if model is not None:
                self._note_failure(model)
                self._models.changed()
            done(_poll_failure(order.name))
            return
        self._load(self._models.at(order.name), directory, order, done)

    def _directory(self, order: LoadOrder) -> ModelDirectory:
        if order.folder is None:
            return find(self.repositories, order.name, config_name=self.config_name)
        return model_directory(order.folder, self.config_name, name=order.name)

    def _load(self, model: ServedModel, directory: ModelDirectory, order: LoadOrder, done: Done) -> None:
        model.explicit = model.explicit or order.explicit
        model.is_forgotten = False
        if order.folder is not None:
            model.sent_folders.add(order.folder)
        try:
            files = snapshot(directory, self._contents)
            definition = read_definition(
                directory, auto_complete=self._settings.auto_complete_config, override=order.config or None
            )
        except TisError as error:
            self._unreadable(model, error, reason_shown(error))
            model.drop_sent_files()
            self._models.changed()
            done(_poll_failure(order.name))
            return
        model.unread = None
        if model.serves and not order.changes_files and not _differs(model, files, definition):
            done(None)
            return
        try:
            numbers = require_versions(definition.name, definition.selection)
        except TisError as error:
            self._without_versions(model, error)
            done(invalid(f"load failed for model '{order.name}': {error.message}\n"))
            return
        _warn(definition)
        self._attempt(model, definition, numbers, files, order, done)

    def _attempt(
        self,
        model: ServedModel,
        definition: ModelDefinition,
        numbers: tuple[int, ...],
        files: Snapshot,
        order: LoadOrder,
        done: Done,
    ) -> None:
        surroundings = self._surroundings(definition.config)
        is_ensemble = definition.config.HasField("ensemble_scheduling")
        kind = EnsembleVersion if is_ensemble else ModelVersion
        try:
            attempt = LoadAttempt(
                definition,
                lambda number: kind(self._host, definition, number, surroundings),
                numbers,
                self._settings.model_load_retry_count,
                lambda ended: self._ended(model, ended, files, done),
            )
        except TisError as error:
            self._without_versions(model, definition.located(error))
            done(invalid(f"load failed for model '{order.name}': {error.message}\n"))
            return
        if is_ensemble and self._settings.model_control_mode == "explicit":
            # Before the ensemble is looked at: it would miss those that come after the first.
            self._load_steps(attempt, order)
        model.attempt = attempt
        model.failure = ""
        attempt.begin(self._begin)
        self._models.changed()

    def _load_steps(self, attempt: LoadAttempt, order: LoadOrder) -> None:
        """An ensemble brings the models of its steps along."""
        within = order.within | {order.name}
        steps = {step.model_name for step in attempt.definition.config.ensemble_scheduling.step}
        for name in sorted(steps - within):
            self.load(LoadOrder(name, explicit=False, within=within), _told)

    def _begin(self, version: ModelVersion) -> None:
        """Let a version load, where there are the resources that its instances need, and not too many at a time."""
        if self._settings.rate_limit == "execution_count":
            begun = [each for each in self._models.versions if each.started or each in self._waiting]
            others = [each for each in begun if each.state is not State.UNAVAILABLE]
            try:
                check_resources(
                    [spec for each in (*others, version) for spec in each.spec.instances],
                    self._settings.rate_limit_resources,
                )
            except TisError as error:
                version.refuse(error)
                return
        if isinstance(version, EnsembleVersion):
            version.start()
            return
        self._waiting.append(version)
        self._start_waiting()

    def _start_waiting(self) -> None:
        self._loading = {each for each in self._loading if each.state is State.LOADING}
        while self._waiting and len(self._loading) < max(self._settings.model_load_thread_count, 1):
            version = self._waiting.popleft()
            if version.state is State.LOADING:
                self._loading.add(version)
                version.start()

    def _ended(self, model: ServedModel, attempt: LoadAttempt, files: Snapshot, done: Done) -> None:
        """A load has ended: put the new versions in the place of the old ones, or drop them."""
        model.attempt = None
        model.last_failed = False
        if attempt.failed:
            self._note_failure(model)
        error: TisError | None = None
        if attempt.failed:
            error = invalid(attempt.failure_text())
            self._drop(model, attempt)
        else:
            old = list(model.versions.values())
            model.unloaded.update(model.versions)
            model.versions = dict(attempt.versions)
            model.unloaded.difference_update(attempt.versions)
            model.definition, model.files = attempt.definition, files
            for version in model.versions.values():
                # What becomes of it later concerns everybody, not this load.
                version.on_settled = self._models.changed
            self.unloader.leave(model, old)
        model.drop_sent_files()
        self._start_waiting()
        self._models.changed()
        self._publication.when_everywhere(lambda: done(error))
        self._next(model)

    def _drop(self, model: ServedModel, attempt: LoadAttempt) -> None:
        """The load has failed: none of its versions serves. Where none served before either, they tell why."""
        for version in attempt.versions.values():
            if version.state is State.READY:
                version.discard(lambda: None)
        if not model.serves:
            model.versions = {number: each for number, each in attempt.versions.items() if each in attempt.failed}

    def _note_failure(self, model: ServedModel) -> None:
        """A load that somebody asked for by name and that failed makes the server unready, whatever still serves."""
        model.last_failed = self._settings.model_control_mode == "explicit"

    def refuse(self, name: str, error: TisError, shown: str) -> None:
        """A model cannot be served; `shown` is what the index says of it."""
        self._unreadable(self._models.at(name), error, shown)
        self._models.changed()

    def _without_versions(self, model: ServedModel, error: TisError) -> None:
        _log.error("failed to load '%s': %s", model.name, error.message)
        self._note_failure(model)
        if not model.serves:
            model.failure = f"{error.code.spoken}: {error.message}"
        self._models.changed()

    def _unreadable(self, model: ServedModel, error: TisError, shown: str) -> None:
        _log.error("failed to load '%s': %s: %s", model.name, error.code.spoken, error.message)
        self._note_failure(model)
        if not model.serves:
            model.unread = shown
            model.failure = f"{error.code.spoken}: {error.message}"

    def _next(self, model: ServedModel) -> None:
        while model.afterwards and not model.busy:
            model.afterwards.popleft()()

    def _surroundings(self, config: Message) -> Surroundings:
        backend, machine = str(config.backend), self._host.machine
        rooms: tuple[GpuRoom, ...] = ()
        if wants_spreading(config) and len(machine.gpus) > 1:
            there = [each for each in self._models.versions if each.state is not State.UNAVAILABLE]
            rooms = machine.rooms([instance for each in there for instance in each.spec.instances])
        library = find_backend(config, Path(self._settings.backend_directory))
        return Surroundings(
            gpu_count=len(machine.gpus),
            unsupported_gpus=machine.unsupported_gpus,
            min_compute_capability=self._settings.min_supported_compute_capability,
            gpu_rooms=rooms,
            backend_uses_gpu=backend_uses_gpu(backend),
            auto_complete=self._settings.auto_complete_config,
            default_max_batch_size=default_max_batch_size(self._settings, backend),
            backend_file=str(library.file or ""),
            backend_environment=str(library.environment or ""),
        )


def _differs(model: ServedModel, files: Snapshot, definition: ModelDefinition) -> bool:
    """True where the files are not those that the model was loaded from; a config that says the same does not count."""
    if model.files is None or model.definition is None:
        return True
    difference = model.files.difference(files)
    if difference.rest or difference.versions:
        return True
    return difference.config and bool(model.definition.config != definition.config)


def _told(error: TisError | None) -> None:
    """Nobody waits for it; what went wrong has been logged where it did."""


def _poll_failure(name: str) -> TisError:
    return internal(f"failed to load '{name}', failed to poll from model repository")


def _warn(definition: ModelDefinition) -> None:
    for text in (*definition.warnings, *missing_version_texts(definition.name, definition.selection)):
        _log.warning("model '%s': %s", definition.name, text)
    if definition.unacted:
        _log.warning(
            "model '%s': these fields of its config have no effect in this version of the server: %s",
            definition.name,
            ", ".join(definition.unacted),
        )
