"""Inputs that are lent to a model: written to and kept, they are the model's own, until it has done so too often."""

import os
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest

from tis_shm.pool import Pool
from tis_workers.model_inputs import MOST_OWNED, SMALLEST_LENT_BYTES, Array, ModelInputs

_FLOAT = np.dtype(np.float32)
_COUNT = SMALLEST_LENT_BYTES // 4


class Room:
    """A pool, and the inputs in it."""

    def __init__(self, *, lends: bool = True) -> None:
        self.pool = Pool.create(1 << 20)
        self.inputs = ModelInputs(self.pool, cast(Any, None), lends=lends)
        self.all = np.frombuffer(self.pool.data, _FLOAT)

    def arrives(self, value: float) -> Array | None:
        """The next request's input, always at the same place."""
        self.all[:_COUNT] = value
        return self.inputs.of_pool(0, SMALLEST_LENT_BYTES, _FLOAT, shared=False)

    def lent(self, value: float) -> Array:
        array = self.arrives(value)
        assert array is not None
        assert array[0] == array[-1] == value
        return array


@pytest.fixture
def room() -> Iterator[Room]:
    made = Room()
    if not made.inputs.lends:
        pytest.skip("this machine has no private mappings that tell what is written")
    yield made
    os.close(made.pool.fd)


def test_a_model_that_only_reads_is_never_given_copies(room: Room) -> None:
    for value in range(5 * MOST_OWNED):
        array = room.lent(value)
        del array
        room.inputs.settle()


def test_what_is_small_is_to_be_copied(room: Room) -> None:
    assert room.inputs.of_pool(0, SMALLEST_LENT_BYTES - 1, np.dtype(np.uint8), shared=False) is None


def test_nothing_is_lent_where_everything_is_to_be_copied() -> None:
    room = Room(lends=False)
    assert room.arrives(1) is None
    os.close(room.pool.fd)


def test_what_is_written_is_not_in_the_pool_and_not_in_the_next_request(room: Room) -> None:
    array = room.lent(1)
    array += 10
    assert room.all[0] == 1
    del array
    room.inputs.settle()
    room.lent(2)


def test_what_two_requests_of_a_batch_share_is_lent_to_one_of_them(room: Room) -> None:
    first, second = (room.inputs.of_pool(0, SMALLEST_LENT_BYTES, _FLOAT, shared=True) for _ in range(2))
    assert first is not None
    assert second is None
    assert room.inputs.of_pool(SMALLEST_LENT_BYTES, SMALLEST_LENT_BYTES, _FLOAT, shared=True) is not None
    del first
    room.inputs.settle()
    assert room.inputs.of_pool(0, SMALLEST_LENT_BYTES, _FLOAT, shared=True) is not None


def test_what_is_kept_stays_and_the_next_one_is_copied(room: Room) -> None:
    kept = room.lent(1)[::2]
    room.inputs.settle()
    assert room.arrives(2) is None, "the place is taken"
    assert set(kept.tolist()) == {1.0}
    del kept
    room.lent(3)


def test_what_is_kept_no_more_gives_its_memory_back(room: Room) -> None:
    kept = room.lent(1)
    room.inputs.settle()
    del kept
    room.inputs.tidy()
    room.lent(2)


def test_who_keeps_or_writes_too_often_is_given_copies(room: Room) -> None:
    for value in range(MOST_OWNED):
        array = room.lent(value)
        room.inputs.settle()
        del array
        # What was kept is gone, and not yet tidied up: that it was written to is seen, which counts, too.
        if not room.inputs.lends:
            break
    assert room.arrives(1) is None
    assert not room.inputs.lends
    room.inputs.tidy()
