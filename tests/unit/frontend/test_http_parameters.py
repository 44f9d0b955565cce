"""Parameters of a request: reserved ones have types of their own, all others go to the model as they are."""

import json
from typing import Any

import pytest

from tis.contracts.inference import InferRequest
from tis.errors import Code, TisError
from tis_frontend.http.header_forwarding import with_headers
from tis_frontend.http.parameters import read_parameters

UNSIGNED = "attempt to access JSON non-unsigned-integer as unsigned-integer"


def read(members: Any) -> InferRequest:
    request = InferRequest("m", 1, "", [])
    read_parameters(request, members)
    return request


def test_scalars_go_to_the_model_with_their_types() -> None:
    members = {"a": 1, "b": True, "c": "s", "d": 1.5, "e": -(2**63), "headers": 1, "TRITON_x": "", "": 0}
    assert json.dumps(read(members).parameters) == json.dumps(members)


@pytest.mark.parametrize("value", [2**63, 2**64 - 1, -(2**63) - 1, 10**30])
def test_an_integer_that_63_bits_do_not_hold_is_a_double(value: int) -> None:
    [found] = read({"a": value}).parameters.values()
    assert (type(found), found) == (float, float(value))


def test_reserved_names_do_not_reach_the_model() -> None:
    request = InferRequest("m", 1, "", [])
    members = {"sequence_id": 5, "sequence_start": True, "sequence_end": True, "priority": 2, "timeout": 7}
    assert read_parameters(request, members | {"binary_data_output": True})
    assert request.parameters == {}
    assert (request.sequence_id, request.sequence_start, request.sequence_end) == (5, True, True)
    assert (request.priority, request.timeout_us) == (2, 7)
    assert read({"sequence_id": "a"}).sequence_id == "a"


@pytest.mark.parametrize(
    ("members", "code", "text"),
    [
        (5, Code.INTERNAL, "failed to get request params.: attempt to get members for non-object"),
        (None, Code.INTERNAL, "failed to get request params.: attempt to get members for non-object"),
        (
            {"a": None},
            Code.INVALID_ARG,
            "parameter 'a' has invalid type. It should be either 'int', 'bool', or 'string'.",
        ),
        (
            {"a": [1]},
            Code.INVALID_ARG,
            "parameter 'a' has invalid type. It should be either 'int', 'bool', or 'string'.",
        ),
        (
            {"triton_x": 1},
            Code.INVALID_ARG,
            "parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified.",
        ),
        (
            {"sequence_id": 1.5},
            Code.INTERNAL,
            "Unable to parse 'sequence_id': attempt to access JSON non-string as string",
        ),
        (
            {"sequence_id": True},
            Code.INTERNAL,
            "Unable to parse 'sequence_id': attempt to access JSON non-string as string",
        ),
        (
            {"sequence_start": 1},
            Code.INTERNAL,
            "Unable to parse 'sequence_start': attempt to access JSON non-boolean as boolean",
        ),
        ({"priority": -1}, Code.INTERNAL, f"Unable to parse 'priority': {UNSIGNED}"),
        ({"timeout": "1"}, Code.INTERNAL, f"Unable to parse 'timeout': {UNSIGNED}"),
        (
            {"binary_data_output": 1},
            Code.INTERNAL,
            "Unable to parse 'binary_data_output': attempt to access JSON non-boolean as boolean",
        ),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_in_tritons_words(members: Any, code: Code, text: str) -> None:
    with pytest.raises(TisError) as caught:
        read(members)
    assert (caught.value.code, caught.value.message) == (code, text)


def test_headers_come_behind_the_parameters_of_the_body() -> None:
    assert with_headers({"a": 1, "x": 2}, [("x", "h"), ("X", "g")]) == {"a": 1, "x": "h", "X": "g"}


@pytest.mark.parametrize("name", ["sequence_id", "timeout", "headers", "triton_x"])
def test_a_header_cannot_take_the_place_of_a_reserved_parameter(name: str) -> None:
    with pytest.raises(TisError, match=f"Header '{name}' is reserved for Triton usage and cannot be forwarded."):
        with_headers({}, [(name, "1")])
