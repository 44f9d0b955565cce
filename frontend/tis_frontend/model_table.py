"""The model table as this frontend last heard it: which versions exist, which are ready, and Triton's words when not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec

from tis.config.proto import ModelConfig
from tis.contracts import messages as m
from tis.contracts.model_spec import ModelSpec
from tis.contracts.namespaces import Namespaces, ambiguous_text
from tis.contracts.versions import parse_version
from tis.errors import invalid, not_found, unavailable

_Found = TypeVar("_Found")


@dataclass(slots=True)
class ServedModel:
    """A model version and whether it takes requests."""

    spec: ModelSpec
    ready: bool
    #: False while no instance is up: requests are taken, and wait until one is started again.
    live: bool = True
    #: False once another load has taken its place, or none: then its name must be looked up anew.
    is_current: bool = True
    _config: Any = None
    #: What a face has worked out for this version and may use again; it goes when the version goes.
    remembered: dict[Any, Any] = field(default_factory=dict)
    #: The same for what names clients' regions; it goes when the regions change as well.
    remembered_places: dict[Any, Any] = field(default_factory=dict)

    @property
    def config(self) -> Any:
        """The completed ModelConfig message."""
        if self._config is None:
            self._config = ModelConfig.FromString(self.spec.config)
        return self._config


class ModelTable:
    """Model versions by name and number. Replaced as a whole when the supervisor publishes a new epoch."""

    def __init__(self, namespaces: Namespaces | None = None) -> None:
        self.epoch = 0
        self._namespaces: Final = namespaces or Namespaces()
        #: By identifier.
        self._models: dict[str, dict[int, ServedModel]] = {}
        #: By identifier, and by name where that means one model only.
        self._found: dict[str, dict[int, ServedModel]] = {}
        self._newest_ready: dict[str, ServedModel] = {}
        #: Where repositories are namespaces, the identifiers that a name may mean.
        self._names: dict[str, tuple[str, ...]] = {}
        #: Everything that the repositories hold, in Triton's order.
        self.index: tuple[m.IndexEntry, ...] = ()
        #: Versions that are known, served or not.
        self._known: set[tuple[str, int]] = set()
        #: Versions that are about to take the place of one that had to go first.
        self._awaited: dict[str, int] = {}
        #: What a face has worked out for requests whose model is named in them; it goes when the table changes.
        self.remembered: Final[dict[Any, Any]] = {}
        #: The same for those that name clients' regions; it goes when the regions change as well.
        self.remembered_places: Final[dict[Any, Any]] = {}

    def replace(self, table: m.Table) -> None:
        """Take over a newer table."""
        if table.epoch <= self.epoch:
            return
        self.epoch = table.epoch
        self.remembered.clear()
        self.remembered_places.clear()
        before = {model.spec.key: model for versions in self._models.values() for model in versions.values()}
        self._models = {name: {} for name, _ in table.unavailable}
        for entry in table.models:
            versions = self._models.setdefault(entry.spec.identifier, {})
            model = before.get(entry.spec.key)
            if model is None or model.spec != entry.spec:
                model = ServedModel(entry.spec, entry.ready, entry.live)
            else:
                del before[entry.spec.key]
                model.ready = entry.ready
                model.live = entry.live
            versions[entry.spec.version] = model
        for model in before.values():
            model.is_current = False
        self.index = table.index
        self._awaited = dict(table.awaited)
        self._known = {(entry.name, entry.version) for entry in table.index if entry.version}
        self._known.update(entry.spec.key for entry in table.models)
        self._newest_ready = {
            name: max(ready, key=lambda model: model.spec.version)
            for name, versions in self._models.items()
            if (ready := [model for model in versions.values() if model.ready])
        }
        self._found = self._models
        self._names = table.names
        if table.names:
            self._found = dict(self._models)
            _by_name(table.names, self._found)
            _by_name(table.names, self._newest_ready)

    def forget_regions(self) -> None:
        """Regions have changed: what is remembered with places in them is to be worked out anew."""
        self.remembered_places.clear()
        for versions in self._models.values():
            for model in versions.values():
                model.remembered_places.clear()

    def names(self) -> list[str]:
        """Identifiers of all models known, served or not."""
        return sorted(self._models)

    def shown(self, entry: m.IndexEntry) -> m.IndexEntry:
        """A line of the index as clients know it."""
        return msgspec.structs.replace(entry, name=self._namespaces.name(entry.name)) if self._namespaces else entry

    def asked(self, name: str) -> str:
        """A name as a client has given it, who may give an identifier: as such, whatever it took to write it."""
        return self._namespaces.asked(name)

    def identifier(self, name: str) -> str:
        """What the server knows a model by that a client has named, who may give the identifier as well.

        While repositories are no namespaces, every name is given as it is.

        Raises:
            TisError: INVALID_ARG for a name that several models have, or none; NOT_FOUND for one that is not loaded any more.
        """
        if not self._namespaces:
            return name
        meant = self._names.get(name, ())
        if len(meant) > 1:
            raise invalid(ambiguous_text(name, len(meant)))
        if meant:
            return meant[0]
        if (asked := self.asked(name)) in self._models:
            return asked
        if any(self._namespaces.name(entry.name) == name for entry in self.index):
            raise not_found(f"Identifier of model '{name}' is not found in global map")
        raise invalid(f"Request for unknown model: '{name}' is not found")

    def plainest(self, spec: ModelSpec) -> str:
        """The shortest that a client can name a model by: its name, or its identifier where others have that name."""
        return spec.name if len(self._names.get(spec.name, ())) < 2 else spec.identifier

    def ready_versions(self, name: str) -> list[int]:
        """Version numbers of a model that take requests, ascending."""
        return sorted(version for version, model in self._found.get(name, {}).items() if model.ready)

    def find(self, name: str, version: int | None) -> ServedModel:
        """The version asked for, or the newest that is ready.

        Raises:
            TisError: NOT_FOUND or UNAVAILABLE, in Triton's words.
        """
        if version is None:
            model = self._newest_ready.get(name)
            if model is None:
                model = self._newest_ready.get(name := self.identifier(name))
            if model is None:
                if name in self._awaited:
                    # Beyond Triton, which has no such moment: who asks again will be answered.
                    raise unavailable(
                        f"Request for unknown model: '{name}' version {self._awaited[name]} is not at ready state"
                    )
                if name in self._models:
                    raise not_found(f"Request for unknown model: '{name}' has no available versions")
                raise not_found(f"Request for unknown model: '{name}' is not found")
            return model
        versions = self._found.get(name, {})
        model = versions.get(version)
        if model is not None and model.ready:
            return model
        name = self.identifier(name)
        if name not in self._models:
            raise not_found(f"Request for unknown model: '{name}' is not found")
        model = self._models[name].get(version)
        if model is None and (name, version) not in self._known:
            parse_version(str(version))
            raise not_found(f"Request for unknown model: '{name}' version {version} is not found")
        if model is None or not model.ready:
            raise unavailable(f"Request for unknown model: '{name}' version {version} is not at ready state")
        return model

    def is_ready(self, name: str, version: int | None) -> bool:
        """True where requests for this version (None: for any version) are taken."""
        name = self.asked(name)
        if version is None:
            return name in self._newest_ready
        model = self._found.get(name, {}).get(version)
        return model is not None and model.ready

    def is_live(self, name: str, version: int | None) -> bool:
        """True where requests for this version (None: for any version) would be run now: an instance is up."""
        name = self.asked(name)
        if version is None:
            return any(model.ready and model.live for model in self._found.get(name, {}).values())
        return self.is_ready(name, version) and self._found[name][version].live


def _by_name(names: Mapping[str, tuple[str, ...]], models: dict[str, _Found]) -> None:
    """Put models that are there by identifier there by name, too, and take away what a name does not tell for sure."""
    for name, meant in names.items():
        if len(meant) == 1 and meant[0] in models:
            models[name] = models[meant[0]]
        elif len(meant) > 1:
            models.pop(name, None)
