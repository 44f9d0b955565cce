"""Which directories of the model repositories are models: what the supervisor loads from and frontends list.

What is in them the supervisor alone reads (`tis.repository`).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tis.errors import internal

DUPLICATE_REASON: Final = "model appears in two or more repositories"


def model_folders(repositories: Iterable[Path]) -> dict[str, tuple[Path, ...]]:
    """Every subdirectory of a repository by its name, sorted, except those whose name starts with a dot.

    A name with several directories is a model that must not be loaded, since nobody can tell which one is meant.

    Raises:
        TisError: INTERNAL when a repository cannot be listed.
    """
    found: dict[str, list[Path]] = {}
    for repository in distinct(repositories):
        for path in subdirectories(repository):
            if not path.name.startswith("."):
                found.setdefault(path.name, []).append(path)
    return {name: tuple(found[name]) for name in sorted(found)}


def distinct(repositories: Iterable[Path]) -> list[Path]:
    """The repositories without those given twice."""
    return list({repository.absolute(): repository for repository in repositories}.values())


def subdirectories(path: Path) -> list[Path]:
    """The directories directly below a directory.

    Raises:
        TisError: INTERNAL when it cannot be listed.
    """
    try:
        return [entry for entry in path.iterdir() if entry.is_dir()]
    except OSError as error:
        raise internal(f"failed to open directory {path}: {error.strerror}") from error
