"""All models: what each is in, the model table, the index, and readiness. What is done to them is `loader.py`'s."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from tis.contracts import messages as m
from tis.contracts.namespaces import Namespaces
from tis.supervisor.ensemble_version import EnsembleVersion
from tis.supervisor.ensembles import follow_steps
from tis.supervisor.served_model import ServedModel
from tis.supervisor.version import UNLOADED, ModelVersion, State


class Models:
    """What should be served, and how far it is."""

    def __init__(self, publish: Callable[[m.Table], None], namespaces: Namespaces | None = None) -> None:
        self._publish: Final = publish
        self._namespaces: Final = namespaces or Namespaces()
        self._epoch = 0
        self._models: dict[str, ServedModel] = {}
        self._shown: tuple[object, ...] = ()
        self._held_back = 0
        #: Called when something has become ready or unavailable.
        self.on_settled: Callable[[], None] = lambda: None

    # ---- models ----------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(list(self._models.values()))

    def get(self, name: str) -> ServedModel | None:
        """A model that is known, by its identifier."""
        return self._models.get(name)

    def names(self) -> dict[str, tuple[str, ...]]:
        """Where repositories are namespaces: the identifiers of the models that a name may mean; else empty."""
        found: dict[str, tuple[str, ...]] = {}
        for model in self._models.values() if self._namespaces else ():
            if model.is_known:
                name = self._namespaces.name(model.name)
                found[name] = (*found.get(name, ()), model.name)
        return found

    def meant(self, name: str) -> tuple[str, ...]:
        """The identifiers of all models that a client means by a name; the name itself where there are none."""
        return self.names().get(name, (name,))

    def at(self, name: str) -> ServedModel:
        """A model, known from now on."""
        return self._models.setdefault(name, ServedModel(name))

    def expected(self, name: str) -> ServedModel:
        """A model that somebody wants loaded: if it was not known before, only its files make it so for good."""
        model = self.get(name)
        if model is None:
            model = self.at(name)
            model.is_forgotten = True
        return model

    def forget_when_gone(self, name: str) -> None:
        """The model's directory is gone: so is its name, once nothing of it lives."""
        model = self._models.get(name)
        if model is None or model.versions or model.busy:
            return
        model.is_forgotten = True
        self.tidy()

    def tidy(self) -> None:
        """Forget what is to be forgotten and has ended."""
        self._models = {
            name: model for name, model in self._models.items() if not model.is_forgotten or model.leaving or model.busy
        }
        self.publish()

    @property
    def versions(self) -> list[ModelVersion]:
        """Every version that has, or may have, processes."""
        return [version for model in self._models.values() for version in model.living()]

    def of_peer(self, peer: int) -> ModelVersion | None:
        """The version that a worker belongs to."""
        return next((version for version in self.versions if version.instances.find(peer) is not None), None)

    def of_load(self, load: int) -> ModelVersion | None:
        """The version of a load."""
        return next((version for version in self.versions if version.load == load), None)

    def peers_up(self) -> list[int]:
        """Workers that do their work."""
        return [peer for version in self.versions for peer in version.peers_up()]

    def load_ended(self, message: m.Loaded | m.LoadFailed) -> None:
        """A worker has loaded its model, or cannot."""
        version = self.of_peer(message.peer)
        if version is not None and isinstance(message, m.Loaded):
            version.loaded(message)
        elif version is not None and isinstance(message, m.LoadFailed):
            version.load_failed(message)

    def instance_retired(self, peer: int) -> None:
        """The scheduler has nothing left for an instance that leaves."""
        version = self.of_peer(peer)
        if version is not None:
            version.instances.retired(peer)

    # ---- state -----------------------------------------------------------------------------------------------------

    @property
    def settled(self) -> bool:
        """True when nothing is loading."""
        return not any(model.busy for model in self._models.values())

    @property
    def all_ready(self) -> bool:
        """True when everything that should be served is. What somebody has unloaded should not be."""
        return all(_is_ready(model) for model in self._models.values())

    def counts(self) -> tuple[int, int]:
        """How many versions are ready, and how many there should be; a model without any counts as one."""
        ready = sum(version.state is State.READY for version in self.versions)
        wanted = sum(max(len(model.shown()), bool(model.failure)) for model in self)
        return ready, wanted

    def instance_name(self, peer: int) -> str:
        """The instance that a worker is; empty for a process that is none."""
        version = self.of_peer(peer)
        place = version.instances.find(peer) if version is not None else None
        return place.spec.name if place is not None else ""

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Several things change: they are looked at together, in the end."""
        self._held_back += 1
        try:
            yield
        finally:
            self._held_back -= 1
            self.changed()

    def changed(self) -> None:
        """Something has become ready or unavailable: ensembles follow, and everybody is told."""
        if self._held_back:
            return
        failed = {model.name: model.failure for model in self if model.failure}
        unread = [model.name for model in self if model.unread is not None]
        unloaded = {model.name for model in self if model.unloaded and not model.serves}
        coming = {model.name for model in self if model.is_read}
        follow_steps(self.versions, failed, unread, unloaded, coming, self.names())
        self.publish()
        self.on_settled()

    def publish(self) -> None:
        """Tell everybody the table, if there is anything new in it."""
        table = self._table()
        shown = (table.models, table.unavailable, table.index, table.awaited, table.names)
        if shown != self._shown:
            self._shown = shown
            self._epoch += 1
            self._publish(m.Table(self._epoch, *shown))

    def _table(self) -> m.Table:
        entries: list[m.TableEntry] = []
        unavailable: list[tuple[str, str]] = []
        index: list[m.IndexEntry] = []
        for name in sorted(self._models):
            model = self._models[name]
            listed = [each for each in model.versions.values() if each.completed]
            entries += [m.TableEntry(each.spec, each.state is State.READY, self._is_live(each)) for each in listed]
            index += model.index_entries()
            if not listed and model.unread is None and index and index[-1].name == name and index[-1].version:
                unavailable.append((name, index[-1].reason))
            elif not listed and model.failure and model.unread is None:
                unavailable.append((name, model.failure))
        awaited = tuple(sorted((name, model.awaited) for name, model in self._models.items() if model.awaited))
        return m.Table(0, tuple(entries), tuple(unavailable), tuple(index), awaited, self.names())

    def _is_live(self, version: ModelVersion, depth: int = 0) -> bool:
        """False while a request would have to wait for an instance to be started again; of an ensemble, in some step."""
        if not isinstance(version, EnsembleVersion):
            return version.live
        return depth > len(self._models) or all(
            any(
                self._is_live(each, depth + 1)
                for each in self._models[name].versions.values()
                if each.state is State.READY and required in (-1, each.version)
            )
            for name, required in version.steps
            if name in self._models
        )

    def load_times(self) -> list[tuple[str, int, float]]:
        """Identifier, version and seconds that loading took, of every version that serves."""
        return [
            (each.name, each.version, each.load_s)
            for model in self._models.values()
            for each in model.versions.values()
            if each.load_s
        ]

    def log_table(self) -> str:
        """Models, versions and states as the table that Triton logs at start."""
        rows = [("Model", "Version", "Status")]
        for model in self._models.values():
            rows += [
                (each.name, str(each.version), "READY" if each.state is State.READY else f"UNAVAILABLE: {each.reason}")
                for each in model.versions.values()
            ]
            if model.failure and not model.versions:
                rows.append((model.name, "-", f"Not loaded: {model.failure}"))
        return _framed(rows)


def _is_ready(model: ServedModel) -> bool:
    if model.is_forgotten:
        # Nothing to be served is known of it yet, or any more.
        return True
    if model.busy and not model.serves:
        return False
    if model.failure or model.last_failed:
        return False
    return all(each.state is State.READY or each.reason == UNLOADED for each in model.versions.values())


def _framed(rows: list[tuple[str, str, str]]) -> str:
    """Rows in a frame, the first one as heading. Cells with several lines show their first."""
    cells = [[cell.split("\n", 1)[0] for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    rule = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    return "\n".join([rule, lines[0], rule, *lines[1:], rule])
