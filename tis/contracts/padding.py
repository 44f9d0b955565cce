"""Lengths of inputs that are filled up: what frontends sort requests by, and workers fill up to, so that both agree.

A length is the size of a tensor's first variable dimension. See `PaddingSpec`, which says what is filled up.
"""

from bisect import bisect_left
from collections.abc import Sequence

from tis.contracts.model_spec import TensorSpec


def length_axis(tensor: TensorSpec) -> int:
    """Which dimension of a batched tensor its length is, the batch dimension counted.

    Raises:
        ValueError: the tensor has no variable dimension.
    """
    return tensor.shape.index(-1) + 1


def bucket_of(bounds: Sequence[int], length: int) -> int:
    """The bucket of a length, from 0: bucket n reaches up to and with bound n, the last one has no bound."""
    return bisect_left(bounds, length)


def filled_length(bounds: Sequence[int], longest: int) -> int:
    """What inputs of one bucket are filled up to: the bucket's bound, or beyond the last bound their longest."""
    bucket = bisect_left(bounds, longest)
    return bounds[bucket] if bucket < len(bounds) else longest
