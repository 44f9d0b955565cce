"""Which model versions take requests, as the table has it that this worker follows. Pure."""

from tis.contracts import messages as m
from tis.contracts.model_spec import ModelSpec
from tis.contracts.namespaces import chosen

#: Stands for the newest version that is ready.
NEWEST = -1


class ReadyModels:
    """The ready versions of each model, by the newest table that has come; none before the first.

    Args:
        namespace: the asker's own, where repositories are namespaces: what he asks for by name is looked for there first.
    """

    def __init__(self, namespace: str = "") -> None:
        self._namespace = namespace
        #: 0 before the first table.
        self.epoch = 0
        #: By identifier.
        self._versions: dict[tuple[str, int], ModelSpec] = {}
        #: Where repositories are namespaces: which model is meant by a name.
        self._names: dict[str, str] = {}

    def replace(self, table: m.Table) -> None:
        """Take over a newer table."""
        if table.epoch <= self.epoch:
            return
        self.epoch = table.epoch
        self._versions = {}
        self._names = {}
        for entry in table.models:
            if entry.ready:
                spec = entry.spec
                self._versions[spec.key] = spec
                newest = self._versions.get((spec.identifier, NEWEST))
                if newest is None or spec.version > newest.version:
                    self._versions[spec.identifier, NEWEST] = spec
        for name, meant in table.names.items():
            self._names[name] = chosen(name, meant, self._namespace)

    def find(self, name: str, version: int = NEWEST) -> ModelSpec | None:
        """A version that is ready, -1 for the newest one; None where there is none."""
        return self._versions.get((self._names.get(name, name) if self._names else name, version))
