"""Tensors as JSON: only the number of elements matters on the way in, and the way out is flat."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tis.contracts.arrays import NUMPY
from tis.contracts.datatypes import ELEMENT_BYTES
from tis.contracts.inference import OutputTensor
from tis.errors import Code, TisError
from tis_frontend.http.json_tensor import decode, encode

COUNT_TEXT = "Unable to parse 'data': Shape does not match true shape of 'data' field"
INTEGERS = [name for name in ELEMENT_BYTES if "INT" in name]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=8,
)


def encoded(datatype: str, data: Any, *shape: int) -> list[Any]:
    """The elements that reach the model."""
    elements: list[Any] = np.frombuffer(encode("A", datatype, shape, data), NUMPY[datatype]).tolist()
    return elements


def fault(datatype: str, data: Any, *shape: int, code: Code = Code.INTERNAL) -> str:
    with pytest.raises(TisError) as caught:
        encode("A", datatype, shape, data)
    assert caught.value.code is code
    return caught.value.message


def output(datatype: str, data: bytes, *shape: int) -> OutputTensor:
    return OutputTensor("Y", datatype, shape, memoryview(data))


# ---- in ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [[1, 2, 3, 4], [[1, 2], [3, 4]], [[[[1]], 2], [3, [4]]], [[], [1, 2, 3, 4]]])
def test_however_data_are_nested_only_their_order_matters(data: Any) -> None:
    assert encoded("INT32", data, 2, 2) == [1, 2, 3, 4]


@pytest.mark.parametrize("data", [2.5, "x", None, {}, {"a": [1]}])
def test_data_must_be_a_list(data: Any) -> None:
    assert fault("FP32", data, 1) == "Unable to parse 'data': attempt to access JSON non-array as array"


@pytest.mark.parametrize(("levels", "fits"), [(99, True), (100, False), (5000, False)])
def test_data_nested_a_hundred_deep_are_refused(levels: int, fits: bool) -> None:
    deep: Any = 1
    for _ in range(levels):
        deep = [deep]
    if fits:
        assert encoded("INT32", deep, 1) == [1]
    else:
        with pytest.raises(TisError, match=r"JSON nesting depth exceeds maximum allowed limit \(100\)") as caught:
            encode("A", "INT32", (1,), deep)
        assert caught.value.code is Code.INVALID_ARG


@pytest.mark.parametrize("data", [[], [1], [1, 2, 3, 4, 5], [[1, 2], [3]]])
def test_too_few_and_too_many_elements_are_an_error(data: Any) -> None:
    assert fault("INT32", data, 2, 2) == COUNT_TEXT


def test_elements_nested_deeply_and_unevenly_take_time_by_their_number_only() -> None:
    deep: Any = [1.0]
    for _ in range(97):
        deep = [deep]
    assert encoded("FP32", [*[1.0] * 20_000, deep], 20_001) == [1.0] * 20_001


@pytest.mark.parametrize(
    ("datatype", "given_value", "kept"),
    [("INT8", 300, 44), ("INT8", -129, 127), ("INT16", 70_000, 4464), ("INT32", 2**31, -(2**31)), ("UINT8", 256, 0)],
)
def test_integers_are_cut_to_their_width_silently(datatype: str, given_value: int, kept: int) -> None:
    assert encoded(datatype, [given_value], 1) == [kept]


@pytest.mark.parametrize(
    ("datatype", "extreme"), [("INT64", 2**63 - 1), ("INT64", -(2**63)), ("UINT64", 2**64 - 1), ("UINT64", 0)]
)
def test_the_extremes_of_64_bit_integers_keep_every_bit(datatype: str, extreme: int) -> None:
    assert encoded(datatype, [1, extreme], 2) == [1, extreme]


@pytest.mark.parametrize("datatype", INTEGERS)
@pytest.mark.parametrize("value", [1.5, 1.0, "1", True, None, {}, float("nan")])
def test_integers_must_be_json_integers(datatype: str, value: Any) -> None:
    kind = "unsigned-integer" if datatype.startswith("U") else "signed-integer"
    assert fault(datatype, [value], 1) == f"Unable to parse 'data': attempt to access JSON non-{kind} as {kind}"


@pytest.mark.parametrize("datatype", INTEGERS)
def test_integers_beyond_64_bits_and_negative_unsigned_ones_are_refused(datatype: str) -> None:
    fault(datatype, [2**64], 1)
    fault(datatype, [-(2**63) - 1], 1)
    if datatype.startswith("U"):
        fault(datatype, [-1], 1)


@pytest.mark.parametrize("value", [0, 1, "true", None, 1.0])
def test_bool_takes_true_and_false_only(value: Any) -> None:
    assert encoded("BOOL", [True, False], 2) == [True, False]
    assert fault("BOOL", [value], 1) == "Unable to parse 'data': attempt to access JSON non-boolean as boolean"


@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
def test_floats_take_integers_nan_and_infinity(datatype: str) -> None:
    values = encoded(datatype, [3, 0.5, float("nan"), float("inf"), float("-inf")], 5)
    assert values[:2] == [3.0, 0.5]
    assert str(values[2:]) == "[nan, inf, -inf]"


def test_a_double_out_of_range_becomes_infinity_in_fp32() -> None:
    assert encoded("FP32", [1e300, -1e300], 2) == [float("inf"), float("-inf")]
    assert encoded("FP64", [1e300], 1) == [1e300]


@pytest.mark.parametrize("value", [True, "1.0", None])
def test_floats_refuse_what_is_no_number(value: Any) -> None:
    assert fault("FP32", [value], 1) == "Unable to parse 'data': attempt to access JSON non-number as double"


def test_bytes_are_the_utf8_of_strings() -> None:
    assert encode("A", "BYTES", (2,), ["é", ""]) == b"\2\0\0\0\xc3\xa9\0\0\0\0"


@pytest.mark.parametrize("value", [1, None, True, 1.5])
def test_bytes_refuse_what_is_no_string(value: Any) -> None:
    assert fault("BYTES", [value], 1).startswith("Unable to parse JSON bytes array: ")


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_half_floats_cannot_come_as_json(datatype: str) -> None:
    assert fault(datatype, [1.0], 1, code=Code.INVALID_ARG) == (
        f"receiving {datatype} data via JSON is not supported. Please use the binary data format for input A"
    )


@pytest.mark.parametrize("datatype", ["", "FP33", "fp32", "TYPE_FP32"])
def test_an_unknown_datatype_is_an_error(datatype: str) -> None:
    assert fault(datatype, [1.0], 1, code=Code.INVALID_ARG) == "invalid datatype for input A"


@given(st.sampled_from([*ELEMENT_BYTES, "FP33"]), st.lists(st.integers(0, 4), max_size=3), JSON)
def test_whatever_the_data_are_nothing_but_a_tis_error_is_raised(datatype: str, shape: list[int], data: Any) -> None:
    try:
        wire = encode("A", datatype, tuple(shape), data)
    except TisError:
        return
    if datatype != "BYTES":
        assert len(wire) == int(np.prod(shape)) * ELEMENT_BYTES[datatype]


@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
def test_a_float_given_as_an_integer_beyond_all_doubles_is_a_tis_error(datatype: str) -> None:
    fault(datatype, [10**400], 1)


# ---- out -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("datatype", "values", "text"),
    [
        ("INT32", [1, -2], b"[1,-2]"),
        ("UINT64", [2**64 - 1], b"[18446744073709551615]"),
        ("INT64", [-(2**63)], b"[-9223372036854775808]"),
        ("BOOL", [True, False], b"[true,false]"),
        ("FP32", [8.1, 4.0, -0.0], b"[8.100000381469727,4.0,-0.0]"),
        ("FP64", [8.1, 4.0], b"[8.1,4.0]"),
        ("FP32", [], b"[]"),
    ],
)
def test_elements_are_written_as_triton_writes_them(datatype: str, values: list[Any], text: bytes) -> None:
    data = np.array(values, NUMPY[datatype]).tobytes()
    assert decode(output(datatype, data, len(values))) == text


def test_the_way_out_is_flat_whatever_the_shape() -> None:
    assert decode(output("INT32", np.arange(4, dtype="<i4").tobytes(), 2, 2)) == b"[0,1,2,3]"


def test_nan_and_infinity_are_bare_words() -> None:
    data = np.array([1, np.nan, np.inf, -np.inf], "<f4").tobytes()
    assert decode(output("FP32", data, 4)) == b"[1.0,NaN,Infinity,-Infinity]"


def test_bytes_are_written_as_strings() -> None:
    assert decode(output("BYTES", b'\2\0\0\0\xc3\xa9\0\0\0\0\1\0\0\0"', 3)) == '["é","","\\""]'.encode()


def test_bytes_that_are_no_text_do_not_break_the_answer() -> None:
    assert decode(output("BYTES", b"\1\0\0\0\xff", 1)) == '["\ufffd"]'.encode()


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_half_floats_cannot_leave_as_json(datatype: str) -> None:
    with pytest.raises(TisError) as caught:
        decode(output(datatype, b"\0\0", 1))
    assert caught.value.code is Code.INVALID_ARG
    assert caught.value.message == (
        f"sending {datatype} data via JSON is not supported. Please use the binary data format for output"
    )


@pytest.mark.parametrize("datatype", [name for name in NUMPY if name not in ("FP16", "BF16")])
def test_what_goes_in_comes_out(datatype: str) -> None:
    values = [True, False] if datatype == "BOOL" else [1, 0, 100]
    data = encode("A", datatype, (len(values),), values)
    expected = [float(value) for value in values] if datatype.startswith("FP") else values
    assert decode(output(datatype, data, len(values))) == repr(expected).replace(" ", "").lower().encode()
