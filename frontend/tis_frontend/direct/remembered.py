"""Requests like ones before: a client that asks again says the same head but for its id, which is not read and checked again.

A head can be known again only where the id is its last value, an integer of eight bytes, as docs/zeromq.md tells clients.
What it means depends on the models and the regions that there are: when either changes, everything is forgotten.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from tis.contracts.inference import InferRequest
from tis.contracts.plan import Plan
from tis_frontend.direct import messages as dm
from tis_frontend.direct.infer_request import Data
from tis_frontend.model_table import ServedModel
from tis_frontend.server import Server

#: Heads that one client may have remembered, and the bytes of one.
MOST_REMEMBERED: Final = 16
LONGEST_REMEMBERED_BYTES: Final = 1024
_MOST_FRAMES: Final = 16
_ID_BYTES: Final = 8
#: The key `id`, and MessagePack's sign of an integer of eight bytes.
_ID_KEY: Final = b"\xa2id\xcf"
_ID_AT: Final = -_ID_BYTES - len(_ID_KEY)


@dataclass(slots=True, frozen=True)
class Asked:
    """A request as it was read and checked, but for its id and the bytes of its tensors."""

    model: ServedModel
    request: InferRequest
    plan: Plan
    #: The outputs that are asked for, by name.
    outputs: dict[str, dm.WantedOutput]
    #: Where in the request's block each frame's bytes go, and how many the block has.
    frames: tuple[tuple[int, int], ...]
    block_bytes: int


class Remembered:
    """What one client has asked."""

    def __init__(self, server: Server) -> None:
        self._server: Final = server
        self._epochs = (0, 0)
        self._asked: dict[tuple[bytes | int, ...], Asked] = {}

    def find(self, head: Data, frames: Sequence[Data]) -> tuple[Asked, int] | None:
        """What this head has meant before, and its id."""
        if not self._asked or head[_ID_AT:-_ID_BYTES] != _ID_KEY:
            return None
        if self._epochs != self._now():
            self._asked.clear()
            return None
        asked = self._asked.get(_key(head, frames))
        if asked is None:
            return None
        number = int.from_bytes(head[-_ID_BYTES:], "big")
        return (asked, number) if 0 < number < 1 << 63 else None

    def add(self, head: Data, frames: Sequence[Data], message: dm.Infer, asked: Asked) -> None:
        """Remember a head, if it may come again."""
        if (
            len(head) > LONGEST_REMEMBERED_BYTES
            or len(frames) > _MOST_FRAMES
            or head[_ID_AT:-_ID_BYTES] != _ID_KEY
            or message.request_id
            or any(entry.data is not None for entry in message.inputs)
        ):
            return
        # These bytes may stand at the end and yet be no id. If they are, other ones in their place are another id, and that
        # is all that they change. Other ones: an id that stands elsewhere must not pass for the one put here.
        probe = 2 if message.id == 1 else 1
        try:
            other = dm.decode(head[:-_ID_BYTES] + probe.to_bytes(_ID_BYTES, "big"))
        except msgspec.DecodeError:
            return
        if other != msgspec.structs.replace(message, id=probe):
            return
        now = self._now()
        if self._epochs != now or len(self._asked) >= MOST_REMEMBERED:
            self._asked.clear()
            self._epochs = now
        self._asked[_key(head, frames)] = asked

    def clear(self) -> None:
        """The client has gone."""
        self._asked.clear()

    def _now(self) -> tuple[int, int]:
        return self._server.table.epoch, self._server.core.regions.epoch


def _key(head: Data, frames: Sequence[Data]) -> tuple[bytes | int, ...]:
    return (bytes(head[:-_ID_BYTES]), *map(len, frames)) if frames else (bytes(head[:-_ID_BYTES]),)
