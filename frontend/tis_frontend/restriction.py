"""Parts of the interface that ask for a header with a secret value: `--http-restricted-api` and its gRPC twin.

Both faces check this before anything else; where nothing is restricted there is nothing to look at.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from tis.settings import Restriction


@dataclass(frozen=True, slots=True)
class Expected:
    """What a request to a restricted part has to bring. The header's name is in lower case."""

    header: str
    shown: str
    value: str

    def met_by_one_of(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """True where the headers of an HTTP request hold this one, with its value."""
        wanted = self.header.encode("latin-1")
        return self.met_by(next((value for name, value in headers if name == wanted), None))

    def met_by(self, given: str | bytes | None) -> bool:
        """True where this is the value of the header (None: there is none)."""
        if given is None:
            return False
        return hmac.compare_digest(given.encode() if isinstance(given, str) else given, self.value.encode())


def expected_headers(groups: tuple[Restriction, ...], prefix: str = "") -> dict[str, Expected]:
    """What each restricted category expects; the other categories are free."""
    return {
        category: Expected((prefix + group.header).lower(), prefix + group.header, group.value)
        for group in groups
        for category in group.categories
    }
