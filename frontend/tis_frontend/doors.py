"""How many connections this process takes: as many as it has descriptors for, some of which it needs itself. For both faces.

Danger: a process without descriptors cannot reach a scheduler that was started anew, open its access log or map a client's
memory; and one that keeps trying to accept what it has no descriptor for does nothing else. So connections beyond the bounds
are taken and closed at once, which their clients see, and the log tells how many there were.
"""

import resource
from typing import Final, Literal

from tis.log import get_logger

Face = Literal["HTTP", "gRPC"]

#: A face leaves so much to the other one.
_LEFT_SHARE: Final = 0.25
#: What the process needs for itself: at least so many, of many files this share.
_OWN_FILES: Final = 64
_OWN_SHARE: Final = 1 / 16
_TOLD_EVERY_S: Final = 60.0

_log = get_logger(__name__)


class Doors:
    """Counts the living connections."""

    def __init__(self, files: int) -> None:
        """`files`: how many the process may have open."""
        own = min(max(_OWN_FILES, int(files * _OWN_SHARE)), files // 2)
        self.most: Final = files - own
        self.most_of_face: Final = min(int(files * (1 - _LEFT_SHARE)), self.most)
        self.inside: Final[dict[Face, int]] = {"HTTP": 0, "gRPC": 0}
        self._refused: dict[Face, int] = {"HTTP": 0, "gRPC": 0}
        self._told_s = float("-inf")

    def enter(self, face: Face) -> bool:
        """A client has connected. False where there is no room: it is to be closed, and does not leave."""
        inside = self.inside
        if inside[face] >= self.most_of_face or inside["HTTP"] + inside["gRPC"] >= self.most:
            self._refused[face] += 1
            return False
        inside[face] += 1
        return True

    def leave(self, face: Face) -> None:
        """One that has entered has gone."""
        self.inside[face] -= 1

    def look(self, now_s: float) -> None:
        """To be called now and then: tell of those that were refused."""
        if now_s - self._told_s < _TOLD_EVERY_S:
            return
        for face, refused in self._refused.items():
            if refused:
                self._told_s = now_s
                self._refused[face] = 0
                _log.warning("%d %s connections were refused: there are %d already", refused, face, self.inside[face])


def doors_of_process() -> Doors:
    """By the limit of open files."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return Doors(files if files > 0 else 1 << 30)


DOORS: Final = doors_of_process()
