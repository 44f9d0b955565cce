"""Batches are gathered right whatever came before, in memory that is kept as long as it is of use."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.workers.parts import Sent
from tis_workers.batch.gather import gather
from tis_workers.batch.kept_buffers import KeptBuffers
from tis_workers.batch.parts import Array

LARGE = 40_000


def numbers(rows: int, width: int, dtype: str = "float32") -> Array:
    return np.arange(rows * width).reshape(rows, width).astype(dtype)


def requests(*counts: int, width: int = LARGE) -> list[Sent]:
    return [Sent(count, {"A": numbers(count, width) + at, "B": numbers(count, 3)}) for at, count in enumerate(counts)]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(1, 3), min_size=1, max_size=4),
            st.sampled_from([0, 1, 1000, LARGE, LARGE + 1]),
            st.sampled_from(["float32", "int8", "bool", "float64"]),
            st.booleans(),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_every_batch_is_what_gathering_in_fresh_memory_gives(batches: list[tuple[list[int], int, str, bool]]) -> None:
    buffers = KeptBuffers()
    last = last_expected = np.empty(0)
    for start, (counts, width, dtype, beside) in enumerate(batches):
        sent = [Sent(count, {"A": numbers(count, width, dtype) + start}) for count in counts]
        gathered, expected = buffers.gather(sent, beside=beside)["A"], gather(sent)["A"]
        assert gathered.dtype == expected.dtype
        assert np.array_equal(gathered, expected)
        if beside:
            assert np.array_equal(last, last_expected), "the batch that may still be computed is as it was"
        last, last_expected = gathered, expected


def test_strings_are_gathered_as_they_are() -> None:
    strings = np.array([[b"a"] * LARGE], np.object_)
    sent = [Sent(1, {"S": strings}), Sent(1, {"S": strings})]
    buffers = KeptBuffers()
    assert buffers.gather(sent)["S"].shape == (2, LARGE)
    assert not buffers.kept_bytes


def test_large_batches_share_their_memory_and_small_tensors_have_their_own() -> None:
    buffers = KeptBuffers()
    first = buffers.gather(requests(2, 2))
    second = buffers.gather(requests(1, 1))
    assert np.shares_memory(first["A"], second["A"])
    assert not np.shares_memory(first["B"], second["B"])
    assert buffers.kept_bytes >= first["A"].nbytes


def test_what_is_not_used_for_some_looks_is_given_up() -> None:
    buffers = KeptBuffers()
    buffers.gather(requests(1, 1))
    for _ in range(4):
        buffers.look()
        buffers.gather(requests(1, 1))
    assert buffers.kept_bytes
    for _ in range(10):
        buffers.look()
    assert not buffers.kept_bytes
    assert buffers.gather(requests(1, 2))["A"].shape == (3, LARGE)
