"""Requests and replies that carry their own data, as a worker reads and writes them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from tis.carrier.datagram import Outbox
from tis.contracts import messages as m
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis_shm.pool import Pool
from tis_shm.slab import Grant
from tis_workers.output import OutputWriter
from tis_workers.regions import ClientRegions
from tis_workers.request import WorkRequest

ASKER = 3
SPEC = ModelSpec(
    "m",
    1,
    "",
    "python",
    0,
    (TensorSpec("A", "FP32", (-1,)), TensorSpec("S", "BYTES", (1,), optional=True)),
    (TensorSpec("Y", "FP32", (-1,)), TensorSpec("Z", "INT8", (-1,))),
)


class _Posted:
    """An outbox that keeps what is posted."""

    def __init__(self) -> None:
        self.replies: list[Any] = []

    def post(self, _peer: int, message: Any) -> None:
        self.replies.append(message)

    def flush(self) -> None:
        """Nothing to do."""


class Room:
    """A worker's writer, and what it posts."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.posted = _Posted()
        self.writer = OutputWriter(pool, [Grant(0, 1 << 20)], cast(Outbox, self.posted), cast(Any, None))

    def request(self, data: bytes, inputs: tuple[m.TensorRef, ...], *, takes_data: bool = True) -> WorkRequest:
        body = m.encode_body(m.WorkBody("", (), inputs, None, data=data, takes_data=takes_data))
        regions = ClientRegions()
        return WorkRequest(SPEC, m.BatchItem(1, ASKER, 0, body), self.pool, self.writer, regions)

    def reply(self) -> m.Reply:
        [reply] = self.posted.replies
        assert isinstance(reply, m.Reply)
        return reply

    def output(self, name: str) -> bytes:
        """The bytes of an output, wherever they lie."""
        reply = self.reply()
        ref = next(ref for ref in reply.outputs or () if ref.name == name)
        if not reply.blocks:
            return reply.data[ref.start : ref.start + ref.size_bytes]
        block = reply.blocks[ref.block]
        return bytes(self.pool.data[block.offset + ref.start : block.offset + ref.start + ref.size_bytes])


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    pool = Pool.create(1 << 20)
    yield Room(pool)
    os.close(pool.fd)


def test_inputs_are_arrays_that_the_model_may_write_to(room: Room) -> None:
    values = np.arange(4, dtype=np.float32)
    request = room.request(values.tobytes(), (m.TensorRef(0, (4,), 0, 16),))
    assert request.inputs["A"].tolist() == values.tolist()
    request.inputs["A"][0] = 7
    assert request.inputs["A"].tolist() == [7, 1, 2, 3]


def test_inputs_begin_where_they_are_said_to(room: Room) -> None:
    data = b"\1\0\0\0x" + np.float32(2).tobytes()
    request = room.request(data, (m.TensorRef(1, (1,), 0, 5), m.TensorRef(0, (1,), 5, 4)))
    assert (request.inputs["S"].tolist(), request.inputs["A"].tolist()) == ([b"x"], [2.0])


def test_data_that_are_not_all_there_fail_the_request(room: Room) -> None:
    assert room.request(b"abc", (m.TensorRef(0, (4,), 0, 16),)).failed


@pytest.mark.parametrize("size", [1, m.INLINE_BYTES // 4, m.INLINE_BYTES // 4 + 1, 5000])
@pytest.mark.parametrize("takes_data", [True, False])
def test_an_answer_has_the_same_bytes_wherever_they_travel(room: Room, size: int, *, takes_data: bool) -> None:
    request = room.request(b"", (), takes_data=takes_data)
    values = np.arange(size, dtype=np.float32)
    request.respond({"Y": values})
    assert room.output("Y") == values.tobytes()
    assert bool(room.reply().data) == (takes_data and values.nbytes <= m.INLINE_BYTES)
    assert (room.writer.used_bytes == 0) == bool(room.reply().data)


def test_several_outputs_lie_apart(room: Room) -> None:
    values = np.arange(3, dtype=np.float32)
    room.request(b"", ()).respond({"Y": values, "Z": np.array([1, 2], np.int8)})
    assert room.reply().data
    assert (room.output("Y"), room.output("Z")) == (values.tobytes(), b"\1\2")


def test_an_output_whose_memory_changes_later_was_copied(room: Room) -> None:
    values = np.arange(3, dtype=np.float32)
    room.request(b"", ()).respond({"Y": values})
    values[:] = 9
    assert room.output("Y") == np.arange(3, dtype=np.float32).tobytes()
