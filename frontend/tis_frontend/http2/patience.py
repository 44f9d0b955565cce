"""How much a peer may ask for without bringing work: pings, settings, resets, empty frames and the like cost. Pure.

Each such frame is cheap to send and costs an answer or a search here; floods of them have names (CVE-2019-9512 to 9518,
CVE-2023-44487, CVE-2024-27316). One purse for all: it fills with time and with what is sent to the peer, which its window
updates and resets may well answer, and a peer that has emptied it is sent away (ENHANCE_YOUR_CALM).
"""

from typing import Final

from tis_frontend.http2.frames import Error, ProtocolError

CONTINUATION_COST: Final = 20.0
RESET_COST: Final = 4.0
_MOST: Final = 4000.0
_PER_S: Final = 1000.0
#: What a peer may answer to each DATA frame that it is sent: room on the stream and on the connection.
_PER_DATA_FRAME: Final = 3.0
#: Resetting a stream that is older costs less: it was no flood of new ones, but a client that lost its patience.
_YOUNG_S: Final = 0.1
#: Data of a stream that has ended here are on their way when the peer hears of it; only small frames of them are a flood.
_SMALL_DATA_BYTES: Final = 256
_LATE_DATA_COST: Final = 0.05


def cost_of_reset(age_s: float) -> float:
    """What the reset of a stream of this age costs."""
    return RESET_COST if age_s < _YOUNG_S else 1.0


def cost_of_late_data(size_bytes: int) -> float:
    """What a DATA frame costs that comes for a stream that has ended."""
    return 1.0 if size_bytes < _SMALL_DATA_BYTES else _LATE_DATA_COST


class Patience:
    """The purse of one connection."""

    __slots__ = ("_at_s", "_left", "_sent")

    def __init__(self, now_s: float) -> None:
        self._left = _MOST
        self._at_s = now_s
        self._sent = 0

    def spend(self, cost: float, now_s: float, sent: int) -> None:
        """Pay for a frame. `sent`: how many DATA frames the peer has been sent so far.

        Raises:
            ProtocolError: there is nothing left.
        """
        if sent != self._sent:
            self.earn((sent - self._sent) * _PER_DATA_FRAME)
            self._sent = sent
        left = self._left
        if left < cost:
            left = min(left + (now_s - self._at_s) * _PER_S, _MOST)
            self._at_s = now_s
        self._left = left - cost
        if left < cost:
            raise ProtocolError(Error.ENHANCE_YOUR_CALM, "too many frames that bring no work")

    def earn(self, gain: float) -> None:
        """The peer has been sent something that it may answer."""
        self._left = min(self._left + gain, _MOST)
