"""Which model versions take requests, as the model table has it: for those who ask by name, such as steps of ensembles."""

from tis.contracts.messages import Table
from tis.contracts.model_spec import ModelSpec
from tis.errors import not_found, unavailable


class ReadyVersions:
    """The ready versions of each model."""

    def __init__(self) -> None:
        self._versions: dict[str, dict[int, ModelSpec]] = {}
        self._newest: dict[str, ModelSpec] = {}
        self._known: set[str] = set()

    def replace(self, table: Table) -> None:
        """Take over a newer table."""
        self._known = {entry.spec.identifier for entry in table.models} | {name for name, _ in table.unavailable}
        self._versions = {}
        for entry in table.models:
            if entry.ready:
                self._versions.setdefault(entry.spec.identifier, {})[entry.spec.version] = entry.spec
        self._newest = {name: versions[max(versions)] for name, versions in self._versions.items()}

    def find(self, name: str, version: int) -> ModelSpec:
        """The version, or the newest one for -1.

        Raises:
            TisError: NOT_FOUND or UNAVAILABLE, in Triton's words.
        """
        spec = self._newest.get(name) if version < 0 else self._versions.get(name, {}).get(version)
        if spec is not None:
            return spec
        if name not in self._known:
            raise not_found(f"Request for unknown model: '{name}' is not found")
        if version < 0:
            raise not_found(f"Request for unknown model: '{name}' has no available versions")
        raise unavailable(f"Request for unknown model: '{name}' version {version} is not at ready state")
