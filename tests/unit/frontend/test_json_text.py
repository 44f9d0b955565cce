"""JSON is read and written as Triton reads and writes it: NaN and Infinity are numbers, errors have RapidJSON's words."""

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tis.errors import Code, TisError
from tis_frontend.http.json_text import numbers, parse

WHAT = "failed to parse the request JSON buffer"


def fault(text: bytes) -> str:
    with pytest.raises(TisError) as caught:
        parse(text, WHAT)
    assert caught.value.code is Code.INTERNAL
    assert caught.value.message.startswith(f"{WHAT}: ")
    return caught.value.message.removeprefix(f"{WHAT}: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "The document is empty. at 0"),
        (b"{", "Missing a name for object member. at 1"),
        (b'{"a" 1}', "Missing a colon after a name of object member. at 5"),
        (b"[1,]", "Invalid value. at 3"),
        (b'{"a":1} x', "The document root must not be followed by other values. at 8"),
    ],
)
def test_what_is_no_json_is_told_in_rapidjsons_words_with_the_offset(text: bytes, message: str) -> None:
    assert fault(text) == message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a":[1,2.5,"x",true,null]}', {"a": [1, 2.5, "x", True, None]}),
        (b"[Infinity,-Infinity]", [float("inf"), float("-inf")]),
        (b"18446744073709551615", 2**64 - 1),
        (b' "\\u00e9\xc3\xa9" ', "éé"),
    ],
)
def test_values_are_read(text: bytes, value: Any) -> None:
    assert parse(text, WHAT) == value


def test_nan_is_a_number() -> None:
    [value] = parse(b"[NaN]", WHAT)
    assert value != value


@pytest.mark.parametrize("nest", [b"[", b'{"a":'])
def test_text_nested_without_end_is_an_error_and_nothing_worse(nest: bytes) -> None:
    fault(nest * 200_000)
    fault(b"[NaN," + nest * 200_000)
    fault(b"[" * 200_000 + b"]" * 200_000)


@pytest.mark.parametrize("text", [b'"\xff"', b'{"id":"\xc3"}', b'[NaN,"\xff"]', b"\xff"])
def test_text_that_is_no_utf8_is_an_error(text: bytes) -> None:
    assert "utf-8" in fault(text)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_a_tis_error(text: bytes) -> None:
    with contextlib.suppress(TisError):
        parse(text, WHAT)


@given(st.text(alphabet='[]{}",:\\u0dc8NaInfity-+.eE1 ', max_size=40))
def test_any_text_that_looks_like_json_is_a_value_or_a_tis_error(text: str) -> None:
    with contextlib.suppress(TisError):
        parse(text.encode(), WHAT)


def test_a_buffer_of_any_kind_is_read() -> None:
    for kind in (bytes, bytearray, memoryview):
        assert parse(kind(b"[1]"), WHAT) == [1]
        assert repr(parse(kind(b"[NaN]"), WHAT)) == "[nan]"


@given(st.lists(st.floats()))
def test_doubles_are_written_so_that_they_read_back_the_same(values: list[float]) -> None:
    assert repr(parse(numbers(np.array(values, np.float64)), WHAT)) == repr(values)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, b"1.0"),
        (-0.0, b"-0.0"),
        (1e16, b"10000000000000000.0"),
        (1e20, b"100000000000000000000.0"),
        (123456789012345680000.0, b"123456789012345680000.0"),
        (1e21, b"1e21"),
        (1.7976931348623157e308, b"1.7976931348623157e308"),
        (0.00001, b"0.00001"),
        (0.000001, b"0.000001"),
        (1.5e-6, b"0.0000015"),
        (1e-7, b"1e-7"),
        (5e-324, b"5e-324"),
    ],
)
def test_doubles_have_exponents_where_rapidjson_writes_them(value: float, text: bytes) -> None:
    assert numbers(np.array([value])) == b"[" + text + b"]"
