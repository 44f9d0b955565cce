"""One load of a model: the versions that it brings up, all of them or none. Decides nothing about what was served before."""

from collections.abc import Callable
from typing import Final

from tis.log import get_logger
from tis.repository.definition import ModelDefinition
from tis.supervisor.version import ModelVersion, State

_log = get_logger(__name__)


class LoadAttempt:
    """Versions that are being loaded together."""

    def __init__(
        self,
        definition: ModelDefinition,
        make: Callable[[int], ModelVersion],
        numbers: tuple[int, ...],
        retries: int,
        ended: Callable[["LoadAttempt"], None],
    ) -> None:
        self.definition: Final = definition
        self._make = make
        #: Each version is tried again so many times more.
        self._retries_left = dict.fromkeys(numbers, retries)
        self._ended = ended
        self._over = False
        self.versions: dict[int, ModelVersion] = {}
        for number in numbers:
            self._add(number)

    def _add(self, number: int) -> None:
        version = self.versions[number] = self._make(number)
        version.on_settled = self._settle

    def begin(self, begin: Callable[[ModelVersion], None]) -> None:
        """Let every version load."""
        self._begin = begin
        for version in list(self.versions.values()):
            begin(version)
        self._settle()

    @property
    def failed(self) -> list[ModelVersion]:
        """Versions that could not be loaded."""
        return [version for version in self.versions.values() if version.state is State.UNAVAILABLE]

    def failure_text(self) -> str:
        """What Triton says of it to whoever asked for the load."""
        told = "".join(
            f"version {version.version} is at UNAVAILABLE state: {version.reason};\n" for version in self.failed
        )
        return f"load failed for model '{self.definition.name}': {told}"

    def _settle(self) -> None:
        if self._over:
            return
        for version in self.failed:
            if self._retries_left[version.version]:
                self._retries_left[version.version] -= 1
                _log.warning("loading '%s' version %d again", version.name, version.version)
                self._add(version.version)
                self._begin(self.versions[version.version])
        if all(version.state in (State.READY, State.UNAVAILABLE) for version in self.versions.values()):
            self._over = True
            self._ended(self)
