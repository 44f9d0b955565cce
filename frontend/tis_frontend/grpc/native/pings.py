"""Whether a client pings more often than it may: gRPC's own rule, with Triton's flags. Pure."""

from typing import Final

#: What must lie between pings of a client that has no calls and may not ping without them.
_IDLE_S: Final = 7200.0


class Pings:
    """The strikes of one connection."""

    def __init__(self, interval_s: float, most_strikes: int, *, may_be_idle: bool) -> None:
        self._interval_s = interval_s
        self._most_strikes = most_strikes
        self._may_be_idle = may_be_idle
        self._last_s = float("-inf")
        self._strikes = 0
        self._sent = 0

    def is_too_many(self, now_s: float, *, sent: int, has_calls: bool) -> bool:
        """A ping has come. True where the client is to be sent away for it.

        `sent`: how many frames of data the client has been sent so far; after some it may ping again.
        """
        if sent != self._sent:
            self._sent = sent
            self._strikes = 0
            self._last_s = float("-inf")
        interval_s = self._interval_s if has_calls or self._may_be_idle else _IDLE_S
        if now_s - self._last_s < interval_s:
            self._strikes += 1
        self._last_s = now_s
        return self._most_strikes > 0 and self._strikes > self._most_strikes
