"""Memory of many connections that have gone: given back to the machine.

Facts: a connection's objects point at each other, so most wait for a search for cycles, which begins only when much new is
made; and the C library keeps what is freed. Danger: after a crowd a frontend stays as large as it was. Decision: search once
when most have gone, and have the C library return its free pages. Cost: some milliseconds, once for each such crowd.
"""

import ctypes
import gc
from typing import Final

#: Fewer are not worth it: some megabytes.
_MANY: Final = 500


class Leftovers:
    """Remembers how many connections there were."""

    def __init__(self) -> None:
        self._most = 0

    def look(self, connections: int) -> bool:
        """To be called now and then with how many there are. True where memory was given back."""
        self._most = max(self._most, connections)
        if self._most - connections < _MANY or connections > self._most // 2:
            return False
        self._most = connections
        gc.collect()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
        return True
