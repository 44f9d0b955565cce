"""Which directories of the model repositories are models: what the supervisor loads from and frontends list.

What is in them the supervisor alone reads (`tis.repository`).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeVar

from tis.contracts.namespaces import identifier
from tis.errors import internal

Repository = TypeVar("Repository", Path, str, Path | str)

DUPLICATE_REASON: Final = "model appears in two or more repositories"


def model_folders(repositories: Iterable[Path | str], *, namespacing: bool = False) -> dict[str, tuple[Path, ...]]:
    """Every subdirectory of a repository by its name, sorted, except those whose name starts with a dot.

    A name with several directories is a model that must not be loaded, since nobody can tell which one is meant. With
    `namespacing` they are models of their own, each by its identifier.

    Raises:
        TisError: INTERNAL when a repository cannot be listed.
    """
    found: dict[str, list[Path]] = {}
    for repository in distinct(repositories):
        for path in subdirectories(Path(repository)):
            if not path.name.startswith("."):
                name = identifier(str(repository), path.name) if namespacing else path.name
                found.setdefault(name, []).append(path)
    return {name: tuple(found[name]) for name in sorted(found)}


def distinct(repositories: Iterable[Repository]) -> list[Repository]:
    """The repositories without those given twice."""
    return list({Path(repository).absolute(): repository for repository in repositories}.values())


def subdirectories(path: Path) -> list[Path]:
    """The directories directly below a directory.

    Raises:
        TisError: INTERNAL when it cannot be listed.
    """
    try:
        return [entry for entry in path.iterdir() if entry.is_dir()]
    except OSError as error:
        raise internal(f"failed to open directory {path}: {error.strerror}") from error
