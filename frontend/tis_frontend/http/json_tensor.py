"""Tensors as JSON data: nested or flat lists in, flat lists out, by Triton's rules for each datatype."""

from math import prod
from typing import Any, Final

import msgspec
import numpy as np

from tis.contracts.arrays import NUMPY, decode_bytes, encode_bytes
from tis.contracts.datatypes import ELEMENT_BYTES
from tis.contracts.inference import OutputTensor
from tis.errors import TisError, internal, invalid
from tis_frontend.http import json_text

_SIGNED: Final = frozenset({"INT8", "INT16", "INT32", "INT64"})
_UNSIGNED: Final = frozenset({"UINT8", "UINT16", "UINT32", "UINT64"})
_HALF: Final = frozenset({"FP16", "BF16"})
_MOST_LEVELS: Final = 100
_SHAPE_TEXT: Final = "Unable to parse 'data': Shape does not match true shape of 'data' field"


def encode(name: str, datatype: str, shape: tuple[int, ...], data: Any) -> bytes:
    """The wire bytes of an input given as JSON.

    However `data` is nested, only the number of its elements matters. Integers are cut to their width silently.

    Raises:
        TisError: INTERNAL for wrong types or counts, INVALID_ARG for datatypes that JSON cannot carry; Triton's words.
    """
    if datatype in _HALF:
        raise invalid(
            f"receiving {datatype} data via JSON is not supported. Please use the binary data format for input {name}"
        )
    if datatype not in ELEMENT_BYTES:
        raise invalid(f"invalid datatype for input {name}")
    if type(data) is not list:
        raise internal("Unable to parse 'data': attempt to access JSON non-array as array")
    flat = _flatten(data)
    # Strings are counted with those that came as binary data.
    if len(flat) != prod(shape) and datatype != "BYTES":
        raise internal(_SHAPE_TEXT)
    types = set(map(type, flat))
    if datatype == "BOOL":
        _require(types <= {bool}, "boolean")
        return np.array(flat, dtype=np.bool_).tobytes()
    if datatype == "BYTES":
        if not types <= {str}:
            raise internal("Unable to parse JSON bytes array: attempt to access JSON non-string as string")
        return encode_bytes(np.array(flat, dtype=np.object_))
    if datatype in _SIGNED:
        _require(types <= {int}, "signed-integer")
        return _integers(flat, np.int64, "signed-integer").astype(NUMPY[datatype]).tobytes()
    if datatype in _UNSIGNED:
        _require(types <= {int}, "unsigned-integer")
        return _integers(flat, np.uint64, "unsigned-integer").astype(NUMPY[datatype]).tobytes()
    if not types <= {int, float}:
        raise internal("Unable to parse 'data': attempt to access JSON non-number as double")
    try:
        doubles = np.array(flat, dtype=np.float64)
    except OverflowError:
        raise internal("Unable to parse 'data': attempt to access JSON non-number as double") from None
    with np.errstate(over="ignore"):
        return doubles.astype(NUMPY[datatype]).tobytes()


def decode(tensor: OutputTensor) -> bytes:
    """The JSON text of an output's `data`: a flat array, row-major.

    Raises:
        TisError: INVALID_ARG for FP16 and BF16.
    """
    if tensor.datatype in _HALF:
        raise invalid(
            f"sending {tensor.datatype} data via JSON is not supported. Please use the binary data format for output"
        )
    if tensor.datatype == "BYTES":
        elements = decode_bytes(tensor.data, (-1,)).tolist()
        return msgspec.json.encode([element.decode("utf-8", "replace") for element in elements])
    array = np.frombuffer(tensor.data, NUMPY[tensor.datatype])
    if array.dtype.kind != "f":
        return msgspec.json.encode(array.tolist())
    return json_text.numbers(array.astype(np.float64))


def _flatten(values: list[Any]) -> list[Any]:
    """The elements in order, in time by their number, however unevenly they are nested."""
    if list not in set(map(type, values)):
        return values
    flat: list[Any] = []
    levels = [iter(values)]
    while levels:
        for value in levels[-1]:
            if type(value) is not list:
                flat.append(value)
                continue
            if len(levels) >= _MOST_LEVELS - 1:
                raise invalid(f"JSON nesting depth exceeds maximum allowed limit ({_MOST_LEVELS})")
            if list in set(map(type, value)):
                levels.append(iter(value))
                break
            flat += value
        else:
            levels.pop()
    return flat


def _require(ok: bool, what: str) -> None:
    if not ok:
        raise _type_error(what)


def _type_error(what: str) -> TisError:
    return internal(f"Unable to parse 'data': attempt to access JSON non-{what} as {what}")


def _integers(flat: list[int], dtype: type[np.int64] | type[np.uint64], what: str) -> "np.ndarray[Any, np.dtype[Any]]":
    try:
        return np.array(flat, dtype=dtype)
    except OverflowError:
        raise _type_error(what) from None
