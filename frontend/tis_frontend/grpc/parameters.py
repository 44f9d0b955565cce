"""The parameters of a ModelInferRequest, of its outputs, and those of its response: their types and Triton's words."""

from collections.abc import Iterable, Mapping
from re import Pattern
from typing import Any, Final

from tis.contracts.inference import InferRequest, Parameter
from tis.contracts.validation import check_sequence_id
from tis.errors import invalid

Metadata = Iterable[tuple[str, str | bytes]]

EMPTY_FINAL: Final = "triton_enable_empty_final_response"

_RESERVED: Final = (
    "parameter keys starting with 'triton_' are reserved for Triton usage. Only the following keys starting with "
    f"'triton_' are allowed: {EMPTY_FINAL}"
)
_CHOICES: Final = {
    "sequence_id": ("int64_param", "string_param"),
    "sequence_start": ("bool_param",),
    "sequence_end": ("bool_param",),
    "priority": ("int64_param", "uint64_param"),
    "timeout": ("int64_param",),
    EMPTY_FINAL: ("bool_param",),
}
_UINT64: Final = 1 << 64
_FREE: Final = frozenset({"int64_param", "bool_param", "string_param", "double_param"})


def read_parameters(request: InferRequest, parameters: Mapping[str, Any]) -> None:
    """Take over the parameters of a request.

    Raises:
        TisError: INVALID_ARG for a value of the wrong type.
    """
    for name, parameter in parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        allowed = _CHOICES.get(name)
        if allowed is None:
            if name.startswith("triton_"):
                raise invalid(_RESERVED)
            if choice not in _FREE:
                raise invalid(
                    f"invalid value type for '{name}' parameter, expected int64_param, bool_param, or string_param."
                )
            request.parameters[name] = getattr(parameter, choice)
            continue
        if choice not in allowed:
            raise invalid(f"invalid value type for '{name}' parameter, expected {' or '.join(allowed)}.")
        _take(request, name, getattr(parameter, choice))


def _take(request: InferRequest, name: str, value: Any) -> None:
    match name:
        case "sequence_id":
            # Clients send the upper half of the unsigned range as negative numbers.
            check_sequence_id(value)
            request.sequence_id = value if isinstance(value, str) else value % _UINT64
        case "sequence_start":
            request.sequence_start = value
        case "sequence_end":
            request.sequence_end = value
        case "priority":
            if value < 0:
                raise invalid("invalid value for 'priority', expected value >= 0.")
            request.priority = value
        case "timeout":
            # Triton reads a negative number as a very large one: no wish.
            request.timeout_us = max(value, 0)


def wants_empty_final(parameters: Mapping[str, Any]) -> bool:
    """Whether a decoupled request wants a last response that says nothing but that it is the last."""
    return EMPTY_FINAL in parameters and bool(parameters[EMPTY_FINAL].bool_param)


def read_classification(parameters: Mapping[str, Any]) -> int:
    """How many classes an output is wanted as; 0 where it is wanted as it is.

    Raises:
        TisError: INVALID_ARG for a number below 1 or a value of another type.
    """
    if "classification" not in parameters:
        return 0
    parameter = parameters["classification"]
    if parameter.WhichOneof("parameter_choice") != "int64_param":
        raise invalid("invalid value type for 'classification' parameter, expected int64_param")
    count: int = parameter.int64_param
    if count <= 0:
        raise invalid("invalid value for 'classification' parameter, expected >= 0")
    return count


def forward(request: InferRequest, metadata: Metadata, pattern: Pattern[str]) -> None:
    """Metadata of the call whose keys match become parameters of the request."""
    for key, value in metadata:
        if pattern.search(key):
            request.parameters[key] = value if isinstance(value, str) else value.decode(errors="replace")


def fill_parameters(target: Any, parameters: Mapping[str, Parameter]) -> None:
    """Parameters of a response."""
    for name, value in parameters.items():
        entry = target[name]
        if isinstance(value, bool):
            entry.bool_param = value
        elif isinstance(value, int):
            entry.int64_param = value
        elif isinstance(value, float):
            entry.double_param = value
        else:
            entry.string_param = value
