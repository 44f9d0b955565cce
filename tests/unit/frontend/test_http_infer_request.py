"""The body of an infer call is read in Triton's order and refused in Triton's words."""

import json
from itertools import pairwise
from math import prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tis.contracts.inference import InputTensor
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.errors import Code, TisError
from tis_frontend.http.infer_request import HttpInfer, parse, planned, raw_binary
from tis_frontend.model_table import ServedModel

A = TensorSpec("A", "FP32", (4,))
B = TensorSpec("B", "INT32", (2,))
Y, Z = TensorSpec("Y", "FP32", (4,)), TensorSpec("Z", "FP32", (4,))

PARSE_FAILED = "failed to parse the request JSON buffer"
MISSING = "attempt to access non-existing object member"


def model(*inputs: TensorSpec, max_batch_size: int = 0) -> ModelSpec:
    return ModelSpec("m", 3, "", "onnxruntime", max_batch_size, inputs or (A, B), (Y, Z))


def binary(name: str = "A", size: Any = 16, datatype: str = "FP32", shape: Any = (4,)) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape), "parameters": {"binary_data_size": size}}


def plain(name: str = "B", data: Any = (1, 2), datatype: str = "INT32", shape: Any = (2,)) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape), "data": data}


def read(document: Any, tail_bytes: int = 0, spec: ModelSpec | None = None) -> HttpInfer:
    return parse(spec or model(), json.dumps(document).encode(), tail_bytes)


def fault(document: Any, tail_bytes: int = 0, code: Code = Code.INVALID_ARG) -> str:
    with pytest.raises(TisError) as caught:
        read(document, tail_bytes)
    assert caught.value.code is code
    return caught.value.message


# ---- form ----------------------------------------------------------------------------------------------------------


def test_a_request_carries_its_id_model_and_version() -> None:
    call = read({"id": "x-1", "inputs": []})
    assert (call.request.client_id, call.request.model, call.request.version) == ("x-1", "m", 3)
    assert read({"inputs": []}).request.client_id == ""


def test_unknown_members_are_ignored() -> None:
    assert read({"inputs": [], "future": {"x": 1}, "outputs": []}).request.inputs == []


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ([], "Unable to parse 'inputs': attempt to access non-existing object member 'inputs'"),
        ({}, f"Unable to parse 'inputs': {MISSING} 'inputs'"),
        ({"id": 5, "inputs": []}, "Unable to parse 'id': attempt to access JSON non-string as string"),
        ({"inputs": 5}, "Unable to parse 'inputs': attempt to access JSON non-array as array"),
        ({"inputs": [{"data": [1], "datatype": "FP32", "shape": [1]}]}, f"Unable to parse 'name': {MISSING} 'name'"),
        ({"inputs": [{"data": [1], "name": "A", "shape": [1]}]}, f"Unable to parse 'datatype': {MISSING} 'datatype'"),
        ({"inputs": [{"data": [1], "name": "A", "datatype": "FP32"}]}, f"Unable to parse 'shape': {MISSING} 'shape'"),
        (
            {"inputs": [], "parameters": {"binary_data_output": 1}},
            "Unable to parse 'binary_data_output': attempt to access JSON non-boolean as boolean",
        ),
        ({"inputs": [], "outputs": [{}]}, f"Unable to parse 'name': {MISSING} 'name'"),
        (
            {"inputs": [], "outputs": [{"name": "Y", "parameters": {"binary_data": "yes"}}]},
            "Unable to parse 'binary_data': attempt to access JSON non-boolean as boolean",
        ),
    ],
)
def test_json_of_the_wrong_form_is_an_internal_error(document: Any, text: str) -> None:
    assert fault(document, code=Code.INTERNAL) == text


@pytest.mark.parametrize("dim", [-1, 1.5, "4", None, True, 2.0])
def test_dimensions_are_non_negative_integers(dim: Any) -> None:
    entry = plain(shape=[dim])
    assert fault({"inputs": [entry]}, code=Code.INTERNAL).endswith(
        "attempt to access JSON non-unsigned-integer as unsigned-integer"
    )


# ---- where the data are --------------------------------------------------------------------------------------------


def test_an_input_has_exactly_one_source_of_data() -> None:
    start = "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', "
    neither = {"name": "A", "datatype": "FP32", "shape": [4]}
    assert fault({"inputs": [neither]}).startswith(start)
    assert fault({"inputs": [neither]}).endswith("But no field is set")
    both = binary() | {"data": [1, 2, 3, 4]}
    assert fault({"inputs": [both]}, 16).endswith("But set 'data' 'binary_data_size'")


def test_the_source_is_checked_before_name_datatype_and_shape() -> None:
    assert fault({"inputs": [{}]}).endswith("But no field is set")


def test_binary_inputs_are_sliced_from_the_tail_in_the_order_they_appear() -> None:
    call = read({"inputs": [binary("B", 8, "INT32", [2]), binary("A", 16)]}, 24)
    assert call.request.inputs == [InputTensor("B", "INT32", (2,), 8, 0), InputTensor("A", "FP32", (4,), 16, 8)]
    assert call.json_data == []
    assert call.block_bytes == 24


def test_a_tail_too_short_says_how_much_is_missing() -> None:
    assert (
        fault({"inputs": [binary()]}, 10) == "unexpected size for input 'A', expecting 6 additional bytes for model 'm'"
    )


def test_bytes_left_over_in_the_tail_are_an_error() -> None:
    assert fault({"inputs": [binary()]}, 17) == "unexpected additional input data for model 'm'"
    assert fault({"inputs": [plain()]}, 1) == "unexpected additional input data for model 'm'"


@pytest.mark.parametrize("size", [-1, 1.5, "16", True])
def test_a_binary_size_is_an_unsigned_integer(size: Any) -> None:
    assert fault({"inputs": [binary(size=size)]}, 16, Code.INTERNAL) == (
        "Unable to parse 'binary_data_size': attempt to access JSON non-unsigned-integer as unsigned-integer"
    )


def test_json_data_get_an_aligned_place_behind_the_tail() -> None:
    call = read({"inputs": [plain("B"), binary("A", 16), plain("C", [3], shape=[1])]}, 16)
    (first, first_data), (second, second_data) = call.json_data
    assert (first.name, first.start % 64, first_data) == ("B", 0, b"\1\0\0\0\2\0\0\0")
    assert first.start >= 16
    assert second.start >= first.start + 8
    assert second.start % 64 == 0
    assert second_data == b"\3\0\0\0"
    assert call.block_bytes == second.start + 4
    assert [tensor.name for tensor in call.request.inputs] == ["B", "A", "C"]


def test_a_shape_without_elements_needs_no_data_that_make_sense() -> None:
    call = read({"inputs": [plain("B", [], shape=[0])]})
    assert call.request.inputs == [InputTensor("B", "INT32", (0,), 0, 0)]


def test_wrong_json_data_are_told_as_such() -> None:
    assert "Shape does not match true shape" in fault({"inputs": [plain(data=[1])]}, code=Code.INTERNAL)


# ---- outputs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outputs", [{}, {"outputs": []}])
def test_without_a_list_all_outputs_are_meant_and_the_request_decides_their_form(outputs: dict[str, Any]) -> None:
    call = read({"inputs": [], "parameters": {"binary_data_output": True}} | outputs)
    assert call.request.outputs == []
    assert call.all_binary
    assert call.binary == {}
    assert not read({"inputs": []} | outputs).all_binary


def test_listed_outputs_are_json_unless_they_say_otherwise_whatever_the_request_says() -> None:
    outputs = [{"name": "Y"}, {"name": "Z", "parameters": {"binary_data": True}}]
    call = read({"inputs": [], "parameters": {"binary_data_output": True}, "outputs": outputs})
    assert call.binary == {"Y": False, "Z": True}
    assert call.request.outputs == ["Y", "Z"]


def test_an_unknown_output_is_named() -> None:
    outputs = [{"name": "NOPE"}]
    assert fault({"inputs": [], "outputs": outputs}) == "unexpected inference output 'NOPE' for model 'm'"


# ---- raw binary ----------------------------------------------------------------------------------------------------


def raw_shape(tail_bytes: int, dims: tuple[int, ...], *, max_batch_size: int = 0) -> tuple[int, ...]:
    call = raw_binary(model(TensorSpec("A", "FP32", dims), max_batch_size=max_batch_size), tail_bytes)
    [tensor] = call.request.inputs
    assert (tensor.name, tensor.datatype, tensor.size_bytes, tensor.start) == ("A", "FP32", tail_bytes, 0)
    assert call.all_binary
    assert call.block_bytes == tail_bytes
    return tensor.shape


def test_a_raw_request_has_the_shape_of_the_models_one_input() -> None:
    assert raw_shape(16, (4,)) == (4,)
    assert raw_shape(16, (2, 2)) == (2, 2)


def test_with_batching_a_raw_request_is_a_batch_of_one() -> None:
    assert raw_shape(16, (4,), max_batch_size=8) == (1, 4)


def test_one_variable_dimension_is_deduced_from_the_size() -> None:
    assert raw_shape(48, (-1, 4)) == (3, 4)
    assert raw_shape(48, (4, -1), max_batch_size=8) == (1, 4, 3)
    assert raw_shape(0, (-1,)) == (0,)


def test_a_raw_request_needs_exactly_one_input_and_one_way_to_read_it() -> None:
    for spec in (model(A, B), model(TensorSpec("A", "FP32", (-1, -1))), ModelSpec("m", 1, "", "", 0, (), ())):
        with pytest.raises(TisError) as caught:
            raw_binary(spec, 16)
        assert caught.value.code is Code.INVALID_ARG


# ---- heads that come again -----------------------------------------------------------------------------------------


def head(**more: Any) -> bytes:
    return json.dumps({"inputs": [binary("A", 16), binary("B", 8, "INT32", [2])]} | more).encode()


def test_a_head_seen_before_gives_the_same_call_without_parsing() -> None:
    served = ServedModel(model(), ready=True)
    assert planned(served, head(), 24) is planned(served, head(), 24)


def test_another_head_another_tail_or_another_version_is_parsed_anew() -> None:
    served = ServedModel(model(), ready=True)
    first = planned(served, head(), 24)
    assert planned(served, head(parameters={"binary_data_output": True}), 24) is not first
    assert planned(ServedModel(model(), ready=True), head(), 24) is not first
    with pytest.raises(TisError, match="unexpected additional input data"):
        planned(served, head(), 25)


def test_heads_with_an_id_or_with_data_are_not_remembered() -> None:
    served = ServedModel(model(), ready=True)
    assert planned(served, head(id="1"), 24).request.client_id == "1"
    planned(served, json.dumps({"inputs": [binary(), plain()]}).encode(), 16)
    assert served.remembered == {}


def test_what_is_remembered_is_bounded_in_number_and_size() -> None:
    served = ServedModel(model(), ready=True)
    for number in range(2000):
        planned(served, head(x=number), 24)
    assert len(served.remembered) < 1000
    served.remembered.clear()
    planned(served, head(x="x" * 100_000), 24)
    assert served.remembered == {}


def test_a_request_that_does_not_fit_is_refused_each_time_and_not_remembered() -> None:
    served = ServedModel(model(), ready=True)
    for _ in range(2):
        with pytest.raises(TisError, match="expected 2 inputs but got 1"):
            planned(served, json.dumps({"inputs": [binary()]}).encode(), 16)
    assert served.remembered == {}


def test_an_empty_head_is_a_raw_request() -> None:
    served = ServedModel(model(A), ready=True)
    assert planned(served, b"", 16).all_binary


# ---- anything at all -----------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 70)
    | st.floats()
    | st.sampled_from(["A", "B", "Y", "FP32", "INT32", ""]),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


def members(names: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names.split(), JSON))


def with_parameters(fields: str, parameters: str) -> st.SearchStrategy[dict[str, Any]]:
    options = members(parameters) | JSON
    return st.builds(lambda fields, options: fields | {"parameters": options}, members(fields), options)


INPUT = members("name datatype shape data") | with_parameters("name datatype shape data", "binary_data_size")
OUTPUT = with_parameters("name", "binary_data")
DOCUMENT = JSON | st.fixed_dictionaries(
    {},
    optional={
        "id": JSON,
        "inputs": st.lists(INPUT | JSON, max_size=3) | JSON,
        "outputs": st.lists(OUTPUT | JSON, max_size=2) | JSON,
        "parameters": members("binary_data_output") | JSON,
    },
)


@given(DOCUMENT, st.integers(0, 100), st.sampled_from([0, 8]))
def test_whatever_the_document_is_nothing_but_a_tis_error_is_raised(
    document: Any, tail_bytes: int, max_batch_size: int
) -> None:
    try:
        call = parse(model(max_batch_size=max_batch_size), json.dumps(document).encode(), tail_bytes)
    except TisError:
        return
    for tensor in call.request.inputs:
        assert tensor.start + tensor.size_bytes <= call.block_bytes
        assert prod(tensor.shape) >= 0
    spans = sorted(
        (tensor.start, tensor.start + tensor.size_bytes) for tensor in call.request.inputs if tensor.size_bytes
    )
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
