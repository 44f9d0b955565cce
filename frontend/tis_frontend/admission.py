"""How much of this frontend one model's requests in flight may take, so that its flood leaves room for others. Pure.

A model may hold four times what is still free (dynamic thresholds: A. Choudhury and E. Hahne, "Dynamic queue length
thresholds for shared-memory packet switches", 1998). So one model alone gets four fifths of the room, two that flood get
four ninths each, and there is always something left for a model that has nothing in flight yet.
"""

from typing import Final

from tis.errors import TisError, unavailable

_TIMES_FREE: Final = 4


class Share:
    """What one model holds."""

    __slots__ = ("held_bytes", "requests")

    def __init__(self) -> None:
        self.held_bytes = 0
        self.requests = 0


class Admission:
    """The room for requests in flight, in bytes and in requests."""

    def __init__(self, capacity_bytes: int, most_requests: int) -> None:
        self._capacity_bytes: Final = capacity_bytes
        self._most_requests: Final = most_requests
        self._shares: dict[str, Share] = {}
        self._held_bytes = 0
        self._requests = 0

    def enter(self, model: str, size_bytes: int) -> Share:
        """Count a request for a model; gives what to `leave` with.

        Raises:
            TisError: UNAVAILABLE: too much is in flight, with how much.
        """
        share = self._shares.get(model)
        if share is None:
            share = self._shares[model] = Share()
        requests = self._requests + 1
        held_bytes = self._held_bytes + size_bytes
        if share.requests and (
            share.requests >= _TIMES_FREE * (self._most_requests - requests)
            or share.held_bytes + size_bytes > _TIMES_FREE * (self._capacity_bytes - held_bytes)
        ):
            raise self._refusal(model, share)
        if requests > self._most_requests:
            raise unavailable(f"the server has {self._most_requests} requests in flight already")
        share.requests += 1
        share.held_bytes += size_bytes
        self._requests = requests
        self._held_bytes = held_bytes
        return share

    def leave(self, share: Share, size_bytes: int) -> None:
        """A request is over."""
        share.requests -= 1
        share.held_bytes -= size_bytes
        self._requests -= 1
        self._held_bytes -= size_bytes

    def _refusal(self, model: str, share: Share) -> TisError:
        return unavailable(
            f"model '{model}' has {share.requests} requests with {share.held_bytes} bytes in flight, which is its share "
            f"while {self._requests} of {self._most_requests} requests and {self._held_bytes} of {self._capacity_bytes} "
            "bytes are taken; try again"
        )
