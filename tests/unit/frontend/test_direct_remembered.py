"""Heads of direct clients that come again are known by what is before their id, and by nothing that only looks like one."""

from types import SimpleNamespace
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tis_frontend.direct import messages as dm
from tis_frontend.direct.remembered import LONGEST_REMEMBERED_BYTES, MOST_REMEMBERED, Asked, Remembered

ASKED: Any = object()
TENSOR = {"name": "A", "datatype": "FP32", "shape": [4], "region": "r", "offset": 0, "size": 16}


class Maker:
    """The memory of one client, and what it changes with."""

    def __init__(self) -> None:
        self.table, self.regions = SimpleNamespace(epoch=1), SimpleNamespace(epoch=1)
        server: Any = SimpleNamespace(table=self.table, core=SimpleNamespace(regions=self.regions))
        self.memory = Remembered(server)

    def add(self, head: bytes, *frames: bytes, asked: Asked = ASKED) -> None:
        message = dm.decode(head)
        assert isinstance(message, dm.Infer)
        self.memory.add(head, frames, message, asked)

    def find(self, head: bytes, *frames: bytes) -> tuple[Asked, int] | None:
        return self.memory.find(head, frames)


def head_of(number: int, **keys: Any) -> bytes:
    packed: bytes = msgpack.packb({"type": "infer", "model": "m", "inputs": [TENSOR], **keys, "id": 1 << 63})
    return packed[:-8] + number.to_bytes(8, "big")


def test_a_head_is_known_whatever_its_id() -> None:
    maker = Maker()
    maker.add(head_of(5))
    for number in (1, 5, 6, 1 << 40, (1 << 63) - 1):
        assert maker.find(head_of(number)) == (ASKED, number)
    # These are no ids: whoever reads the whole head says so.
    for number in (0, 1 << 63, (1 << 64) - 1):
        assert maker.find(head_of(number)) is None
    assert maker.find(head_of(5, model="other")) is None
    assert maker.find(head_of(5)[1:]) is None
    assert maker.find(b"") is None


def test_frames_of_other_sizes_are_another_request() -> None:
    maker = Maker()
    head = head_of(1, inputs=[{"name": "A", "datatype": "FP32", "shape": [4], "frame": 0}])
    maker.add(head, b"x" * 16)
    assert maker.find(head, b"y" * 16)
    assert maker.find(head, b"y" * 15) is None
    assert maker.find(head) is None
    assert maker.find(head, b"y" * 16, b"") is None


@pytest.mark.parametrize("changed", ["table", "regions"])
def test_everything_is_forgotten_when_models_or_regions_change(changed: str) -> None:
    maker = Maker()
    maker.add(head_of(1))
    getattr(maker, changed).epoch += 1
    assert maker.find(head_of(2)) is None
    maker.add(head_of(2))
    assert maker.find(head_of(3))
    getattr(maker, changed).epoch += 1
    # Also where what is said next is new.
    maker.add(head_of(3, model="other"))
    assert maker.find(head_of(4)) is None


@pytest.mark.parametrize(
    "head",
    [
        head_of(1, request_id="me"),
        head_of(1, inputs=[{"name": "A", "datatype": "FP32", "shape": [4], "data": bytes(16)}]),
        head_of(1, parameters={"p": "x" * LONGEST_REMEMBERED_BYTES}),
        msgpack.packb({"type": "infer", "id": 1, "model": "m", "inputs": [TENSOR]}),
        msgpack.packb({"type": "infer", "model": "m", "inputs": [TENSOR], "id": 1}),
    ],
    ids=["id", "data", "long", "not last", "short"],
)
def test_what_will_not_come_again_is_not_remembered(head: bytes) -> None:
    maker = Maker()
    maker.add(head)
    assert maker.find(head) is None


def test_frames_without_number_are_not_remembered() -> None:
    maker = Maker()
    maker.add(head_of(1), *[b""] * 17)
    assert maker.find(head_of(1), *[b""] * 17) is None


def test_no_client_has_more_remembered_than_it_may() -> None:
    maker = Maker()
    for number in range(10 * MOST_REMEMBERED):
        maker.add(head_of(1, model=f"m{number}"))
        assert maker.find(head_of(2, model=f"m{number}"))
    assert len(maker.memory._asked) <= MOST_REMEMBERED


@given(st.integers(1, (1 << 63) - 1), st.integers(1, (1 << 63) - 1))
@example(1, 3)
@example(2, 3)
@example(0x0123456789ABCDEF, 1)
def test_what_ends_like_an_id_and_is_none_is_not_taken_for_one(number: int, other: int) -> None:
    """The id stands before, and the end is a number of something else, in each place where one may stand."""
    tail = b"\xa2id\xcf" + number.to_bytes(8, "big")
    maker = Maker()
    about = {"type": "infer", "id": number, "model": "m", "inputs": [TENSOR]}
    # The value of a parameter that is called `id`.
    head = msgpack.packb({**about, "parameters": {"p": 1}})[:-4]
    head += b"\x81" + tail
    assert dm.decode(head).parameters == {"id": number}  # type: ignore[union-attr]
    maker.add(head)
    assert maker.find(head[:-8] + other.to_bytes(8, "big")) is None
    # Twice: the last one counts, and so it is one.
    head = bytearray(msgpack.packb({**about, "version": ""}))
    head[0] += 1
    twice = bytes(head) + tail
    maker.add(twice)
    assert maker.find(twice[:-8] + other.to_bytes(8, "big")) == (ASKED, other)
    assert dm.decode(twice[:-8] + other.to_bytes(8, "big")).id == other  # type: ignore[union-attr]
