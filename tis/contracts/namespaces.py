"""Names of models where each repository is a namespace (`--model-namespacing`).

A client says `name`, and the server, which may have several of that name, keeps each under its identifier, `namespace::name`.

Facts, from Triton 2.51: the namespace is the repository as the command line has it, letter for letter. Files that a client
sent are in none: then the identifier is the name, as it is everywhere while the flag is off.
"""

from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import unquote

from tis.settings import ServerSettings

_SEPARATOR: Final = "::"


def identifier(namespace: str, name: str) -> str:
    """What a model is known by within the server; `namespace` is empty for one that has none."""
    return f"{namespace}{_SEPARATOR}{name}" if namespace else name


def ambiguous_text(name: str, count: int) -> str:
    """What Triton says of a name that several models have."""
    return (
        f"There are {count} identifiers of model '{name}' in global map, model namespace must be provided to resolve "
        "ambiguity."
    )


def chosen(name: str, candidates: Sequence[str], namespace: str) -> str:
    """The identifier that somebody within a namespace means by a name: his own, else the only one.

    Gives the name as it is where nothing is known by it, or where several are and none of them is his own.
    """
    own = identifier(namespace, name)
    if own in candidates:
        return own
    return candidates[0] if len(candidates) == 1 else name


class Namespaces:
    """The namespaces of a server; none unless `enabled`.

    Args:
        repositories: as the command line has them.
    """

    def __init__(self, repositories: Iterable[str] = (), *, enabled: bool = False) -> None:
        self._heads: Final = tuple((each, f"{each}{_SEPARATOR}") for each in repositories) if enabled else ()

    @classmethod
    def of(cls, settings: ServerSettings) -> "Namespaces":
        """Those of a server with these settings."""
        return cls(settings.model_repositories, enabled=settings.model_namespacing)

    def __bool__(self) -> bool:
        """True where repositories are namespaces."""
        return bool(self._heads)

    def split(self, model: str) -> tuple[str, str]:
        """Namespace (empty for none) and name of an identifier."""
        for namespace, head in self._heads:
            if model.startswith(head) and "/" not in model[len(head) :]:
                return namespace, model[len(head) :]
        return "", model

    def asked(self, name: str) -> str:
        """What a client has named: in addresses of HTTP an identifier has %2F for every slash, which nobody else decodes.

        Clients that quote what they are given make %252F of it.
        """
        for decoded in (name, unquote(name), unquote(unquote(name))) if self else ():
            if self.split(decoded)[0]:
                return decoded
        return name

    def name(self, model: str) -> str:
        """The name that clients know a model by."""
        return self.split(model)[1]
