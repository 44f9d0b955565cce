"""What a model's directory was at one moment, in parts, so that a later look can tell what of it has changed.

A change is another set of names, another size, another time of change, or another content of a small file. A file that was
only touched counts as changed, as in Triton, where touching is how operators ask for a reload. Unlike there, a file of
an older date in the place of a newer one counts, too, and directories count by what they hold, not by their own time: what
an interpreter or an editor leaves there for a moment is nothing.
"""

import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tis.config.source import SUFFIXES
from tis.errors import internal
from tis.repository.layout import CONFIG_FOLDER, CONFIG_STEM, ModelDirectory

#: Contents are read of files up to this size: configs, labels, models that are source code.
SMALL_BYTES: Final = 1 << 20

#: Two writes within the clock's grain have the same time: what was written just now is read again the next time.
_SAME_MOMENT_S: Final = 2.0
_EDITORS: Final = re.compile(r"4913|.*~|#.*#")
_NOBODYS_FOLDERS: Final = frozenset({"__pycache__"})

_CONFIG_FILES: Final = tuple(f"{CONFIG_STEM}{suffix}" for suffix in SUFFIXES)


@dataclass(frozen=True)
class Difference:
    """What differs between two snapshots of a model."""

    #: The config file in use.
    config: bool = False
    #: Versions whose files differ, or that came or went.
    versions: frozenset[int] = frozenset()
    #: Anything else, such as labels or warm-up data, or the place of the whole directory.
    rest: bool = False

    def __bool__(self) -> bool:
        return self.config or self.rest or bool(self.versions)

    def concerns(self, version: int) -> bool:
        """True where a version must be loaded anew whatever its config says: its own files or common ones differ."""
        return self.rest or version in self.versions


@dataclass(frozen=True)
class Snapshot:
    """A model's directory at one moment; parts are told by digests, and are equal where nothing has changed."""

    path: Path
    config: str
    versions: Mapping[int, str]
    rest: str
    #: The newest time of change among its files and directories, in seconds since 1970.
    newest_s: float = field(compare=False)

    def of_version(self, version: int) -> str:
        """The same for the same files of a version, wherever they lie, common ones such as labels among them."""
        return hashlib.sha256(f"{self.versions.get(version, '')} {self.rest}".encode()).hexdigest()

    def difference(self, later: "Snapshot") -> Difference:
        """What has changed since."""
        numbers = self.versions.keys() | later.versions.keys()
        return Difference(
            config=self.config != later.config,
            versions=frozenset(each for each in numbers if self.versions.get(each) != later.versions.get(each)),
            rest=self.rest != later.rest or self.path != later.path,
        )


class Contents:
    """Digests of small files, kept so that a file is read again only when the system says that it has been written."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], tuple[tuple[int, int, int], str]] = {}
        self._seen: set[tuple[int, int]] = set()

    def of(self, path: Path, state: os.stat_result) -> str:
        """A digest of a file's content; empty for a large one and for one that cannot be read."""
        if state.st_size > SMALL_BYTES:
            return ""
        identity = (state.st_dev, state.st_ino)
        # The time of the inode's own change cannot be set back by who copies with times.
        written = (state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        self._seen.add(identity)
        known = self._known.get(identity)
        if known is not None and known[0] == written:
            return known[1]
        digest = _digest(path)
        if time.time() - state.st_ctime > _SAME_MOMENT_S:
            self._known[identity] = (written, digest)
        return digest

    def forget_unseen(self) -> None:
        """Forget files that nobody has asked for since the last time."""
        self._known = {identity: known for identity, known in self._known.items() if identity in self._seen}
        self._seen = set()


def snapshot(directory: ModelDirectory, contents: Contents | None = None) -> Snapshot:
    """A model's directory as it is now. Take it before the model's config is read: what changes later is told later.

    Configs that are not in use are no part of it. Not counted either are names that begin with a dot, `__pycache__`, and
    what editors leave while they write.

    Raises:
        TisError: INTERNAL where the directory cannot be listed.
    """
    contents = Contents() if contents is None else contents
    parts: dict[int | str, hashlib._Hash] = {"config": hashlib.sha256(), "rest": hashlib.sha256()}
    parts.update({version: hashlib.sha256() for version in directory.versions})
    config = directory.config_path.relative_to(directory.path).as_posix()
    newest_s = 0.0
    for entry in _entries(directory.path):
        newest_s = max(newest_s, entry.changed_s)
        part = _part(entry.shown, config, parts)
        if part is not None:
            parts[part].update(entry.digested(contents))
    return Snapshot(
        path=directory.path,
        config=parts["config"].hexdigest(),
        versions={version: parts[version].hexdigest() for version in directory.versions},
        rest=parts["rest"].hexdigest(),
        newest_s=newest_s,
    )


def _part(shown: str, config: str, parts: Mapping[int | str, object]) -> int | str | None:
    """The part of a snapshot that a file belongs to; None for a config that is not in use."""
    if shown == config:
        return "config"
    top, slash, _ = shown.partition("/")
    if shown in _CONFIG_FILES or top == CONFIG_FOLDER:
        return None
    return (
        int(top) if slash and top.isascii() and top.isdigit() and int(top) in parts and str(int(top)) == top else "rest"
    )


@dataclass(frozen=True)
class _Entry:
    """A file, or a directory, whose path ends with a slash."""

    path: Path
    #: Relative to the model's directory.
    shown: str
    #: None where it cannot be looked at, such as a link to nowhere.
    state: os.stat_result | None

    @property
    def changed_s(self) -> float:
        return self.state.st_mtime if self.state is not None else 0.0

    def digested(self, contents: Contents) -> bytes:
        told = f"\0{self.shown}"
        if self.state is None:
            told += "\0?"
        elif not self.shown.endswith("/"):
            told += f"\0{self.state.st_size}\0{self.state.st_mtime_ns}\0{contents.of(self.path, self.state)}"
        return told.encode(errors="surrogateescape")


def _entries(root: Path) -> Iterator[_Entry]:
    """Everything that counts below a directory, and the directory itself, in order. Links are followed, but in no circle."""
    try:
        state = root.stat()
        yield _Entry(root, "/", state)
        yield from _below("", ((state.st_dev, state.st_ino),), list(root.iterdir()))
    except OSError as error:
        raise internal(f"failed to open directory {root}: {error.strerror}") from error


def _below(shown: str, above: tuple[tuple[int, int], ...], paths: list[Path]) -> Iterator[_Entry]:
    for path in sorted(paths):
        name = path.name
        if name.startswith("."):
            continue
        try:
            state = path.stat()
            inside = list(path.iterdir()) if stat.S_ISDIR(state.st_mode) else None
        except OSError:
            if not _EDITORS.fullmatch(name):
                yield _Entry(path, shown + name, None)
            continue
        identity = (state.st_dev, state.st_ino)
        if inside is None:
            if not _EDITORS.fullmatch(name):
                yield _Entry(path, shown + name, state)
        elif name not in _NOBODYS_FOLDERS and identity not in above:
            yield _Entry(path, f"{shown}{name}/", state)
            yield from _below(f"{shown}{name}/", (*above, identity), inside)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.sha256(file.read(SMALL_BYTES + 1)).hexdigest()
    except OSError:
        return ""
