"""`batch_input`: tensors that tell a model how its batch is made up. Kinds, shapes and values are Triton's.

Counts are of requests, as Triton has them, not of items: a request of two items and 3 elements each counts as one of 6.
The rules are those of BackendInputCollector (BatchInputShape, ProcessBatchInput).
"""

from collections.abc import Sequence
from math import prod

import numpy as np

from tis.contracts.arrays import NUMPY
from tis.contracts.scheduling_spec import BatchInputSpec
from tis.errors import internal
from tis_workers.batch.parts import Array

Shape = tuple[int, ...]


def batch_input(spec: BatchInputSpec, shapes: Sequence[Shape]) -> Array:
    """The tensor that all of `spec.names` get, of `spec.datatype` (INT32 or FP32).

    Args:
        spec: what is wanted.
        shapes: the source input's shape in each request, with the batch dimension, after `reshape`.

    Raises:
        TisError: INTERNAL for a kind that is not known.
    """
    return _values(spec.kind, shapes).astype(NUMPY[spec.datatype])


def _values(kind: str, shapes: Sequence[Shape]) -> Array:
    counts = [prod(shape) for shape in shapes]
    if kind == "ELEMENT_COUNT":
        return np.array(counts, np.int64)
    if kind == "ACCUMULATED_ELEMENT_COUNT":
        return np.cumsum(np.array(counts, np.int64))
    if kind == "ACCUMULATED_ELEMENT_COUNT_WITH_ZERO":
        return np.cumsum(np.array([0, *counts], np.int64))
    if kind == "MAX_ELEMENT_COUNT_AS_SHAPE":
        # Only the shape says something. Triton leaves the values to chance.
        return np.zeros(max(counts), np.int64)
    if kind == "ITEM_SHAPE":
        return _item_shapes(shapes)
    if kind == "ITEM_SHAPE_FLATTEN":
        return _item_shapes(shapes).reshape(-1)
    raise internal(f"unsupported BatchInputKind received: BATCH_{kind}")


def _item_shapes(shapes: Sequence[Shape]) -> Array:
    """A row for each item of the batch: its shape without the batch dimension."""
    items = [shape[1:] for shape in shapes for _ in range(shape[0])]
    return np.array(items, np.int64).reshape(len(items), len(shapes[-1]) - 1)
