"""Messages of direct clients that are almost right, and such as are not."""

import random
from typing import Any, Final

import msgpack
import numpy as np

#: What the model `echo` is asked with.
VALUES: Final = np.arange(8, dtype=np.float32)
_KEYS: Final = ("/../etc/passwd", "", "/x", "\0", "/proc/self/fd/0", "/proc/self/fd/999999999", "/proc/1/fd/0")


class Wild:
    """Messages out of chance; `regions` are names that they may use."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.regions = ["r", ""]
        #: Heads whose ids are their last eight bytes, which the server remembers.
        self._said: list[bytes] = []

    def value(self, depth: int = 0) -> Any:
        """Something that may be where another type is due."""
        choices: list[Any] = [0, -1, 1 << 62, (1 << 64) - 1, 1.5, None, True, "", "echo", "x" * 2000, b"", b"abcd"]
        if depth < 3:
            choices += [[self.value(depth + 1) for _ in range(3)], {"name": self.value(depth + 1)}]
        return self.random.choice(choices)

    def tensor(self) -> dict[str, Any]:
        """An input, which is right half of the time."""
        pick = self.random.choice
        if self.random.random() < 0.5:
            return {"name": "INPUT0", "datatype": "FP32", "shape": [8], "data": VALUES.tobytes()}
        entry: dict[str, Any] = {
            "name": pick(["INPUT0", "INPUT0", "X"]),
            "datatype": pick(["FP32", "FP32", "BYTES", "Q"]),
            "shape": pick([[8], [8], [-1], [1 << 62, 4], [0, 1 << 62], [], [8] * 100]),
        }
        where = pick(["data", "frame", "region", "none"])
        if where == "data":
            entry["data"] = VALUES.tobytes()
        elif where == "frame":
            entry["frame"] = pick([0, 1, 99, 1 << 60])
        elif where == "region":
            numbers = [0, 32, 64, 4064, 4096, 1 << 62]
            entry.update(region=pick(self.regions), offset=pick(numbers), size=pick(numbers))
        return entry

    def message(self, number: int) -> tuple[bytes, list[bytes]]:
        """A head and the frames behind it."""
        pick = self.random.choice
        outputs = [{k: v for k, v in self.tensor().items() if k in ("name", "region", "offset", "size")}]
        outputs[0]["name"] = "OUTPUT0"
        right: list[dict[str, Any]] = [
            {"type": "infer", "model": "echo", "inputs": [self.tensor()], "outputs": pick([[], outputs])},
            {"type": "infer", "model": "echo", "inputs": [self.tensor()], "parameters": {"sequence_id": self.value()}},
            {"type": "grant", "size": pick([0, 4096, 1 << 40])},
            {"type": "release", "region": pick(self.regions)},
            {"type": "register", "region": "r", "key": pick(_KEYS), "size": pick([1, 1 << 62])},
            {"type": "cancel"},
            {"type": "metadata", "model": "echo", "version": pick(["", "1", "-1", "9" * 400])},
            {"type": "statistics", "model": pick(["", "echo", "nobody"])},
            {"type": "hello", "version": 1},
        ]
        head: dict[str, Any] = {"id": pick([number] * 7 + [1, 0, -1]), **pick(right)}
        if self.random.random() < 0.3:
            head[pick([*head, "more"])] = self.value()
        packed: bytes = msgpack.packb(head)
        if self.random.random() < 0.4:
            packed = self._like_before(head, pick([number] * 9 + [1, 0, 1 << 63]))
        kind = self.random.random()
        if kind < 0.1:
            packed = packed[: self.random.randrange(len(packed))]
        elif kind < 0.2:
            at = self.random.randrange(len(packed))
            packed = packed[:at] + self.random.randbytes(1) + packed[at + 1 :]
        elif kind < 0.25:
            packed = self.random.randbytes(self.random.randrange(100))
        frames = [pick([b"", VALUES.tobytes(), bytes(100_000)]) for _ in range(pick([0, 0, 0, 1, 1, 1, 2, 2, 2, 300]))]
        return packed, frames

    def _like_before(self, head: dict[str, Any], number: int) -> bytes:
        """The head with its id at the end, or one of before with this id."""
        if len(self._said) < 5 or self.random.random() < 0.5:
            packed: bytes = msgpack.packb({**{key: value for key, value in head.items() if key != "id"}, "id": 1 << 63})
            self._said = [*self._said[-20:], packed[:-8]]
        return self.random.choice(self._said) + number.to_bytes(8, "big")
