"""One load of a model: the versions that it brings up and those that it changes in place, all of them or none.

Decides nothing about what was served before.
"""

from collections.abc import Callable, Sequence
from typing import Final

from tis.log import get_logger
from tis.repository.definition import ModelDefinition
from tis.supervisor.instance_change import InstanceChange
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
        changes: Sequence[InstanceChange] = (),
    ) -> None:
        self.definition: Final = definition
        self._make = make
        #: Each version is tried again so many times more.
        self._retries_left = dict.fromkeys(numbers, retries)
        self._ended = ended
        self._over = False
        self.versions: dict[int, ModelVersion] = {}
        #: What becomes of versions that go on.
        self.changes: Final = tuple(changes)
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
        for change in self.changes:
            change.begin(self._settle)
        self._settle()

    @property
    def failed(self) -> list[ModelVersion]:
        """Versions that could not be loaded."""
        return [version for version in self.versions.values() if version.state is State.UNAVAILABLE]

    @property
    def has_failed(self) -> bool:
        """True where a version could not be loaded, or one that goes on could not be changed."""
        return bool(self.failed) or any(change.failure for change in self.changes)

    def commit(self) -> dict[int, ModelVersion]:
        """Everything has succeeded; gives the versions that there are now."""
        for change in self.changes:
            change.commit()
        return {**self.versions, **{change.version.version: change.version for change in self.changes}}

    def revert(self) -> None:
        """Something has failed: what goes on does so as it was, and what was only just loaded is dropped."""
        for change in self.changes:
            change.revert()
            if change.failure and change.version.state is State.READY:
                # Triton's index says so, too.
                change.version.reason = change.failure
        for version in self.versions.values():
            if version.state is State.READY:
                version.discard(lambda: None)

    def failure_text(self) -> str:
        """What Triton says of it to whoever asked for the load."""
        reasons = {version: version.reason for version in self.failed}
        reasons |= {change.version: change.failure for change in self.changes if change.failure}
        told = "".join(
            f"version {version.version} is at {version.state.name} state: {reasons[version]};"
            for version in sorted(reasons, key=lambda each: -each.version)
        )
        return f"load failed for model '{self.definition.identifier}': {told}\n"

    def _settle(self) -> None:
        if self._over:
            return
        for version in self.failed:
            if self._retries_left[version.version]:
                self._retries_left[version.version] -= 1
                _log.warning("loading '%s' version %d again", version.name, version.version)
                self._add(version.version)
                self._begin(self.versions[version.version])
        loaded = all(version.state in (State.READY, State.UNAVAILABLE) for version in self.versions.values())
        if loaded and all(change.is_settled for change in self.changes):
            self._over = True
            self._ended(self)
