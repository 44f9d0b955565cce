"""A generate call: members are inputs by name, parameters otherwise, and shapes follow from the number of elements."""

import json
from typing import Any

import pytest

from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.errors import Code, TisError
from tis_frontend.http.generate_request import parse

NO_SHAPE = "The schema can not convert input 'A' to tensor with proper shape"


def shape(dims: tuple[int, ...], data: Any, *, max_batch_size: int = 0) -> tuple[int, ...]:
    spec = ModelSpec("m", 1, "", "", max_batch_size, (TensorSpec("A", "INT32", dims),), ())
    call, _ = parse(spec, json.dumps({"A": data}).encode(), 1 << 20)
    [tensor] = call.request.inputs
    return tensor.shape


def fault(body: Any, *, most_bytes: int = 1 << 20) -> tuple[Code, str]:
    spec = ModelSpec("m", 1, "", "", 0, (TensorSpec("A", "BYTES", (-1,)),), ())
    with pytest.raises(TisError) as caught:
        parse(spec, body if isinstance(body, bytes) else json.dumps(body).encode(), most_bytes)
    return caught.value.code, caught.value.message


def test_the_innermost_variable_dimension_takes_what_the_fixed_ones_leave() -> None:
    assert shape((-1, 2, -1), [1, 2, 3, 4]) == (1, 2, 2)
    assert shape((-1,), 7) == (1,)
    assert shape((2,), [1, 2]) == (2,)
    assert shape((-1,), []) == (0,)


def test_a_batch_is_the_outermost_variable_dimension() -> None:
    assert shape((4,), [1] * 8, max_batch_size=4) == (2, 4)
    assert shape((-1, 4), [1] * 8, max_batch_size=4) == (1, 2, 4)


@pytest.mark.parametrize(("dims", "count"), [((4,), 3), ((4,), 8), ((0,), 1), ((-1, 2), 3)])
def test_elements_that_fit_no_shape_are_refused(dims: tuple[int, ...], count: int) -> None:
    with pytest.raises(TisError, match=NO_SHAPE):
        shape(dims, [1] * count)


def test_what_is_no_input_is_a_parameter_and_the_id_is_both() -> None:
    spec = ModelSpec("m", 1, "", "", 0, (TensorSpec("A", "BYTES", (-1,)),), ())
    body = {"id": "x", "A": "text", "k": 1, "triton_x": True, "parameters": {"t": 0.5}}
    call, plan = parse(spec, json.dumps(body).encode(), 1 << 20)
    assert call.request.client_id == "x"
    assert plan.parameters == {"id": "x", "k": 1, "triton_x": True, "t": 0.5}
    assert [data for _, data in call.json_data] == [b"\4\0\0\0text"]


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        (b"", Code.INTERNAL, "failed to parse the request JSON buffer: The document is empty. at 0"),
        ([], Code.INTERNAL, "attempt to get members for non-object"),
        ({"id": 5}, Code.INTERNAL, "Unable to parse 'id': attempt to access JSON non-string as string"),
        ({"A": 5}, Code.INTERNAL, "Unable to parse JSON bytes array: attempt to access JSON non-string as string"),
        (
            {"A": "a", "parameters": {"A": "b"}},
            Code.INVALID_ARG,
            "Converting keyword: 'parameters': [request id: <id_unknown>] input 'A' already exists in request",
        ),
        (
            {"parameters": 5},
            Code.INTERNAL,
            "Expected JSON object for keyword: 'parameters': attempt to access JSON non-object as object",
        ),
        (
            {"parameters": {"parameters": {}}},
            Code.INVALID_ARG,
            "Converting keyword: 'parameters': parameter 'parameters' has invalid type. It should be either 'int', "
            "'bool', or 'string'.",
        ),
    ],
)
def test_broken_bodies_are_refused_in_tritons_words(body: Any, code: Code, text: str) -> None:
    assert fault(body) == (code, text)


def test_inputs_beyond_the_limit_are_refused() -> None:
    assert "exceeds the maximum allowed input size of 10" in fault({"A": "0123456789"}, most_bytes=10)[1]
