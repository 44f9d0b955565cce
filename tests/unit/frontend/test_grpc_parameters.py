"""Parameters over gRPC: what becomes the model's, what has a meaning of its own, and Triton's words for wrong types."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as pb

from tis.contracts.inference import InferRequest, Parameter
from tis.errors import Code, TisError
from tis_frontend.grpc.parameters import (
    fill_parameters,
    forward,
    read_classification,
    read_parameters,
    wants_empty_final,
)

KINDS: dict[str, Any] = {
    "bool_param": True,
    "int64_param": 3,
    "string_param": "x",
    "double_param": 1.5,
    "uint64_param": 3,
}
RESERVED = (
    "parameter keys starting with 'triton_' are reserved for Triton usage. Only the following keys starting with "
    "'triton_' are allowed: triton_enable_empty_final_response"
)


def parameters(**given: tuple[str, Any]) -> Any:
    message = pb.ModelInferRequest()
    for name, (kind, value) in given.items():
        setattr(message.parameters[name], kind, value)
    return message.parameters


def read(**given: tuple[str, Any]) -> InferRequest:
    request = InferRequest("m", 1, "", [])
    read_parameters(request, parameters(**given))
    return request


def fault(**given: tuple[str, Any]) -> str:
    with pytest.raises(TisError) as caught:
        read(**given)
    assert caught.value.code is Code.INVALID_ARG
    return caught.value.message


@pytest.mark.parametrize(
    ("kind", "value"),
    [("bool_param", True), ("int64_param", -(2**63)), ("string_param", ""), ("double_param", 1.5)],
)
def test_a_parameter_of_the_clients_own_reaches_the_model_with_its_type(kind: str, value: Parameter) -> None:
    got = read(n=(kind, value)).parameters
    assert got == {"n": value}
    assert type(got["n"]) is type(value)


@pytest.mark.parametrize("name", ["n", "binary_data_output", "headers"])
def test_an_unsigned_parameter_is_for_priority_only(name: str) -> None:
    assert fault(**{name: ("uint64_param", 3)}) == (
        f"invalid value type for '{name}' parameter, expected int64_param, bool_param, or string_param."
    )


def test_a_parameter_without_a_value_is_refused() -> None:
    message = pb.ModelInferRequest()
    message.parameters["n"].SetInParent()
    with pytest.raises(TisError, match="invalid value type for 'n' parameter"):
        read_parameters(InferRequest("m", 1, "", []), message.parameters)


@pytest.mark.parametrize("name", ["triton_x", "triton_", "triton_final_response"])
def test_names_of_tritons_own_are_reserved(name: str) -> None:
    assert fault(**{name: ("int64_param", 1)}) == RESERVED


def test_parameters_with_a_meaning_are_not_the_models() -> None:
    request = read(
        sequence_id=("int64_param", 7),
        sequence_start=("bool_param", True),
        sequence_end=("bool_param", True),
        priority=("uint64_param", 2**64 - 1),
        timeout=("int64_param", 1000),
        triton_enable_empty_final_response=("bool_param", True),
    )
    assert request.parameters == {}
    assert (request.sequence_id, request.sequence_start, request.sequence_end) == (7, True, True)
    assert (request.priority, request.timeout_us) == (2**64 - 1, 1000)


def test_a_sequence_may_have_a_text_or_any_number_of_64_bits_as_its_id() -> None:
    assert read(sequence_id=("string_param", "a")).sequence_id == "a"
    assert read(sequence_id=("int64_param", -1)).sequence_id == 2**64 - 1


def test_a_negative_timeout_is_none() -> None:
    assert read(timeout=("int64_param", -1)).timeout_us == 0


def test_a_negative_priority_is_refused() -> None:
    assert fault(priority=("int64_param", -1)) == "invalid value for 'priority', expected value >= 0."


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("sequence_id", ["int64_param", "string_param"]),
        ("sequence_start", ["bool_param"]),
        ("sequence_end", ["bool_param"]),
        ("priority", ["int64_param", "uint64_param"]),
        ("timeout", ["int64_param"]),
        ("triton_enable_empty_final_response", ["bool_param"]),
    ],
)
def test_a_wrong_type_is_told_with_those_that_are_right(name: str, allowed: list[str]) -> None:
    for kind, value in KINDS.items():
        if kind in allowed:
            read(**{name: (kind, value)})
        else:
            expected = f"invalid value type for '{name}' parameter, expected {' or '.join(allowed)}."
            assert fault(**{name: (kind, value)}) == expected


def test_an_empty_final_response_is_wanted_only_by_those_who_say_so() -> None:
    assert not wants_empty_final(parameters())
    assert not wants_empty_final(parameters(triton_enable_empty_final_response=("bool_param", False)))
    assert wants_empty_final(parameters(triton_enable_empty_final_response=("bool_param", True)))


def test_an_output_may_be_wanted_as_classes() -> None:
    assert read_classification(parameters(other=("int64_param", 2))) == 0
    assert read_classification(parameters(classification=("int64_param", 2))) == 2


@pytest.mark.parametrize("count", [0, -1])
def test_at_least_one_class_has_to_be_wanted(count: int) -> None:
    with pytest.raises(TisError, match=re.escape("invalid value for 'classification' parameter, expected >= 0")):
        read_classification(parameters(classification=("int64_param", count)))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "int64_param"])
def test_classes_are_counted_in_whole_numbers(kind: str) -> None:
    text = "invalid value type for 'classification' parameter, expected int64_param"
    with pytest.raises(TisError, match=re.escape(text)):
        read_classification(parameters(classification=(kind, KINDS[kind])))


def test_metadata_that_match_anywhere_become_texts_and_win_over_parameters() -> None:
    request = read(**{"x-a": ("int64_param", 5)})
    metadata = (("x-a", "1"), ("y", "no"), ("with-x-inside", "2"), ("x-bin", b"\xff"))
    forward(request, metadata, re.compile("X-", re.IGNORECASE))
    assert request.parameters == {"x-a": "1", "with-x-inside": "2", "x-bin": "\ufffd"}


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=9),
    )
)
def test_a_responses_parameters_are_read_back_as_they_were(values: dict[str, Parameter]) -> None:
    response = pb.ModelInferResponse()
    fill_parameters(response.parameters, values)
    got = {name: getattr(each, each.WhichOneof("parameter_choice")) for name, each in response.parameters.items()}
    assert got == values
    assert {name: type(value) for name, value in got.items()} == {name: type(value) for name, value in values.items()}
