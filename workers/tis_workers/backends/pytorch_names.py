"""Which argument of a PyTorch model an input of the config is, and which of its results an output. Pure; knows no PyTorch.

The rules are those of Triton's PyTorch backend (GetNamingConvention, ValidateInputs, ValidateOutputs). Beyond them, a model
may give a dictionary, whose keys the outputs then are.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from tis.contracts.model_spec import ModelSpec
from tis.errors import TisError, internal, invalid

_DELIMITER: Final = "__"


def index_of(name: str) -> int | None:
    """The index of a name of the form `<name>__<index>`; None for any other name."""
    _stem, found, index = name.partition(_DELIMITER)
    return int(index) if found and index.isascii() and index.isdigit() else None


def input_positions(spec: ModelSpec, arguments: Sequence[str] | None, *, takes_dict: bool = False) -> dict[str, int]:
    """The position of every tensor that the model is given: inputs, batch inputs, controls and states of sequences.

    If all inputs are names of arguments, those; if all end in an index, that; else the config's order. A model that takes a
    dictionary gets all by name.

    Args:
        spec: the completed specification.
        arguments: names of the model's arguments in order; None where the model does not say them.
        takes_dict: its only argument is a dictionary.

    Raises:
        TisError: INTERNAL without any input; INVALID_ARG where number, names or indices do not fit the model.
    """
    configured = [tensor.name for tensor in spec.inputs]
    batch_inputs = [name for each in spec.batch_inputs for name in each.names]
    if not configured and not batch_inputs:
        raise internal("model configuration must contain at least one input, none were specified.")
    own = _sequence_inputs(spec)
    names = [*configured, *batch_inputs, *own]
    if takes_dict:
        return {name: position for position, name in enumerate(names)}
    if arguments is not None and len(arguments) != len(names):
        raise invalid(
            f"unable to load model '{spec.name}', configuration expects {len(names)} inputs, model provides {len(arguments)}"
        )
    if arguments is not None and set(names) <= set(arguments):
        return {name: arguments.index(name) for name in names}
    if all(index_of(name) is not None for name in configured):
        positions = {name: index_of(name) for name in names}
    else:
        positions = {name: position for position, name in enumerate((*configured, *batch_inputs))}
        positions |= {name: index_of(name) for name in own}
    return _checked(spec, positions, arguments)


def _sequence_inputs(spec: ModelSpec) -> list[str]:
    if spec.sequences is None:
        return []
    return [*(each.name for each in spec.sequences.controls), *(each.input_name for each in spec.sequences.states)]


def _checked(spec: ModelSpec, positions: Mapping[str, int | None], arguments: Sequence[str] | None) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, position in positions.items():
        if position is None:
            raise _unnamed("input", name)
        if position in found.values():
            other = next(each for each, taken in found.items() if taken == position)
            raise invalid(f"inputs '{other}' and '{name}' of model '{spec.name}' have the same index {position}")
        found[name] = position
    if sorted(found.values()) != list(range(len(found))):
        listed = f"; its arguments are {', '.join(arguments)}" if arguments else ""
        raise invalid(
            f"inputs of model '{spec.name}' must have the indices 0 to {len(found) - 1}, got "
            f"{', '.join(str(position) for position in sorted(found.values()))}{listed}"
        )
    return found


def output_positions(spec: ModelSpec) -> dict[str, int]:
    """The position of each output and of each state of sequences among the model's results, for a model that gives several.

    Raises:
        TisError: INTERNAL without any output, or for a state without an index.
    """
    configured = [tensor.name for tensor in spec.outputs]
    if not configured:
        raise internal("model configuration must contain at least one output, none were specified.")
    indices = [index_of(name) for name in configured]
    found = {
        name: position if index is None or None in indices else index
        for position, (name, index) in enumerate(zip(configured, indices, strict=True))
    }
    for name in spec.state_outputs:
        index = index_of(name)
        if name not in found and index is None:
            raise _unnamed("output", name)
        found.setdefault(name, index or 0)
    return found


def _unnamed(side: str, name: str) -> TisError:
    return internal(f"{side} '{name}' does not follow <name>__<index> naming convention.")
