"""Datatypes: names, sizes, numpy forms, and the wire form of BYTES."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tis.config.proto import ModelConfig
from tis.config.source import parse_text
from tis.contracts.arrays import NUMPY, decode_bytes, encode_bytes
from tis.contracts.datatypes import ELEMENT_BYTES, from_config, to_config


def array_of(elements: list[Any], shape: tuple[int, ...] = (-1,)) -> "np.ndarray[Any, np.dtype[np.object_]]":
    array = np.empty(len(elements), dtype=np.object_)
    array[:] = elements
    return array.reshape(shape)


def test_every_datatype_of_fixed_size_has_a_little_endian_numpy_form_of_that_size() -> None:
    assert set(NUMPY) == set(ELEMENT_BYTES) - {"BYTES"}
    for name, dtype in NUMPY.items():
        assert dtype.itemsize == ELEMENT_BYTES[name], name
        assert dtype.newbyteorder("<") == dtype, name


def test_every_config_type_has_a_protocol_name_and_comes_back() -> None:
    types = parse_text('name: "m" input { name: "A" }', "p").input[0].DESCRIPTOR.fields_by_name["data_type"].enum_type
    names = [value.name for value in types.values]
    assert names[0] == "TYPE_INVALID"
    for name in names[1:]:
        assert to_config(from_config(name)) == name
    assert {from_config(name) for name in names[1:]} == set(ELEMENT_BYTES)
    assert ModelConfig.DESCRIPTOR is not None


@pytest.mark.parametrize("name", ["TYPE_INVALID", "", "TYPE_FLOAT", "FP33"])
def test_an_unknown_config_type_is_called_invalid(name: str) -> None:
    assert from_config(name) == "<invalid>"


def test_strings_are_called_bytes_by_the_protocol() -> None:
    assert from_config("TYPE_STRING") == "BYTES"
    assert to_config("BYTES") == "TYPE_STRING"


def test_a_bytes_element_is_a_little_endian_length_and_its_bytes_without_terminator() -> None:
    assert encode_bytes(array_of([b"ab", b"", "é"])) == b"\x02\0\0\0ab" + b"\0\0\0\0" + b"\x02\0\0\0\xc3\xa9"


@given(st.lists(st.binary(max_size=300)))
def test_bytes_come_back_as_they_went(elements: list[bytes]) -> None:
    decoded = decode_bytes(memoryview(encode_bytes(array_of(elements))), (len(elements),))
    assert decoded.dtype == np.object_
    assert decoded.tolist() == elements


def test_bytes_come_back_in_their_shape_row_by_row() -> None:
    elements = [b"a", b"bb", b"", b"d", b"e", b"f"]
    assert decode_bytes(encode_bytes(array_of(elements, (2, 3))), (2, 3)).tolist() == [elements[:3], elements[3:]]
    assert decode_bytes(b"", (0, 4)).shape == (0, 4)


@given(st.lists(st.binary(max_size=20), min_size=1), st.data())
def test_a_tensor_cut_short_is_an_error_and_never_a_shorter_element(elements: list[bytes], data: st.DataObject) -> None:
    wire = encode_bytes(array_of(elements))
    length = data.draw(st.integers(0, len(wire) - 1))
    with pytest.raises(ValueError, match=r"ends inside an element|cannot reshape"):
        decode_bytes(wire[:length], (len(elements),))


@given(st.binary(max_size=100), st.integers(0, 5))
def test_any_bytes_either_decode_to_the_shape_or_are_a_value_error(wire: bytes, count: int) -> None:
    try:
        decoded = decode_bytes(wire, (count,))
    except ValueError:
        return
    assert len(decoded) == count
    assert encode_bytes(decoded) == wire
