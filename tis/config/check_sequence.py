"""Rejections of `sequence_batching`.

Texts begin with Triton's words (ValidateModelConfig, Get*SequenceControlProperties).
"""

from typing import Final

from tis.config.fault import ConfigFault, Faults
from tis.config.proto import Message, enum_name, model_config_pb2

_CORRID: Final = model_config_pb2.ModelSequenceBatching.Control.CONTROL_SEQUENCE_CORRID
_WILDCARD: Final = -1
_VALUE_PAIRS: Final = ("int32_false_true", "fp32_false_true", "bool_false_true")
_CORRID_TYPES: Final = ("TYPE_UINT64", "TYPE_INT64", "TYPE_UINT32", "TYPE_INT32", "TYPE_STRING")


def sequence_faults(config: Message) -> Faults:
    """Everything that is wrong with a config's sequence batcher, all of it INVALID_ARG; what Triton tells comes first."""
    name, batching = config.name, config.sequence_batching
    if config.response_cache.enable:
        yield ConfigFault(
            "response_cache.enable",
            f"Response Cache does not currently support model {name} with sequence batching scheduler. "
            "Please disable the response cache.",
            expected="false",
        )
    yield from _control_faults(name, batching)
    if batching.HasField("oldest"):
        yield from _preferred_faults(config, batching.oldest)
    for index, state in enumerate(batching.state):
        yield from _initial_state_faults(f"sequence_batching.state[{index}].initial_state", state)
    utilization = batching.direct.minimum_slot_utilization
    if not 0.0 <= utilization <= 1.0:
        yield ConfigFault(
            "sequence_batching.direct.minimum_slot_utilization",
            f"sequence batching minimum slot utilization must be in range (0.0, 1.0] for {name}; got {utilization:g}",
            expected="0.0 to 1.0",
        )


def _preferred_faults(config: Message, oldest: Message) -> Faults:
    expected = f"1 to max_batch_size, which is {config.max_batch_size}"
    for index, size in enumerate(oldest.preferred_batch_size):
        at = f"sequence_batching.oldest.preferred_batch_size[{index}]"
        if size <= 0:
            text = f"sequence batching preferred batch size must be positive for {config.name}; got {size}"
            yield ConfigFault(at, text, expected=expected)
        if size > config.max_batch_size:
            yield ConfigFault(
                at,
                f"sequence batching preferred batch size must be <= max batch size for {config.name}; got {size} with "
                f"max_batch_size {config.max_batch_size}",
                expected=expected,
            )


def _initial_state_faults(field: str, state: Message) -> Faults:
    """What a state begins with must be of its own type and of fixed size (SequenceBatchScheduler::Create and below)."""
    name = state.input_name
    if len(state.initial_state) > 1:
        yield ConfigFault(
            field,
            f"initial_state field for state input '{name}' must contain exactly one or zero element. Found "
            f"'{len(state.initial_state)}' elements.",
            expected="at most one",
        )
    for index, initial in enumerate(state.initial_state):
        at = f"{field}[{index}]"
        if initial.data_type != state.data_type:
            yield ConfigFault(
                f"{at}.data_type",
                f"The data type used for 'initial_state' field of state '{name}' does not match the state data type.",
                expected=enum_name(state, "data_type"),
            )
        if not initial.name:
            text = f"Field 'name' must be set when using initial_state for state input '{name}'."
            yield ConfigFault(f"{at}.name", text, expected="a name")
        yield from _initial_dims_faults(f"{at}.dims", name, initial, state)
        if initial.WhichOneof("state_data") is None:
            text = f"initial_state setting expects state'{name}' to have state_data set"
            yield ConfigFault(at, text, expected="zero_data or data_file")


def _initial_dims_faults(at: str, name: str, initial: Message, state: Message) -> Faults:
    if len(initial.dims) != len(state.dims):
        yield ConfigFault(
            at,
            f"Number of dimensions in 'initial_state' doesn't match the size of 'state' dimensions for state input "
            f"'{name}'. {len(initial.dims)} != {len(state.dims)}",
            expected=f"{len(state.dims)} dims",
        )
        return
    for index, (given, wanted) in enumerate(zip(initial.dims, state.dims, strict=True)):
        if given == _WILDCARD:
            text = f"'initial_state' field for state input name '{name}' contains variable dimensions."
            yield ConfigFault(f"{at}[{index}]", text, expected="1 or more")
        elif wanted not in (_WILDCARD, given):
            yield ConfigFault(
                f"{at}[{index}]",
                f"'initial_state' dim for input name '{name}' doesn't match 'state' dim description. {given} != {wanted}",
                expected=str(wanted),
            )


def _control_faults(name: str, batching: Message) -> Faults:
    """Tensors and kinds are unique, and every control is whole."""
    tensors: set[str] = set()
    kinds: set[int] = set()
    for index, tensor in enumerate(batching.control_input):
        field = f"sequence_batching.control_input[{index}]"
        if not tensor.name:
            text = f"sequence batching control tensor must have a name for {name}"
            yield ConfigFault(f"{field}.name", text, expected="a name")
        elif tensor.name in tensors:
            text = (
                f"sequence batching control tensor '{tensor.name}' is specified for multiple control kinds for {name}"
            )
            yield ConfigFault(f"{field}.name", text, expected="each tensor once")
        tensors.add(tensor.name)
        for place, control in enumerate(tensor.control):
            at = f"{field}.control[{place}]"
            if control.kind in kinds:
                text = f"sequence batching specifies multiple {enum_name(control, 'kind')} tensors for {name}"
                yield ConfigFault(f"{at}.kind", text, expected="each kind once")
            kinds.add(control.kind)
            yield from (_corrid_faults if control.kind == _CORRID else _boolean_faults)(name, at, control)


def _boolean_faults(name: str, at: str, control: Message) -> Faults:
    """START, END and READY need exactly one pair of values, for false and for true."""
    kind = enum_name(control, "kind")
    given = [field for field in _VALUE_PAIRS if getattr(control, field)]
    if not given:
        yield ConfigFault(
            at,
            "sequence batching must specify either 'int32_false_true', 'fp32_false_true' or 'bool_false_true' "
            f"for {kind} for {name}",
            expected=f"one of {', '.join(_VALUE_PAIRS)}",
        )
        return
    if len(given) > 1:
        yield ConfigFault(
            f"{at}.{given[1]}",
            "sequence batching specifies more than one from 'int32_false_true', 'fp32_false_true' and "
            f"'bool_false_true' for {kind} for {name}; got {', '.join(given)}",
            expected=f"one of {', '.join(given)}",
        )
    for field in given:
        values = getattr(control, field)
        if len(values) != 2:
            yield ConfigFault(
                f"{at}.{field}",
                f"sequence batching control '{field}' must have exactly 2 entries for {kind} for {name}; "
                f"got {len(values)}",
                expected="two values",
            )


def _corrid_faults(name: str, at: str, control: Message) -> Faults:
    """CORRID needs a datatype and no pair of values."""
    kind = enum_name(control, "kind")
    given = [field for field in _VALUE_PAIRS if getattr(control, field)]
    if given:
        yield ConfigFault(
            f"{at}.{given[0]}",
            "sequence batching must not specify either 'int32_false_true', 'fp32_false_true' or 'bool_false_true' "
            f"for {kind} for {name}",
            expected="nothing",
        )
    data_type = enum_name(control, "data_type")
    if data_type not in _CORRID_TYPES:
        yield ConfigFault(
            f"{at}.data_type",
            f"unexpected data type for control {kind} for {name}. Allowed data types are TYPE_UINT64, TYPE_INT64, "
            f"TYPE_UINT32, TYPE_INT32 and TYPE_STRING; got {data_type}",
            expected=f"one of {', '.join(_CORRID_TYPES)}",
        )
