"""Tensors of an infer call that lie in, or go to, a client's registered region, as JSON names them."""

from typing import Any, Final

from tis.contracts.inference import Place
from tis.errors import invalid
from tis_frontend.http.json_form import string, wrong_type
from tis_frontend.regions import RegionTable

REGION: Final = "shared_memory_region"

_UINT64_MAX: Final = (1 << 64) - 1


def read_place(options: dict[str, Any], regions: RegionTable) -> Place:
    """The place that the parameters of a tensor name, which have a `shared_memory_region`.

    Raises:
        TisError: INTERNAL for values of the wrong type, NOT_FOUND or INVALID_ARG for a place that is not there.
    """
    region = string(options, REGION)
    start = _unsigned(options, "shared_memory_offset")
    return regions.place(region, start, _unsigned(options, "shared_memory_byte_size"))


def read_output_place(options: dict[str, Any], regions: RegionTable, *, binary: bool) -> Place:
    """The place that an output is wanted in.

    Raises:
        TisError: as `read_place`; INVALID_ARG where the output is wanted in some other form as well.
    """
    if binary:
        raise invalid(f"Output can't set both '{REGION}' and 'binary_data'")
    if options.get("classification"):
        raise invalid(f"Output can't set both '{REGION}' and 'classification'")
    return read_place(options, regions)


def _unsigned(options: dict[str, Any], name: str) -> int:
    value = options.get(name, 0)
    if type(value) is not int or not 0 <= value <= _UINT64_MAX:
        raise wrong_type(name, "unsigned-integer")
    number: int = value
    return number
