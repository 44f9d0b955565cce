"""Replies hold what a model gave, however its arrays lie in memory."""

import os
from collections import deque
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest

from tests.unit.workers.onnx_bench import ASKER, Answer, Array, Control, Outbox
from tis.errors import TisError
from tis_shm.pool import Pool
from tis_shm.slab import Grant
from tis_workers.output import OutputWriter
from tis_workers.wire_form import LARGE_STRIDED_BYTES, wire_form


class Room:
    """A writer, and a reader of what it writes."""

    def __init__(self) -> None:
        self.pool = Pool.create(8 << 20)
        self.sent: deque[Any] = deque()
        self.writer = OutputWriter(self.pool, [Grant(0, 8 << 20)], cast(Any, Outbox(self.sent)), cast(Any, Control()))

    def reply(self, *arrays: Array) -> list[Array]:
        """What is read of a reply with these outputs."""
        self.writer.reply(ASKER, 1, [(str(at), array, "FP32") for at, array in enumerate(arrays)])
        answer = Answer(self.pool, self.sent.popleft())
        read = [answer.array(str(at)).copy() for at in range(len(arrays))]
        answer.release()
        return read


@pytest.fixture
def room() -> Iterator[Room]:
    made = Room()
    yield made
    made.writer.collect()
    assert not made.writer.used_bytes
    os.close(made.pool.fd)


def grid(*shape: int, dtype: str = "float32") -> Array:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


@pytest.mark.parametrize("side", [4, 300])
def test_arrays_that_are_not_contiguous_are_read_in_their_own_order(room: Room, side: int) -> None:
    arrays = [
        grid(side, side).T,
        grid(side, side)[:, ::2],
        grid(side, side)[::-1],
        np.broadcast_to(grid(side), (side, side)),
        grid(2, side, side, dtype="int16").transpose(2, 0, 1),
        grid(side, side),
    ]
    assert (arrays[0].nbytes >= LARGE_STRIDED_BYTES) == (side == 300)
    for sent, read in zip(arrays, room.reply(*arrays), strict=True):
        assert read.shape == sent.shape
        assert np.array_equal(read, sent)


def test_nothing_and_a_scalar_are_replies_too(room: Room) -> None:
    read = room.reply(np.zeros((0, 3), np.float32), np.array(7, np.int64), grid(3, 0).T)
    assert [array.tolist() for array in read] == [[], 7, []]


def test_the_bytes_of_a_wire_form_lie_one_behind_the_other() -> None:
    array = grid(200, 100).T
    datatype, data = wire_form("X", array, "FP32")
    assert datatype == "FP32"
    assert bytes(data) == array.tobytes()


def test_a_type_that_the_protocol_does_not_know_is_refused(room: Room) -> None:
    with pytest.raises(TisError, match="numpy type 'complex64'"):
        room.reply(np.zeros((100, 100), np.complex64).T)
