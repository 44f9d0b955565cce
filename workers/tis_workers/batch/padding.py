"""Inputs of differing lengths filled up to a common one, and outputs cut back. See `PaddingSpec` and docs/batching.md.

Each input is filled up by itself: to the bound of its bucket, or beyond the last bound to the longest of the batch. So
shapes repeat, and with buckets an answer does not depend on how long a request's neighbours are.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from tis.contracts.arrays import NUMPY
from tis.contracts.model_spec import ModelSpec
from tis.contracts.padding import filled_length, length_axis
from tis.contracts.scheduling_spec import PaddingSpec
from tis.errors import TisError, internal
from tis_workers.batch.gather import filled_up
from tis_workers.batch.parts import Array, Part
from tis_workers.batch.scatter import cut

_BF16_SHIFT: Final = 16


class Padding:
    """Filling up and cutting back for one model."""

    def __init__(self, spec: ModelSpec, padding: PaddingSpec) -> None:
        self._bounds = padding.bucket_bounds
        self._axes = {name: length_axis(spec.inputs_by_name[name]) for name in padding.inputs}
        self._values = {
            name: fill_value(spec.inputs_by_name[name].datatype, value) for name, value in padding.inputs.items()
        }
        #: The input by whose lengths outputs are cut: the first that the config names.
        self._measure = next(iter(padding.inputs))
        self._cut_axes = {name: length_axis(spec.outputs_by_name[name]) for name in padding.sliced_outputs}

    @property
    def inputs(self) -> frozenset[str]:
        """Names of the inputs that are filled up."""
        return frozenset(self._axes)

    def changes(self, request: Part) -> bool:
        """True where a request would be filled up even if it ran alone."""
        return any(
            filled_length(self._bounds, length) != length
            for length in (request.inputs[name].shape[axis] for name, axis in self._axes.items())
        )

    def filled(self, requests: Sequence[Part], name: str) -> Array:
        """An input of the whole batch."""
        arrays = [request.inputs[name] for request in requests]
        return filled_up(arrays, self._axes[name], self._length(requests, name), self._values[name])

    def cut_back(
        self, requests: Sequence[Part], name: str, parts: "list[Array | TisError]"
    ) -> "list[Array | TisError]":
        """An output's parts, cut to each request's own length where the config says so."""
        axis = self._cut_axes.get(name)
        if axis is None:
            return parts
        length = self._length(requests, self._measure)
        own_axis = self._axes[self._measure]
        done: list[Array | TisError] = []
        for request, part in zip(requests, parts, strict=True):
            if isinstance(part, TisError):
                done.append(part)
            elif part.ndim <= axis or part.shape[axis] != length:
                done.append(
                    internal(
                        f"output '{name}' has the shape {list(part.shape)}: its dimension {axis} should be the length of "
                        f"input '{self._measure}', which is {length} in this batch; take the output out of "
                        "'tis.sliced_outputs' if it has no such dimension"
                    )
                )
            else:
                done.append(cut(part, axis, request.inputs[self._measure].shape[own_axis]))
        return done

    def _length(self, requests: Sequence[Part], name: str) -> int:
        axis = self._axes[name]
        return filled_length(self._bounds, max(request.inputs[name].shape[axis] for request in requests))


def fill_value(datatype: str, value: float) -> Array:
    """A scalar to fill with. BF16 is its bits in uint16, as everywhere; the value is rounded to the nearest."""
    if datatype != "BF16":
        return np.array(value).astype(NUMPY[datatype])
    if np.isnan(value):
        return np.array(0x7FC0, NUMPY["BF16"])
    bits = int(np.array(value, np.float32).view(np.uint32))
    rounding = 0x7FFF + (bits >> _BF16_SHIFT & 1)
    return np.array(bits + rounding >> _BF16_SHIFT, NUMPY["BF16"])
