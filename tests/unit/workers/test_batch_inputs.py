"""Batch inputs have Triton's shapes and values. The examples are those of its own test (qa/L0_batch_input)."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tis.contracts.scheduling_spec import BatchInputSpec
from tis.errors import Code, TisError
from tis_workers.batch.batch_inputs import batch_input

Shape = tuple[int, ...]
FLAT = ((1, 2), (1, 4), (1, 1), (1, 3))
ITEMS = ((2, 1, 2), (1, 1, 2), (1, 2, 2))

shapes = st.integers(0, 3).flatmap(
    lambda rank: st.lists(st.tuples(*[st.integers(0, 4)] * (rank + 1)), min_size=1, max_size=6)
)


def made(kind: str, sources: Sequence[Shape], datatype: str = "FP32") -> np.ndarray:
    return batch_input(BatchInputSpec(kind, ("T",), datatype, "S"), sources)


@pytest.mark.parametrize("datatype", ["FP32", "INT32"])
@pytest.mark.parametrize(
    ("kind", "sources", "values"),
    [
        ("ELEMENT_COUNT", FLAT, [2, 4, 1, 3]),
        ("ELEMENT_COUNT", ITEMS, [4, 2, 4]),
        ("ACCUMULATED_ELEMENT_COUNT", FLAT, [2, 6, 7, 10]),
        ("ACCUMULATED_ELEMENT_COUNT_WITH_ZERO", FLAT, [0, 2, 6, 7, 10]),
        ("MAX_ELEMENT_COUNT_AS_SHAPE", FLAT, [0, 0, 0, 0]),
        ("ITEM_SHAPE", ITEMS, [[1, 2], [1, 2], [1, 2], [2, 2]]),
        ("ITEM_SHAPE_FLATTEN", ITEMS, [1, 2, 1, 2, 1, 2, 2, 2]),
        ("ITEM_SHAPE_FLATTEN", ((1, 4, 1), (1, 1, 2), (1, 1, 2), (1, 2, 2)), [4, 1, 1, 2, 1, 2, 2, 2]),
    ],
)
def test_the_values_are_those_of_triton(kind: str, sources: Sequence[Shape], values: list[int], datatype: str) -> None:
    tensor = made(kind, sources, datatype)
    assert tensor.dtype == {"FP32": np.float32, "INT32": np.int32}[datatype]
    assert tensor.tolist() == values


@given(shapes)
def test_every_kind_agrees_with_counting_by_hand(sources: list[Shape]) -> None:
    counts = []
    for shape in sources:
        count = 1
        for size in shape:
            count *= size
        counts.append(count)
    items = [shape[1:] for shape in sources for _ in range(shape[0])]
    rank = len(sources[0]) - 1
    assert made("ELEMENT_COUNT", sources).tolist() == counts
    assert made("ACCUMULATED_ELEMENT_COUNT", sources).tolist() == [sum(counts[: end + 1]) for end in range(len(counts))]
    assert made("ACCUMULATED_ELEMENT_COUNT_WITH_ZERO", sources).tolist() == [
        sum(counts[:end]) for end in range(len(counts) + 1)
    ]
    assert made("MAX_ELEMENT_COUNT_AS_SHAPE", sources).shape == (max(counts),)
    assert made("ITEM_SHAPE", sources).shape == (len(items), rank)
    assert made("ITEM_SHAPE", sources).tolist() == [list(item) for item in items]
    assert made("ITEM_SHAPE_FLATTEN", sources).tolist() == [size for item in items for size in item]


def test_a_kind_that_is_not_known_is_told() -> None:
    with pytest.raises(TisError, match="unsupported BatchInputKind received: BATCH_MOON") as caught:
        made("MOON", FLAT)
    assert caught.value.code is Code.INTERNAL
