"""TensorFlow models: SavedModels and GraphDefs, on the CPU or, for GPU instances, on a GPU.

What parameters of the config mean is in `tensorflow_options.py`, how models are opened in `tensorflow_model.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tis.contracts.arrays import NUMPY
from tis.contracts.model_spec import ModelSignature, TensorSignature
from tis.errors import internal, invalid
from tis_workers.backends.base import Arrays, LoadContext, TensorBackend
from tis_workers.backends.tensorflow_keeping import keeps_inputs
from tis_workers.backends.tensorflow_model import (
    BF16,
    GraphTensor,
    Shapes,
    configured,
    is_stateful,
    open_model,
    path_of,
    said,
)
from tis_workers.backends.tensorflow_options import options

#: Sets of inputs and outputs for which a way through the graph is remembered.
_PATHS_REMEMBERED: Final = 64


def load(context: LoadContext) -> "TensorFlowBackend":
    """Load the model of an instance.

    Raises:
        TisError: as `open_model` says; INVALID_ARG for parameters that are none.
    """
    return TensorFlowBackend(context)


class TensorFlowBackend(TensorBackend):
    """One session."""

    def __init__(self, context: LoadContext) -> None:
        self._model = open_model(context, options(context))
        self._context = context
        fetches = [tensor.name for tensor in self._model.outputs.values()]
        self._copies = keeps_inputs(self._model.graph.as_graph_def(), fetches, is_stateful)
        self._paths: dict[tuple[tuple[str, ...], tuple[str, ...]], Callable[..., Any]] = {}

    def signature(self) -> ModelSignature:
        """What the signature or, of a GraphDef, the graph says of the inputs and outputs.

        Where that leaves open how many dimensions there are, those of the config count.

        Raises:
            TisError: INVALID_ARG where the config does not say them either.
        """
        model = self._context.spec.name
        given, answered = configured(self._context)
        return ModelSignature(
            _declared(self._model.inputs, given, model), _declared(self._model.outputs, answered, model)
        )

    def run(self, inputs: Arrays, outputs: Sequence[str]) -> Arrays:
        """One run of the session, as far as these outputs need it."""
        key = (tuple(inputs), tuple(outputs))
        path = self._paths.get(key) or self._path(key)
        feeds = [self._feed(self._model.inputs[name], array) for name, array in inputs.items()]
        try:
            values = path(*feeds)
        except Exception as error:
            raise internal(f"tensorflow error: {said(error)}") from error
        return {name: self._result(value) for name, value in zip(outputs, values, strict=True)}

    def finalize(self) -> None:
        """End the session, and with it its threads."""
        self._paths.clear()
        self._model.session.close()

    def _path(self, key: tuple[tuple[str, ...], tuple[str, ...]]) -> Callable[..., Any]:
        """What runs the graph for these inputs and outputs; made once, since that takes much longer than a small run."""
        inputs, outputs = key
        feeds = [self._model.inputs[name].name for name in inputs]
        path = path_of(self._model.session, feeds, [self._model.outputs[name].name for name in outputs])
        if len(self._paths) >= _PATHS_REMEMBERED:
            self._paths.clear()
        self._paths[key] = path
        return path

    def _feed(self, tensor: GraphTensor, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """An input as TensorFlow takes it."""
        if tensor.shape == () and array.shape == (1,):
            array = array.reshape(())
        if tensor.datatype == "BF16":
            array = array.view(BF16)
        return array.copy() if self._copies else array

    def _result(self, value: Any) -> npt.NDArray[Any]:
        array: npt.NDArray[Any] = np.asarray(value)
        return array.view(NUMPY["BF16"]) if array.dtype == BF16 else array


def _declared(tensors: Mapping[str, GraphTensor], said: Shapes, model: str) -> tuple[TensorSignature, ...]:
    """Inputs or outputs; `said`: those that the config gives the model."""
    found: list[TensorSignature] = []
    for name, tensor in tensors.items():
        shape = tensor.shape if tensor.shape is not None else said.get(name)
        if shape is None and not said:
            raise invalid(
                f"Unable to autofill for '{model}': the rank of model tensor '{name}' is not known and its dimensions are "
                "not defined in the config"
            )
        # One that the config does not list is not served, or is checked by its own rules.
        found.append(TensorSignature(name, tensor.datatype, (-1,) if shape is None else shape))
    return tuple(found)
