"""Tensors as JSON: what is taken, how values are read, how they are printed. Triton's rules for each datatype."""

from typing import Any

import pytest

from tests.harness.raw_http import Connection, Response, infer_post, json_body, json_input
from tests.harness.repository import DATATYPES
from tests.harness.server import Server


def infer_types(server: Server, datatype: str, shape: list[int], data: Any, **top: Any) -> Response:
    """Send one tensor to the model `types`, and nothing to its other inputs."""
    inputs = [json_input(f"INPUT{name}", name, [0], []) for name in DATATYPES if name != datatype]
    inputs.append(json_input(f"INPUT{datatype}", datatype, shape, data))
    document = {"inputs": inputs, "outputs": [{"name": f"OUTPUT{datatype}"}], **top}
    with Connection(server) as connection:
        return connection.call(infer_post("types", json_body(document)))


@pytest.mark.parametrize(
    ("datatype", "data", "text"),
    [
        ("BOOL", [True, False], "[true,false]"),
        ("UINT8", [0, 255], "[0,255]"),
        ("UINT64", [0, 2**64 - 1], "[0,18446744073709551615]"),
        ("INT64", [-(2**63), 2**63 - 1], "[-9223372036854775808,9223372036854775807]"),
        # Cut to their width silently, as Triton does it.
        ("INT8", [300, -129], "[44,127]"),
        ("FP32", [1, 0.5, 8.1], "[1.0,0.5,8.100000381469727]"),
        ("FP64", [0.1, 1e300], "[0.1,1e300]"),
        ("BYTES", ["", "a", "ü✓", 'quote"'], '["","a","ü✓","quote\\""]'),
        # However the data are nested, only their number matters.
        ("INT32", [[1, 2], [[3]]], "[1,2,3]"),
    ],
)
def test_json_values_come_back(server: Server, datatype: str, data: list[Any], text: str) -> None:
    count = sum(len(item) if isinstance(item, list) else 1 for item in data)
    answer = infer_types(server, datatype, [count], data)
    assert answer.status == 200, answer
    assert f'"data":{text}}}' in answer.body.decode()


def test_nan_and_infinity_are_bare_words(server: Server) -> None:
    answer = infer_types(server, "FP32", [4], [float("nan"), float("inf"), float("-inf"), 1e300])
    assert b'"data":[NaN,Infinity,-Infinity,Infinity]' in answer.body


@pytest.mark.parametrize(
    ("datatype", "data", "text"),
    [
        ("BOOL", [1], "attempt to access JSON non-boolean as boolean"),
        ("INT32", [1.5], "attempt to access JSON non-signed-integer as signed-integer"),
        ("INT32", ["1"], "attempt to access JSON non-signed-integer as signed-integer"),
        ("UINT32", [-1], "attempt to access JSON non-unsigned-integer as unsigned-integer"),
        ("FP32", [True], "attempt to access JSON non-number as double"),
        ("BYTES", [5], "Unable to parse JSON bytes array: attempt to access JSON non-string as string"),
        ("INT32", [1, 2], "Unable to parse 'data': Shape does not match true shape of 'data' field"),
        ("INT32", [], "Unable to parse 'data': Shape does not match true shape of 'data' field"),
    ],
)
def test_a_json_value_of_the_wrong_kind_is_refused(server: Server, datatype: str, data: list[Any], text: str) -> None:
    answer = infer_types(server, datatype, [1], data)
    assert answer.status == 500
    assert text in answer.error


def test_half_precision_cannot_travel_as_json(server: Server) -> None:
    answer = infer_types(server, "FP16", [1], [1.0])
    assert answer.status == 400
    assert "receiving FP16 data via JSON is not supported. Please use the binary data format" in answer.error


def test_an_unknown_datatype_is_refused(server: Server) -> None:
    document = {"inputs": [json_input("INPUT0", "FP17", [1], [1.0])]}
    with Connection(server) as connection:
        answer = connection.call(infer_post("echo", json_body(document)))
    assert (answer.status, answer.error) == (400, "invalid datatype for input INPUT0")
