"""Batches of models whose config asks for more than whole rows: ragged inputs, batch inputs and outputs, padding."""

from collections.abc import Sequence

import numpy as np

from tis.contracts.model_spec import ModelSpec
from tis.contracts.scheduling_spec import BatchInputSpec
from tis.errors import TisError, invalid
from tis_workers.batch.batch_inputs import batch_input
from tis_workers.batch.gather import flattened
from tis_workers.batch.padding import Padding
from tis_workers.batch.parts import Answers, Array, Arrays, Part
from tis_workers.batch.scatter import by_shapes, rows, together


class Shaping:
    """Gathering and scattering for one such model."""

    def __init__(self, spec: ModelSpec) -> None:
        self._batched = spec.max_batch_size > 0
        self._ragged = frozenset(tensor.name for tensor in spec.inputs if tensor.allow_ragged_batch)
        self._batch_inputs = spec.batch_inputs
        padding = spec.extensions.padding
        self._padding = Padding(spec, padding) if padding is not None else None
        self._filled = self._padding.inputs if self._padding is not None else frozenset()
        #: Outputs that are scattered by the shapes of an input: its name, and the output's shape, where -1 is the size of
        #: the same dimension of the input.
        self._scattered: dict[str, tuple[str, tuple[int, ...]]] = {}
        for batch_output in spec.batch_outputs:
            for name in batch_output.names:
                output = spec.outputs_by_name[name]
                shape = output.shape if output.reshape is None else output.reshape
                self._scattered[name] = (batch_output.source, (-1, *shape) if self._batched else shape)

    def leaves(self, request: Part) -> bool:
        """True where a request that runs alone runs as it is, and its outputs are its answer as they are."""
        if self._ragged or self._batch_inputs or self._scattered:
            return False
        return self._padding is None or not self._padding.changes(request)

    def gather(self, requests: Sequence[Part]) -> Arrays:
        """The batch's inputs, those that the server makes among them.

        Raises:
            TisError: INVALID_ARG where a request lacks the input that one is made from.
        """
        inputs = {name: self._gathered(requests, name) for name in requests[0].inputs}
        for spec in self._batch_inputs:
            array = batch_input(spec, [_source(request, spec).shape for request in requests])
            inputs.update(dict.fromkeys(spec.names, array))
        return inputs

    def scatter(self, requests: Sequence[Part], outputs: Arrays) -> Answers:
        """Each request's part of every output."""
        counts = [request.batch_size for request in requests]
        parts: dict[str, list[Array | TisError]] = {}
        for name, array in outputs.items():
            if name in self._scattered:
                parts[name] = by_shapes(name, array, self._shapes(requests, *self._scattered[name]))
            elif self._batched:
                parts[name] = rows(name, array, counts)
            else:
                parts[name] = [array]
            if self._padding is not None:
                parts[name] = self._padding.cut_back(requests, name, parts[name])
        return together(len(requests), parts)

    def _gathered(self, requests: Sequence[Part], name: str) -> Array:
        if self._padding is not None and name in self._filled:
            return self._padding.filled(requests, name)
        arrays = [request.inputs[name] for request in requests]
        if name in self._ragged:
            return flattened(arrays)
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)

    def _shapes(self, requests: Sequence[Part], source: str, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        """The shape of an output for each request."""
        return [
            tuple(request.inputs[source].shape[axis] if size == -1 else size for axis, size in enumerate(shape))
            for request in requests
        ]


def shaping_of(spec: ModelSpec) -> Shaping | None:
    """How batches of a model are made; None for the common way."""
    asked = (
        any(tensor.allow_ragged_batch for tensor in spec.inputs)
        or spec.batch_inputs
        or spec.batch_outputs
        or spec.extensions.padding is not None
    )
    return Shaping(spec) if asked else None


def _source(request: Part, spec: BatchInputSpec) -> Array:
    source = request.inputs.get(spec.source)
    if source is None:
        raise invalid(f"input '{spec.source}' is missing, which batch input '{', '.join(spec.names)}' is made from")
    return source
