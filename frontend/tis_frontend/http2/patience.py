"""How much a peer may ask for without bringing work: pings, settings, resets, empty frames and the like cost. Pure.

Each such frame is cheap to send and costs an answer or a search here; floods of them have names (CVE-2019-9512 to 9518,
CVE-2023-44487, CVE-2024-27316). One purse for all: it fills with time and with what is sent to the peer, which its window
updates and resets may well answer, and a peer that has emptied it is sent away (ENHANCE_YOUR_CALM).
"""

from typing import Final

_MOST: Final = 4000.0
_PER_S: Final = 1000.0

CONTINUATION_COST: Final = 20.0
RESET_COST: Final = 4.0
#: A change that touches every stream costs one for so many of them.
STREAMS_A_FRAME: Final = 50
#: Resetting a stream that is older costs less: it was no flood of new ones, but a client that lost its patience.
YOUNG_S: Final = 0.1
#: Data of a stream that has ended here are on their way when the peer hears of it; only small frames of them are a flood.
SMALL_DATA_BYTES: Final = 256
LATE_DATA_COST: Final = 0.05
#: What a peer may answer to each DATA frame that it is sent: room on the stream and on the connection.
EARNED: Final = 3.0


class Patience:
    """The purse of one connection."""

    __slots__ = ("_at_s", "_left")

    def __init__(self, now_s: float) -> None:
        self._left = _MOST
        self._at_s = now_s

    def spend(self, cost: float, now_s: float) -> bool:
        """Pay for a frame. False where there is nothing left."""
        left = self._left
        if left < cost:
            left = min(left + (now_s - self._at_s) * _PER_S, _MOST)
            self._at_s = now_s
        self._left = left - cost
        return left >= cost

    def earn(self, gain: float) -> None:
        """The peer has been sent something that it may answer."""
        self._left = min(self._left + gain, _MOST)
