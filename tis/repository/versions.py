"""Which of a model's versions to serve: the version policy applied to the version numbers that are there. Pure logic."""

from collections.abc import Collection
from dataclasses import dataclass

from tis.config.proto import Message
from tis.errors import invalid


@dataclass(frozen=True)
class VersionSelection:
    """The outcome of a version policy."""

    #: Versions to serve, ascending.
    versions: tuple[int, ...]
    #: Versions that a `specific` policy names but that are not there; for the log.
    missing: tuple[int, ...] = ()


def select_versions(config: Message, present: Collection[int]) -> VersionSelection:
    """Applies `version_policy`: the n largest numbers, all, or the specific ones. No policy means the largest one.

    Missing specific versions are skipped. Nothing left is no error here: see `require_versions`.
    """
    policy = config.version_policy
    choice = policy.WhichOneof("policy_choice")
    if choice == "specific":
        wanted = sorted(set(policy.specific.versions))
        return VersionSelection(
            versions=tuple(version for version in wanted if version in present),
            missing=tuple(version for version in wanted if version not in present),
        )
    if choice == "all" or (choice is None and config.HasField("version_policy")):
        return VersionSelection(tuple(sorted(present)))
    count = policy.latest.num_versions if choice == "latest" else 1
    return VersionSelection(tuple(sorted(sorted(present, reverse=True)[:count])))


def require_versions(model: str, selection: VersionSelection) -> tuple[int, ...]:
    """The selected versions.

    Raises:
        TisError: INVALID_ARG where there is none: the load fails in Triton's words.
    """
    if not selection.versions:
        raise invalid(f"at least one version must be available under the version policy of model '{model}'")
    return selection.versions


def missing_version_texts(model: str, selection: VersionSelection) -> tuple[str, ...]:
    """One line for the log for each specific version that is not there."""
    return tuple(
        f"version {version} is specified for model '{model}', but the version directory is not present"
        for version in selection.missing
    )
