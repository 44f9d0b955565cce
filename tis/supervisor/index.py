"""The repository index: everything that the repositories hold, and what each version of it is in."""

from collections.abc import Iterable, Mapping

from tis.contracts import messages as m
from tis.errors import Code, TisError
from tis.supervisor.version import ModelVersion


def repository_index(versions: Iterable[ModelVersion], unread: Mapping[str, str]) -> tuple[m.IndexEntry, ...]:
    """The index in Triton's order and form.

    Args:
        versions: those that are or were loaded.
        unread: models of the repository whose definition could not be taken at all, with `reason_shown`. A model that
            has been read but has no version to load is in neither, and Triton does not list it.
    """
    entries = [m.IndexEntry(each.name, each.version, each.state.name, each.reason) for each in versions]
    named = {entry.name for entry in entries}
    entries += [
        m.IndexEntry(name, 0, "UNAVAILABLE" if reason else "", reason)
        for name, reason in unread.items()
        if name not in named
    ]
    return tuple(sorted(entries, key=lambda entry: (entry.name, entry.version)))


def reason_shown(error: TisError) -> str:
    """What the index says of a model that could not be read: nothing, as in Triton, whose log has the reason.

    A config that Triton would serve and this server does not is another matter: there the client is told.
    """
    return f"{error.code.spoken}: {error.message}" if error.code is Code.UNSUPPORTED else ""
