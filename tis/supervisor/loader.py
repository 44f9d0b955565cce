"""Loading models: has their directories read and brings up new versions beside the old ones, which `unloader.py` lets go.

A load is of all versions that the policy selects, or of none: where one fails, what served before goes on serving. Loads
and unloads of one model happen one after the other; those of different models do not wait for each other.
"""

import shutil
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from tis.config.extensions import RELOAD, unloads_first
from tis.config.proto import Message
from tis.config.resolve import Surroundings
from tis.config.spreading import GpuRoom, wants_spreading
from tis.contracts.resources import check_resources
from tis.errors import Code, TisError, internal, invalid, unavailable
from tis.log import get_logger
from tis.repository.backend_library import find_backend
from tis.repository.definition import ModelDefinition
from tis.repository.layout import DUPLICATE_REASON
from tis.repository.snapshot import Snapshot
from tis.repository.versions import missing_version_texts, require_versions
from tis.settings import ServerSettings
from tis.supervisor.attempt import LoadAttempt
from tis.supervisor.backend_settings import default_max_batch_size, tell_moot
from tis.supervisor.ensemble_version import EnsembleVersion
from tis.supervisor.errands import Errands
from tis.supervisor.index import reason_shown
from tis.supervisor.machine import backend_uses_gpu
from tis.supervisor.models import Models
from tis.supervisor.publication import Publication
from tis.supervisor.reading import LoadOrder, ModelRead, ModelReader, NotFound, Unreadable
from tis.supervisor.reloading import changed_count, check_changes, differs, going_on
from tis.supervisor.served_model import ServedModel
from tis.supervisor.unloader import Unloader
from tis.supervisor.version import UNLOADED, ModelVersion, State
from tis.supervisor.version_host import VersionHost

#: Called when a load has ended; with why it failed, where it did.
Done = Callable[[TisError | None], None]

_log = get_logger(__name__)


def _told(_error: TisError | None) -> None:
    """Nobody waits for it; what went wrong has been logged where it did."""


class Loader:
    """Brings models up."""

    def __init__(
        self,
        host: VersionHost,
        settings: ServerSettings,
        models: Models,
        publication: Publication,
        errands: Errands,
    ) -> None:
        self._host: Final = host
        self._settings: Final = settings
        self._models: Final = models
        self._publication: Final = publication
        self.errands: Final = errands
        self.reader: Final = ModelReader(settings)
        self.unloader: Final = Unloader(models, publication)
        #: The identifiers of the models that the operator names.
        self._named: tuple[str, ...] = ()
        #: What came of the last load of those of them where it failed.
        self._named_failures: dict[str, TisError] = {}
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
                self._named = tuple(each for name in settings.startup_models for each in self.reader.meant(name))
                self.load_all([LoadOrder(name) for name in self._named])
                return
            scanned = self.reader.scan()
            for name in scanned.duplicates:
                self._unreadable(self._models.at(name), unavailable(DUPLICATE_REASON), DUPLICATE_REASON)
            self.load_all([LoadOrder(name) for name in scanned.models])

    def start_failure(self) -> TisError | None:
        """Why not all is served that the server was started with, in Triton's words; None where all is."""
        failures = [self._named_failures[each] for each in self._named if each in self._named_failures]
        told = [failure.message for failure in failures if failure.code is Code.INVALID_ARG]
        if told:
            return invalid("".join(told))
        return None if self._models.all_ready and not failures else internal("failed to load all models")

    def load(self, order: LoadOrder, done: Done) -> None:
        """Load a model, or load it anew where it has changed; `done` is called once."""
        self.load_all([order], done)

    def load_all(self, orders: Iterable[LoadOrder], done: Done = _told) -> None:
        """Load models that are read first and looked at together; `done` is called once for each.

        One that has a load in progress waits for its end, as where an ensemble has brought it along: then it finds nothing
        changed.
        """
        free: list[LoadOrder] = []
        for order in orders:
            model = self._models.expected(order.name)
            if model.busy:
                model.afterwards.append(partial(self.load, order, done))
            else:
                model.is_read = True
                free.append(order)
        if free:
            self.errands.run(
                lambda: [(order, self.reader.read(order)) for order in free], partial(self._have_read, done)
            )

    def _have_read(self, done: Done, found: list[tuple[LoadOrder, ModelRead | NotFound | Unreadable]]) -> None:
        models = [self._models.expected(order.name) for order, _ in found]
        with self._models.held_back():
            for model, (order, read) in zip(models, found, strict=True):
                model.is_read = False
                if isinstance(read, ModelRead):
                    self._load(model, read, order, done)
                elif isinstance(read, Unreadable):
                    self._not_taken(model, read.error, order, done)
                else:
                    self._not_found(model, read.error, order, done)
        for model in models:
            self._next(model)

    def _not_found(self, model: ServedModel, error: TisError, order: LoadOrder, done: Done) -> None:
        _log.error("failed to poll model '%s': %s", order.name, error.message)
        if order.folder is not None:
            shutil.rmtree(order.folder, ignore_errors=True)
        self._note_failure(model, _poll_failure(order.name))
        self._models.tidy()
        done(_poll_failure(order.name))

    def _not_taken(self, model: ServedModel, error: TisError, order: LoadOrder, done: Done) -> None:
        self._take(model, order)
        self._unreadable(model, error, reason_shown(error))
        model.drop_sent_files()
        done(_poll_failure(order.name))

    def _take(self, model: ServedModel, order: LoadOrder) -> None:
        model.explicit = model.explicit or order.explicit
        model.is_forgotten = False
        if order.folder is not None:
            model.sent_folders.add(order.folder)

    def _load(self, model: ServedModel, read: ModelRead, order: LoadOrder, done: Done) -> None:
        definition, files = read.definition, read.files
        self._take(model, order)
        model.unread = None
        if model.serves and not order.changes_files and not differs(model, files, definition):
            done(None)
            return
        try:
            numbers = require_versions(definition.name, definition.selection)
        except TisError as error:
            self._without_versions(model, error)
            done(_load_failure(order.name, error))
            return
        _warn(definition)
        self._attempt(model, definition, numbers, files, order, done, read.steps)

    def resize(self, name: str, group: str, count: int, done: Done) -> None:
        """Give a group of a model another number of instances, until the model is loaded anew; `done` as in `load`.

        Raises:
            TisError: there is no such model or group.
        """
        model = self._models.get(name)
        if model is not None and model.busy:

            def again() -> None:
                try:
                    self.resize(name, group, count, done)
                except TisError as error:
                    done(error)

            model.afterwards.append(again)
            return
        known = model.definition if model is not None else None
        where = self._surroundings(known.config) if known is not None else Surroundings()
        definition = changed_count(model, name, group, count, where)
        if model is not None and model.files is not None:
            self._attempt(model, definition, tuple(model.versions), model.files, LoadOrder(name), done)

    def _attempt(
        self,
        model: ServedModel,
        definition: ModelDefinition,
        numbers: tuple[int, ...],
        files: Snapshot,
        order: LoadOrder,
        done: Done,
        steps: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        staying = going_on(model, files, definition, numbers)
        surroundings = self._surroundings(definition.config, staying)
        is_ensemble = definition.config.HasField("ensemble_scheduling")
        kind = EnsembleVersion if is_ensemble else ModelVersion
        try:
            changes = [version.change_to(definition, surroundings) for version in staying]
            if self._settings.rate_limit == "execution_count":
                check_changes(changes, self._models.versions, self._settings.rate_limit_resources)
            attempt = LoadAttempt(
                definition,
                lambda number: kind(self._host, definition, number, surroundings, files.of_version(number)),
                tuple(number for number in numbers if all(number != each.version for each in staying)),
                self._settings.model_load_retry_count,
                lambda ended: self._ended(model, ended, files, done),
                changes,
            )
        except TisError as error:
            self._without_versions(model, definition.located(error))
            done(_load_failure(order.name, error))
            return
        if is_ensemble and self._settings.model_control_mode == "explicit":
            # Before the ensemble is looked at: it would miss those that come after the first.
            self._load_steps(steps or {}, order)
        model.attempt = attempt
        model.failure = ""
        if unloads_first(definition.config) and attempt.versions and len(model.versions) > len(staying):
            self._make_room(model, attempt, [each for each in model.versions.values() if each not in staying])
        else:
            attempt.begin(self._begin)
        self._models.changed()

    def _make_room(self, model: ServedModel, attempt: LoadAttempt, old: list[ModelVersion]) -> None:
        """Let the versions that are to be loaded anew go first, with all their memory."""
        _log.info("'%s' is unloaded before it is loaded anew, as its %s says", model.name, RELOAD)
        model.versions = {number: version for number, version in model.versions.items() if version not in old}
        model.unloaded.update(dict.fromkeys([version.version for version in old], UNLOADED))
        model.awaited = max(attempt.versions)

        def gone() -> None:
            if not self._host.stop_has_begun:
                attempt.begin(self._begin)
                self._models.changed()

        self.unloader.leave(model, old, gone)

    def _load_steps(self, steps: Mapping[str, Sequence[str]], order: LoadOrder) -> None:
        """An ensemble brings the models of its steps along."""
        within = order.within | {order.name}
        found = {each for meant in steps.values() for each in meant}
        for name in sorted(found - within):
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
        model.awaited, made_room = 0, model.awaited
        self._named_failures.pop(model.name, None)
        error: TisError | None = None
        if attempt.has_failed:
            error = invalid(attempt.failure_text())
            if attempt.failed:
                self._note_failure(model, error)
            self._drop(model, attempt)
            if made_room:
                _log.error("'%s' is not served: what served before had to go first, as its %s says", model.name, RELOAD)
        else:
            before = model.versions
            model.versions = attempt.commit()
            old = [version for version in before.values() if version not in model.versions.values()]
            for version in old:
                version.has_successor = version.version in model.versions
            model.unloaded.update(dict.fromkeys(before, UNLOADED))
            for number in model.versions:
                model.unloaded.pop(number, None)
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
        attempt.revert()
        if not model.serves and attempt.versions:
            model.versions = {number: each for number, each in attempt.versions.items() if each in attempt.failed}

    def _note_failure(self, model: ServedModel, error: TisError) -> None:
        """A load that somebody asked for by name and that failed makes the server unready, whatever still serves."""
        model.last_failed = self._settings.model_control_mode == "explicit"
        if model.last_failed and model.name in self._named:
            self._named_failures[model.name] = error

    def refuse(self, name: str, error: TisError, shown: str) -> None:
        """A model cannot be served; `shown` is what the index says of it."""
        self._unreadable(self._models.at(name), error, shown)
        self._models.changed()

    def _without_versions(self, model: ServedModel, error: TisError) -> None:
        _log.error("failed to load '%s': %s", model.name, error.message)
        self._note_failure(model, _load_failure(model.name, error))
        if not model.serves:
            model.failure = f"{error.code.spoken}: {error.message}"
        self._models.changed()

    def _unreadable(self, model: ServedModel, error: TisError, shown: str) -> None:
        _log.error("failed to load '%s': %s: %s", model.name, error.code.spoken, error.message)
        self._note_failure(model, _poll_failure(model.name))
        if not model.serves:
            model.unread = shown
            model.failure = f"{error.code.spoken}: {error.message}"

    def _next(self, model: ServedModel) -> None:
        while model.afterwards and not model.busy:
            model.afterwards.popleft()()

    def _surroundings(self, config: Message, staying: Sequence[ModelVersion] = ()) -> Surroundings:
        """What a load finds; those that stay may have other places then."""
        backend, machine = str(config.backend), self._host.machine
        rooms: tuple[GpuRoom, ...] = ()
        if wants_spreading(config) and len(machine.gpus) > 1:
            living = [each for each in self._models.versions if each not in staying]
            there = [each for each in living if each.state is not State.UNAVAILABLE]
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


def _poll_failure(name: str) -> TisError:
    return internal(f"failed to load '{name}', failed to poll from model repository")


def _load_failure(name: str, error: TisError) -> TisError:
    return invalid(f"load failed for model '{name}': {error.message}\n")


def _warn(definition: ModelDefinition) -> None:
    for text in (*definition.warnings, *missing_version_texts(definition.name, definition.selection)):
        _log.warning("model '%s': %s", definition.name, text)
    if definition.unacted:
        _log.warning(
            "model '%s': these fields of its config have no effect in this version of the server: %s",
            definition.name,
            ", ".join(definition.unacted),
        )
