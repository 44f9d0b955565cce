"""Implicit state: the tensors that a worker keeps for each sequence between its requests. Arrays only.

A sequence's slot names its state. It begins with what the config says, is what the model gave after its last request that
succeeded, and is dropped when the sequence ends.
"""

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tis.contracts.arrays import NUMPY, decode_bytes
from tis.contracts.datatypes import ELEMENT_BYTES
from tis.contracts.model_spec import ModelSpec
from tis.contracts.scheduling_spec import StateSpec
from tis.errors import internal, invalid

Array = npt.NDArray[Any]

_FOLDER: Final = "initial_state"


class States:
    """The states of one model instance."""

    def __init__(self, spec: ModelSpec) -> None:
        self._specs = spec.sequences.states if spec.sequences is not None else ()
        #: What every sequence begins with, by input name; nobody writes to these.
        self._initial = initial_states(spec)
        self._of_slot: dict[int, dict[str, Array]] = {}
        #: Whether sequences of one batch may have states of different shapes.
        self.vary: Final = any(-1 in state.shape for state in self._specs)

    def __bool__(self) -> bool:
        return bool(self._specs)

    def begin(self, slot: int) -> None:
        """A new sequence has the slot."""
        self._of_slot[slot] = dict(self._initial)

    def of(self, slot: int) -> Mapping[str, Array]:
        """The state of a slot's sequence by input name; with batching, the first dimension is 1."""
        return self._of_slot.get(slot, self._initial)

    def keep(self, slot: int, outputs: Mapping[str, Array]) -> None:
        """A request has succeeded: its outputs are the state that the next one sees."""
        kept = self._of_slot.setdefault(slot, dict(self._initial))
        for state in self._specs:
            if state.output_name in outputs:
                kept[state.input_name] = _kept(outputs[state.output_name])

    def end(self, slot: int) -> None:
        """The sequence has ended."""
        self._of_slot.pop(slot, None)


def nothing_like(states: Mapping[str, Array]) -> dict[str, Array]:
    """The state of a filler that shares a batch with these: zeros of their shapes."""
    return {name: _zeros(array.dtype, array.shape) for name, array in states.items()}


def initial_states(spec: ModelSpec) -> dict[str, Array]:
    """What every sequence of a model begins with, by input name.

    Raises:
        TisError: INVALID_ARG for a file that holds too little or lies elsewhere, INTERNAL for one that cannot be read.
    """
    lead = (1,) if spec.max_batch_size > 0 else ()
    states = spec.sequences.states if spec.sequences is not None else ()
    return {state.input_name: _initial(spec, state, lead) for state in states}


def _initial(spec: ModelSpec, state: StateSpec, lead: tuple[int, ...]) -> Array:
    shape = tuple(1 if dim == -1 else dim for dim in state.shape)
    if state.initial_shape is not None:
        shape = state.initial_shape
    if not state.initial_file:
        return _zeros(NUMPY.get(state.datatype, np.dtype(np.object_)), (*lead, *shape))
    data = _read(Path(spec.model_path) / _FOLDER, state.initial_file)
    if state.datatype == "BYTES":
        try:
            return decode_bytes(data, (*lead, *shape))
        except ValueError as error:
            raise invalid(f"initial state of '{state.input_name}' in {state.initial_file}: {error}") from None
    size_bytes = prod(shape) * ELEMENT_BYTES[state.datatype]
    if len(data) < size_bytes:
        raise invalid(
            f"initial_state setting expects {size_bytes} bytes, but the data provided from {state.initial_file} only has "
            f"{len(data)} bytes."
        )
    return np.frombuffer(data[:size_bytes], NUMPY[state.datatype]).reshape((*lead, *shape))


def _read(folder: Path, name: str) -> bytes:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise invalid(f"file '{name}' of an initial state lies outside of {folder}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise internal(f"failed to open text file for read {path}: {error.strerror}") from None


def _zeros(dtype: "np.dtype[Any]", shape: Sequence[int]) -> Array:
    return np.full(shape, b"", np.object_) if dtype == np.object_ else np.zeros(shape, dtype)


def _kept(array: Array) -> Array:
    """An output as an input: strings as bytes, and no view that would keep a whole batch in memory."""
    if array.dtype.kind in "OSU":
        kept = np.empty(array.shape, np.object_)
        kept.ravel()[:] = [each.encode() if isinstance(each, str) else bytes(each) for each in array.ravel()]
        return kept
    return array if array.base is None else array.copy()
