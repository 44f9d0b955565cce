"""Rejections of `sequence_batching`.

Texts begin with Triton's words (ValidateModelConfig, Get*SequenceControlProperties).
"""

from collections.abc import Iterator
from typing import Final

from tis.config.proto import Message, enum_name, model_config_pb2
from tis.errors import invalid

_CORRID: Final = model_config_pb2.ModelSequenceBatching.Control.CONTROL_SEQUENCE_CORRID
_WILDCARD: Final = -1
_VALUE_PAIRS: Final = ("int32_false_true", "fp32_false_true", "bool_false_true")
_CORRID_TYPES: Final = ("TYPE_UINT64", "TYPE_INT64", "TYPE_UINT32", "TYPE_INT32", "TYPE_STRING")


def check_sequence_batching(config: Message) -> None:
    """Rejects a wrong sequence batcher.

    Raises:
        TisError: INVALID_ARG.
    """
    name, batching = config.name, config.sequence_batching
    if config.response_cache.enable:
        raise invalid(
            f"Response Cache does not currently support model {name} with sequence batching scheduler. "
            "Please disable the response cache."
        )
    for control in _controls(name, batching):
        if control.kind == _CORRID:
            _check_corrid(name, control)
        else:
            _check_boolean(name, control)
    if batching.HasField("oldest"):
        for size in batching.oldest.preferred_batch_size:
            if size <= 0:
                raise invalid(f"sequence batching preferred batch size must be positive for {name}; got {size}")
            if size > config.max_batch_size:
                raise invalid(
                    f"sequence batching preferred batch size must be <= max batch size for {name}; got {size} with "
                    f"max_batch_size {config.max_batch_size}"
                )
    for state in batching.state:
        _check_initial_state(state)
    utilization = batching.direct.minimum_slot_utilization
    if not 0.0 <= utilization <= 1.0:
        raise invalid(
            f"sequence batching minimum slot utilization must be in range (0.0, 1.0] for {name}; got {utilization:g}"
        )


def _check_initial_state(state: Message) -> None:
    """What a state begins with must be of its own type and of fixed size (SequenceBatchScheduler::Create and below)."""
    name = state.input_name
    if len(state.initial_state) > 1:
        raise invalid(
            f"initial_state field for state input '{name}' must contain exactly one or zero element. Found "
            f"'{len(state.initial_state)}' elements."
        )
    for initial in state.initial_state:
        if initial.data_type != state.data_type:
            raise invalid(
                f"The data type used for 'initial_state' field of state '{name}' does not match the state data type."
            )
        if not initial.name:
            raise invalid(f"Field 'name' must be set when using initial_state for state input '{name}'.")
        if len(initial.dims) != len(state.dims):
            raise invalid(
                f"Number of dimensions in 'initial_state' doesn't match the size of 'state' dimensions for state input "
                f"'{name}'. {len(initial.dims)} != {len(state.dims)}"
            )
        for given, wanted in zip(initial.dims, state.dims, strict=True):
            if given == _WILDCARD:
                raise invalid(f"'initial_state' field for state input name '{name}' contains variable dimensions.")
            if wanted not in (_WILDCARD, given):
                raise invalid(
                    f"'initial_state' dim for input name '{name}' doesn't match 'state' dim description. "
                    f"{given} != {wanted}"
                )
        if initial.WhichOneof("state_data") is None:
            raise invalid(f"initial_state setting expects state'{name}' to have state_data set")


def _controls(name: str, batching: Message) -> Iterator[Message]:
    """Every control, in order; tensors and kinds are unique."""
    tensors: set[str] = set()
    kinds: set[int] = set()
    for tensor in batching.control_input:
        if not tensor.name:
            raise invalid(f"sequence batching control tensor must have a name for {name}")
        if tensor.name in tensors:
            raise invalid(
                f"sequence batching control tensor '{tensor.name}' is specified for multiple control kinds for {name}"
            )
        tensors.add(tensor.name)
        for control in tensor.control:
            if control.kind in kinds:
                raise invalid(f"sequence batching specifies multiple {enum_name(control, 'kind')} tensors for {name}")
            kinds.add(control.kind)
            yield control


def _check_boolean(name: str, control: Message) -> None:
    """START, END and READY need exactly one pair of values, for false and for true."""
    kind = enum_name(control, "kind")
    given = [field for field in _VALUE_PAIRS if getattr(control, field)]
    if not given:
        raise invalid(
            "sequence batching must specify either 'int32_false_true', 'fp32_false_true' or 'bool_false_true' "
            f"for {kind} for {name}"
        )
    if len(given) > 1:
        raise invalid(
            "sequence batching specifies more than one from 'int32_false_true', 'fp32_false_true' and "
            f"'bool_false_true' for {kind} for {name}; got {', '.join(given)}"
        )
    values = getattr(control, given[0])
    if len(values) != 2:
        raise invalid(
            f"sequence batching control '{given[0]}' must have exactly 2 entries for {kind} for {name}; "
            f"got {len(values)}"
        )


def _check_corrid(name: str, control: Message) -> None:
    """CORRID needs a datatype and no pair of values."""
    kind = enum_name(control, "kind")
    if any(getattr(control, field) for field in _VALUE_PAIRS):
        raise invalid(
            "sequence batching must not specify either 'int32_false_true', 'fp32_false_true' or 'bool_false_true' "
            f"for {kind} for {name}"
        )
    data_type = enum_name(control, "data_type")
    if data_type not in _CORRID_TYPES:
        raise invalid(
            f"unexpected data type for control {kind} for {name}. Allowed data types are TYPE_UINT64, TYPE_INT64, "
            f"TYPE_UINT32, TYPE_INT32 and TYPE_STRING; got {data_type}"
        )
