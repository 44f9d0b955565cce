"""From requests to a batch: their arrays one behind the other, each copied once."""

from collections.abc import Sequence

import numpy as np

from tis_workers.batch.parts import Array, Arrays, Part


def gather(requests: Sequence[Part]) -> Arrays:
    """The batch's inputs: rows of one request behind those of another. All have the same inputs and dimensions."""
    return {name: np.concatenate([request.inputs[name] for request in requests]) for name in requests[0].inputs}


def flattened(arrays: Sequence[Array]) -> Array:
    """The elements of all arrays in one dimension, as a model gets a ragged input. A single array is not copied."""
    if len(arrays) == 1:
        return arrays[0].reshape(-1)
    return np.concatenate([array.reshape(-1) for array in arrays])


def filled_up(arrays: Sequence[Array], axis: int, length: int, value: Array) -> Array:
    """Rows of all arrays, filled up behind with a value to a length of one dimension.

    Args:
        arrays: of equal shape but for the first dimension and the one at `axis`.
        axis: the dimension to fill up; not the first.
        length: what it shall have, at least the most that any array has.
        value: a scalar of the arrays' dtype.
    """
    if all(array.shape[axis] == length for array in arrays):
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    shape = list(arrays[0].shape)
    shape[0] = sum(array.shape[0] for array in arrays)
    shape[axis] = length
    batch = np.full(shape, value, value.dtype)
    lengthwise = np.moveaxis(batch, axis, 1)
    at = 0
    for array in arrays:
        end = at + array.shape[0]
        lengthwise[at:end, : array.shape[axis]] = np.moveaxis(array, axis, 1)
        at = end
    return batch
