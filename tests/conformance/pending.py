"""Cases that differ because what they ask for is not built yet, with the reason. A case that passes fails here."""

from typing import Final

PENDING: Final[dict[str, str]] = {}
