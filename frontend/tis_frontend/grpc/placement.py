"""Tensors of a ModelInferRequest that lie in, or go to, a client's registered region."""

from collections.abc import Mapping
from typing import Any, Final

from tis.contracts.inference import Place
from tis.errors import invalid
from tis_frontend.regions import RegionTable

REGION: Final = "shared_memory_region"

_BYTE_SIZE: Final = "shared_memory_byte_size"
_OFFSET: Final = "shared_memory_offset"


def read_place(name: str, parameters: Mapping[str, Any], regions: RegionTable) -> Place | None:
    """The place that the parameters of a tensor name; None where they name none.

    Raises:
        TisError: INVALID_ARG or NOT_FOUND in Triton's words.
    """
    if REGION not in parameters:
        for key in (_BYTE_SIZE, _OFFSET):
            if key in parameters:
                raise invalid(f"'{key}' can not be specified without '{REGION}' parameter for tensor '{name}'")
        return None
    region: str = _value(name, parameters, REGION, "string_param")
    start: int = _value(name, parameters, _OFFSET, "int64_param") if _OFFSET in parameters else 0
    if _BYTE_SIZE not in parameters:
        raise invalid(f"'{_BYTE_SIZE}' must be specified along with '{REGION}' parameter for tensor '{name}'")
    return regions.place(region, start, _value(name, parameters, _BYTE_SIZE, "int64_param"))


def _value(name: str, parameters: Mapping[str, Any], key: str, kind: str) -> Any:
    parameter = parameters[key]
    if parameter.WhichOneof("parameter_choice") != kind:
        raise invalid(f"invalid value type for '{key}' parameter for tensor '{name}', expected {kind}.")
    return getattr(parameter, kind)
