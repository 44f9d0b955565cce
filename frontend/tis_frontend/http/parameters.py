"""The parameters of an infer call as JSON has them: those with a meaning of their own, and the client's own for the model."""

from collections.abc import Callable
from typing import Any, Final

from tis.contracts.inference import InferRequest, Parameter
from tis.contracts.validation import check_sequence_id
from tis.errors import internal, invalid
from tis_frontend.http.json_form import flag, wrong_type

_UINT64_MAX: Final = (1 << 64) - 1
_INT64_MAX: Final = (1 << 63) - 1

#: Names of request parameters that are no parameters of the model; a header of such a name is not passed on either.
RESERVED: Final = frozenset(
    {"sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "headers", "binary_data_output"}
)
RESERVED_PREFIX: Final = "triton_"


def read_parameters(request: InferRequest, members: Any) -> bool:
    """Take over the `parameters` of a request; returns whether outputs that are not listed are wanted as binary data.

    Raises:
        TisError: INTERNAL or INVALID_ARG for a value of the wrong type, in Triton's words.
    """
    if type(members) is not dict:
        raise internal("failed to get request params.: attempt to get members for non-object")
    for name, value in members.items():
        take = _RESERVED_READERS.get(name)
        if take is not None:
            take(request, members)
        elif name.startswith(RESERVED_PREFIX):
            raise invalid(
                "parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified."
            )
        elif name != "binary_data_output":
            request.parameters[name] = own(name, value)
    return flag(members, "binary_data_output")


def own(name: str, value: Any) -> Parameter:
    """The value of a parameter that the model may read. An integer that 63 bits do not hold is a double, as in Triton.

    Raises:
        TisError: INVALID_ARG for null, arrays and objects.
    """
    kind = type(value)
    if kind is int:
        integer: int = value
        return integer if -_INT64_MAX - 1 <= integer <= _INT64_MAX else float(integer)
    if kind is str or kind is bool or kind is float:
        scalar: Parameter = value
        return scalar
    raise invalid(f"parameter '{name}' has invalid type. It should be either 'int', 'bool', or 'string'.")


def _sequence_id(request: InferRequest, members: dict[str, Any]) -> None:
    value = members["sequence_id"]
    if type(value) is not str and not _is_unsigned(value):
        raise wrong_type("sequence_id", "string")
    check_sequence_id(value)
    request.sequence_id = value


def _sequence_start(request: InferRequest, members: dict[str, Any]) -> None:
    request.sequence_start = flag(members, "sequence_start")


def _sequence_end(request: InferRequest, members: dict[str, Any]) -> None:
    request.sequence_end = flag(members, "sequence_end")


def _priority(request: InferRequest, members: dict[str, Any]) -> None:
    request.priority = _unsigned(members, "priority")


def _timeout(request: InferRequest, members: dict[str, Any]) -> None:
    request.timeout_us = _unsigned(members, "timeout")


_RESERVED_READERS: Final[dict[str, Callable[[InferRequest, dict[str, Any]], None]]] = {
    "sequence_id": _sequence_id,
    "sequence_start": _sequence_start,
    "sequence_end": _sequence_end,
    "priority": _priority,
    "timeout": _timeout,
}


def _unsigned(members: dict[str, Any], name: str) -> int:
    value = members[name]
    if not _is_unsigned(value):
        raise wrong_type(name, "unsigned-integer")
    number: int = value
    return number


def _is_unsigned(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _UINT64_MAX


def classes(options: dict[str, Any]) -> int:
    """How many classes an output is wanted as; 0 where it is wanted as it is.

    Raises:
        TisError: INTERNAL for what is no unsigned integer.
    """
    value = options.get("classification", 0)
    if not _is_unsigned(value):
        raise internal(
            "Unable to set 'classification': attempt to access JSON non-unsigned-integer as unsigned-integer"
        )
    count: int = value
    return count
