"""What has changed in the repositories since it was last acted on, look by look: the eyes of poll mode.

Nothing is acted on while it is being copied. A model counts as added or changed once it has been still: either nothing in it
is younger than the quiet time, as where a whole directory was renamed into its place, or two looks that lie the quiet
time apart found the same. It counts as removed once two looks in a row did not find it. Only the disk is looked at, by
`look`; the caller brings the time and decides what to do.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tis.contracts.model_folders import distinct, model_folders
from tis.contracts.namespaces import Namespaces
from tis.errors import TisError
from tis.repository.layout import ModelDirectory, model_directory
from tis.repository.snapshot import Contents, Difference, Snapshot, snapshot


@dataclass(frozen=True)
class Found:
    """A model that has been still: act on it, and tell the watch with `acted`."""

    directory: ModelDirectory
    snapshot: Snapshot
    #: What differs from what was last acted on; everything for a model that is new.
    difference: Difference


@dataclass(frozen=True)
class Changes:
    """What a look has found, by model name, sorted. What is not acted on is told again by the next look."""

    added: Mapping[str, Found] = field(default_factory=dict)
    changed: Mapping[str, Found] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    #: Models that two repositories have, with their directories: as long as that is so, they are nothing else.
    duplicates: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    #: Why a repository (by its path) or a model (by its name) cannot be looked at. Nothing of it counts as removed.
    unreadable: Mapping[str, str] = field(default_factory=dict)
    #: Models that differ but are not still yet, or that this look is the first to miss: another look after the quiet
    #: time settles them.
    unsettled: tuple[str, ...] = ()


@dataclass
class _Pending:
    """What a model looked like when it was first seen so."""

    snapshot: Snapshot
    since_s: float


class Watch:
    """Looks at repositories again and again. Not to be used by two threads at once.

    Args:
        repositories: their root directories.
        quiet_s: how long a model must have been still before it is acted on.
        config_name: chooses `configs/<config_name>.pbtxt` in the models that have it.
        namespacing: every name is an identifier, and there are no duplicates.
    """

    def __init__(
        self,
        repositories: Iterable[Path | str],
        quiet_s: float,
        *,
        config_name: str = "",
        namespacing: bool = False,
    ) -> None:
        self._repositories = distinct(repositories)
        self._namespaces = Namespaces([str(each) for each in self._repositories], enabled=namespacing)
        self._quiet_s = quiet_s
        self._config_name = config_name
        self._contents = Contents()
        self._acted: dict[str, Snapshot] = {}
        self._pending: dict[str, _Pending] = {}
        self._missed: set[str] = set()
        self._duplicates: dict[str, tuple[Path, ...]] = {}

    def acted(self, name: str, now: Snapshot | None) -> None:
        """A model has been acted on as it was in this snapshot, well or not; None where it is not served any more."""
        if now is None:
            self._acted.pop(name, None)
        else:
            self._acted[name] = now
        self._pending.pop(name, None)
        self._missed.discard(name)

    def accept(self) -> None:
        """Everything that is there now has been acted on as it is."""
        unreadable: dict[str, str] = {}
        for name, paths in self._folders(unreadable).items():
            if len(paths) > 1:
                continue
            try:
                self.acted(name, snapshot(self._directory(name, paths[0]), self._contents))
            except TisError:
                continue

    def look(self, now_s: float) -> Changes:
        """What there is to act on.

        Args:
            now_s: seconds since 1970, by the clock that dates files. A clock that is set back delays, and no more.
        """
        unreadable: dict[str, str] = {}
        folders = self._folders(unreadable)
        blind = bool(unreadable)
        if blind:
            # Its other directory may be where nobody can look now.
            folders.update({name: paths for name, paths in self._duplicates.items() if name in folders})
        self._duplicates = {name: paths for name, paths in folders.items() if len(paths) > 1}
        added: dict[str, Found] = {}
        changed: dict[str, Found] = {}
        for name, paths in folders.items():
            if len(paths) > 1:
                continue
            try:
                directory = self._directory(name, paths[0])
                found = self._still(directory, snapshot(directory, self._contents), now_s)
            except TisError as error:
                unreadable[name] = error.message
                continue
            if found is not None:
                (changed if name in self._acted else added)[name] = found
        self._contents.forget_unseen()
        missed = set() if blind else self._acted.keys() - folders.keys()
        removed = missed & self._missed
        self._missed = missed
        self._pending = {name: each for name, each in self._pending.items() if len(folders.get(name, ())) == 1}
        waiting = self._pending.keys() - added.keys() - changed.keys()
        return Changes(
            added=added,
            changed=changed,
            removed=tuple(sorted(removed)),
            duplicates=self._duplicates,
            unreadable=unreadable,
            unsettled=tuple(sorted(waiting | (missed - removed))),
        )

    def _directory(self, name: str, path: Path) -> ModelDirectory:
        return model_directory(path, self._config_name, namespace=self._namespaces.split(name)[0])

    def _folders(self, unreadable: dict[str, str]) -> dict[str, tuple[Path, ...]]:
        """Directories by name, of the repositories that can be listed."""
        found: dict[str, tuple[Path, ...]] = {}
        for repository in self._repositories:
            try:
                listed = model_folders([repository], namespacing=bool(self._namespaces))
            except TisError as error:
                unreadable[str(repository)] = error.message
                continue
            for name, paths in listed.items():
                found[name] = (*found.get(name, ()), *paths)
        return {name: found[name] for name in sorted(found)}

    def _still(self, directory: ModelDirectory, now: Snapshot, now_s: float) -> Found | None:
        """The model, where it differs from what was acted on and has been still."""
        name = directory.identifier
        before = self._acted.get(name)
        if before is None:
            difference = Difference(config=True, versions=frozenset(now.versions), rest=True)
        else:
            difference = before.difference(now)
        if not difference:
            self._pending.pop(name, None)
            return None
        pending = self._pending.get(name)
        if pending is None or pending.snapshot != now or pending.since_s > now_s:
            pending = self._pending[name] = _Pending(now, now_s)
        still_s = now_s - min(pending.since_s, now.newest_s)
        return Found(directory, now, difference) if still_s >= self._quiet_s else None
