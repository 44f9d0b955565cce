"""What lies in a model repository: models, their directories, config files and version numbers. No config is read here.

- `<repository>/<model>/config.pbtxt`, or `<repository>/<model>/configs/<custom>.pbtxt`; or `.json`, `.yaml`, `.yml`
- `<repository>/<model>/<version>/<model file>`
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tis.config.source import SUFFIXES
from tis.contracts.model_folders import DUPLICATE_REASON, distinct, model_folders, subdirectories
from tis.contracts.namespaces import Namespaces, identifier
from tis.errors import invalid, not_found

__all__ = ["DUPLICATE_REASON", "ModelDirectory", "RepositoryScan", "find", "model_directory", "scan"]

CONFIG_STEM: Final = "config"
CONFIG_FOLDER: Final = "configs"
#: Subdirectories of a model that are no versions, and about which nobody needs a warning.
_NOT_VERSIONS: Final = frozenset({"warmup", "initial_state", CONFIG_FOLDER})
_LARGEST_VERSION: Final = 2**63 - 1


@dataclass(frozen=True)
class ModelDirectory:
    """A model as found on disk. Its config file may be absent."""

    name: str
    path: Path
    config_path: Path
    #: Versions present, ascending.
    versions: tuple[int, ...]
    #: What was ignored in the directory and why; for the log.
    warnings: tuple[str, ...] = ()
    #: The repository that it is in, where repositories are namespaces.
    namespace: str = ""
    #: More config files beside that one; then nobody knows which counts.
    other_configs: tuple[Path, ...] = ()

    @property
    def identifier(self) -> str:
        """What the server knows the model by."""
        return identifier(self.namespace, self.name)


@dataclass(frozen=True)
class RepositoryScan:
    """What one look at all repositories found."""

    #: By name, or by identifier where repositories are namespaces, sorted; models that are in one repository only.
    models: dict[str, ModelDirectory] = field(default_factory=dict)
    #: Directories by name, sorted; models that must not be loaded because two repositories have them.
    duplicates: dict[str, tuple[Path, ...]] = field(default_factory=dict)


def scan(repositories: Iterable[Path | str], *, config_name: str = "", namespacing: bool = False) -> RepositoryScan:
    """Lists all repositories. Every subdirectory is a model, except those whose name starts with a dot.

    Args:
        repositories: their root directories.
        config_name: chooses `configs/<config_name>.pbtxt`, or one of another form, in the models that have it
            (`--model-config-name`).
        namespacing: models of the same name in several repositories are no duplicates.

    Raises:
        TisError: INTERNAL when a directory cannot be listed.
    """
    repositories = list(repositories)
    found = model_folders(repositories, namespacing=namespacing)
    namespaces = Namespaces([str(each) for each in repositories], enabled=namespacing)
    return RepositoryScan(
        models={
            name: model_directory(paths[0], config_name, namespace=namespaces.split(name)[0])
            for name, paths in found.items()
            if len(paths) == 1
        },
        duplicates={name: paths for name, paths in found.items() if len(paths) > 1},
    )


def find(
    repositories: Iterable[Path | str], name: str, *, config_name: str = "", namespacing: bool = False
) -> ModelDirectory:
    """One model by name, as an explicit load asks for it, without listing the others; by identifier with `namespacing`.

    Raises:
        TisError: INVALID_ARG for a name that is no directory name, or that two repositories have; NOT_FOUND where none
            has it.
    """
    repositories = distinct(repositories)
    namespace, name = Namespaces([str(each) for each in repositories], enabled=namespacing).split(name)
    if not name or "/" in name or "\0" in name or name.startswith("."):
        raise invalid(f"invalid model name '{name}': expected the name of a directory in a model repository")
    within = [namespace] if namespace else [] if namespacing else repositories
    paths = [path for repository in within if (path := Path(repository) / name).is_dir()]
    if not paths:
        raise not_found(
            f"failed to poll model '{name}': model not found in any model repository; "
            f"searched {', '.join(str(repository) for repository in repositories)}"
        )
    if len(paths) > 1:
        raise invalid(
            f"failed to poll model '{name}': not unique across all model repositories; "
            f"found {', '.join(str(path) for path in paths)}"
        )
    return model_directory(paths[0], config_name, namespace=namespace)


def identifiers(repositories: Iterable[Path | str], name: str, namespace: str = "") -> list[str]:
    """The identifiers that a name may mean, where repositories are namespaces: of every model that they have of that name.

    Args:
        repositories: their root directories, as the command line has them.
        name: of a directory; anything else is none of these.
        namespace: where it has the model, that one is meant alone.
    """
    if not name or "/" in name or "\0" in name or name.startswith("."):
        return []
    having = [str(each) for each in distinct(repositories) if (Path(each) / name).is_dir()]
    return [identifier(each, name) for each in ([namespace] if namespace in having else having)]


def model_directory(path: Path, config_name: str = "", *, name: str = "", namespace: str = "") -> ModelDirectory:
    """Looks into one model's directory, which may bear another name than the model where the files were sent by a client.

    Raises:
        TisError: INTERNAL when it cannot be listed.
    """
    configs = _configs(path / CONFIG_FOLDER, config_name) if config_name else []
    configs = configs or _configs(path, CONFIG_STEM) or [path / f"{CONFIG_STEM}{SUFFIXES[0]}"]
    versions, warnings = version_numbers(path)
    return ModelDirectory(
        name=name or path.name,
        path=path,
        config_path=configs[0],
        versions=versions,
        warnings=warnings,
        namespace=namespace,
        other_configs=tuple(configs[1:]),
    )


def _configs(folder: Path, stem: str) -> list[Path]:
    """The config files of one name, whatever their form."""
    paths = [folder / f"{stem}{suffix}" for suffix in SUFFIXES]
    return [path for path in paths if path.is_file()]


def version_numbers(model_path: Path) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The version numbers among a model's subdirectories, ascending, and a warning for each one that only looks like more.

    A version is a plain decimal number that fits 64 bits. Triton's parser also takes `1abc` for version 1 and then looks into
    directory `1`; here such a name is ignored.

    Raises:
        TisError: INTERNAL when the directory cannot be listed.
    """
    versions: list[int] = []
    warnings: list[str] = []
    for name in sorted(path.name for path in subdirectories(model_path)):
        where = f"ignore version directory '{name}' of model '{model_path.name}'"
        if name in _NOT_VERSIONS or name.startswith("."):
            continue
        if len(name) > 1 and name.startswith("0"):
            warnings.append(f"{where} which contains leading zeros in its directory name")
        elif not (name.isascii() and name.isdigit() and int(name) <= _LARGEST_VERSION):
            warnings.append(f"{where} which fails to convert to integral number")
        else:
            versions.append(int(name))
    return tuple(sorted(versions)), tuple(warnings)
