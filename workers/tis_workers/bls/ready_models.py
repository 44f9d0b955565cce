"""Which model versions take requests, as the table has it that this worker follows. Pure."""

from tis.contracts import messages as m
from tis.contracts.model_spec import ModelSpec

#: Stands for the newest version that is ready.
NEWEST = -1


class ReadyModels:
    """The ready versions of each model, by the newest table that has come; none before the first."""

    def __init__(self) -> None:
        #: 0 before the first table.
        self.epoch = 0
        self._versions: dict[tuple[str, int], ModelSpec] = {}

    def replace(self, table: m.Table) -> None:
        """Take over a newer table."""
        if table.epoch <= self.epoch:
            return
        self.epoch = table.epoch
        self._versions = {}
        for entry in table.models:
            if entry.ready:
                spec = entry.spec
                self._versions[spec.key] = spec
                newest = self._versions.get((spec.name, NEWEST))
                if newest is None or spec.version > newest.version:
                    self._versions[spec.name, NEWEST] = spec

    def find(self, name: str, version: int = NEWEST) -> ModelSpec | None:
        """A version that is ready, -1 for the newest one; None where there is none."""
        return self._versions.get((name, version))
