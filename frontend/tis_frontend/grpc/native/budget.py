"""How many bytes of unfinished messages this process holds, over all connections: bounded, whatever clients begin."""

from typing import Final

_MOST_BYTES: Final = 2 << 30


class Budget:
    """Bytes taken and given back."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self.taken_bytes = 0

    def take(self, size_bytes: int) -> bool:
        """Take some, or give some back where the number is negative. False, and nothing taken, where there is no room."""
        if size_bytes > 0 and self.taken_bytes + size_bytes > self._most_bytes:
            return False
        self.taken_bytes += size_bytes
        return True

    def give(self, size_bytes: int) -> None:
        """Give some back."""
        self.taken_bytes -= size_bytes


BUDGET: Final = Budget(_MOST_BYTES)
