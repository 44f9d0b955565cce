"""A request that does not fit its model is refused with Triton's words, in Triton's order."""

import contextlib
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tis.contracts.datatypes import ELEMENT_BYTES
from tis.contracts.inference import InferRequest, InputTensor
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.contracts.validation import batch_key, check_bytes_elements, check_output_names, check_request
from tis.errors import Code, TisError

A = TensorSpec("A", "FP32", (4,))
B = TensorSpec("B", "INT32", (2, 2))
V = TensorSpec("V", "FP32", (-1, 3))
S = TensorSpec("S", "BYTES", (2,))
OPTIONAL = TensorSpec("O", "FP32", (1,), optional=True)
BATCH_NOTE = (
    "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be prepended to each "
    "input shape. If you want to specify the full shape including the batch dim in your input dims config, try setting "
    "max_batch_size to zero. See the model configuration docs for more info on max_batch_size."
)


def model(*inputs: TensorSpec, max_batch_size: int = 0) -> ModelSpec:
    outputs = (TensorSpec("Y", "FP32", (4,)),)
    return ModelSpec("m", 1, "", "onnxruntime", max_batch_size, inputs, outputs)


def tensor(spec: TensorSpec, *shape: int, datatype: str = "", size_bytes: int | None = None) -> InputTensor:
    """An input of the given full shape, right in all but what is said."""
    chosen = datatype or spec.datatype
    if size_bytes is None:
        size_bytes = prod(shape) * ELEMENT_BYTES.get(chosen, 1)
    return InputTensor(spec.name, chosen, shape, size_bytes)


def text(spec: ModelSpec, *inputs: InputTensor, client_id: str = "7") -> str:
    """The error's text without the prefix that every one must have but that of an unknown name."""
    with pytest.raises(TisError) as caught:
        check_request(spec, InferRequest("m", 1, client_id, list(inputs)))
    assert caught.value.code is Code.INVALID_ARG
    prefix = f"[request id: {client_id or '<id_unknown>'}] "
    assert caught.value.message.startswith((prefix, "unexpected inference input '"))
    return caught.value.message.removeprefix(prefix)


def accepts(spec: ModelSpec, *inputs: InputTensor) -> int:
    return check_request(spec, InferRequest("m", 1, "", list(inputs)))


# ---- 1: outputs ----------------------------------------------------------------------------------------------------


def test_an_unknown_output_is_named_without_the_requests_id() -> None:
    with pytest.raises(TisError) as caught:
        check_output_names(model(A), ["Y", "NOPE"])
    assert caught.value.code is Code.INVALID_ARG
    assert caught.value.message == "unexpected inference output 'NOPE' for model 'm'"
    check_output_names(model(A), ["Y"])
    check_output_names(model(A), [])


# ---- 2 and 3: which inputs -----------------------------------------------------------------------------------------


def test_a_missing_input_is_named() -> None:
    assert text(model(A, B), tensor(A, 4)) == (
        "expected 2 inputs but got 1 inputs for model 'm'. Got input(s) ['A'], but missing required input(s) ['B']. "
        "Please provide all required input(s)."
    )


def test_no_input_at_all_lists_none_got_and_all_missing() -> None:
    assert text(model(A, B)) == (
        "expected 2 inputs but got 0 inputs for model 'm'. Got input(s) [], but missing required input(s) ['A','B']. "
        "Please provide all required input(s)."
    )


def test_with_optional_inputs_the_count_is_a_range() -> None:
    assert text(model(A, OPTIONAL)).startswith(
        "expected number of inputs between 1 and 2 but got 0 inputs for model 'm'. "
    )


def test_too_many_inputs_are_counted() -> None:
    unknown = InputTensor("X", "FP32", (4,), 16)
    assert text(model(A), tensor(A, 4), unknown).startswith("expected 1 inputs but got 2 inputs for model 'm'. ")


def test_an_unknown_input_in_place_of_a_known_one_is_named() -> None:
    unknown = InputTensor("X", "FP32", (4,), 16)
    assert text(model(A), unknown) == "unexpected inference input 'X' for model 'm'"
    assert text(model(A, OPTIONAL), tensor(A, 4), unknown) == "unexpected inference input 'X' for model 'm'"


def test_an_input_given_twice_is_named() -> None:
    assert text(model(A, B), tensor(A, 4), tensor(A, 4)) == "input 'A' already exists in request"


def test_optional_inputs_may_be_absent_or_present() -> None:
    assert accepts(model(A, OPTIONAL), tensor(A, 4)) == 0
    assert accepts(model(A, OPTIONAL), tensor(A, 4), tensor(OPTIONAL, 1)) == 0


# ---- 4: the batch dimension ----------------------------------------------------------------------------------------


def test_a_batching_model_needs_a_first_dimension() -> None:
    scalar = InputTensor("A", "FP32", (), 4)
    assert (
        text(model(A, max_batch_size=8), scalar) == "input 'A' has no shape but model requires batch dimension for 'm'"
    )


def test_all_inputs_have_the_same_batch_size() -> None:
    spec = model(A, B, max_batch_size=8)
    assert text(spec, tensor(A, 2, 4), tensor(B, 3, 2, 2)) == "input 'A' batch size does not match other inputs for 'm'"


def test_the_batch_size_is_bounded() -> None:
    spec = model(A, max_batch_size=8)
    assert text(spec, tensor(A, 9, 4)) == "inference request batch-size must be <= 8 for 'm'"
    assert accepts(spec, tensor(A, 8, 4)) == 8
    assert accepts(spec, tensor(A, 1, 4)) == 1


def test_a_batch_dimension_of_zero_fails_the_size_check_as_if_there_were_no_batch() -> None:
    assert text(model(A, max_batch_size=8), tensor(A, 0, 4)) == (
        "input byte size mismatch for input 'A' for model 'm'. Expected 16, got 0"
    )
    # With as many bytes as one item has, the size would be right without a batch; it is still no request to run.
    assert text(model(A, max_batch_size=8), tensor(A, 0, 4, size_bytes=16)) == (
        "input byte size mismatch for input 'A' for model 'm'. Expected 0, got 16"
    )
    assert "string elements" in text(model(S, max_batch_size=8), tensor(S, 0, 2))


# ---- 5: datatypes --------------------------------------------------------------------------------------------------


def test_another_datatype_is_named_with_the_expected_one() -> None:
    assert text(model(A), tensor(A, 4, datatype="INT32")) == (
        "inference input 'A' data-type is 'INT32', but model 'm' expects 'FP32'"
    )


def test_an_unknown_datatype_is_called_invalid() -> None:
    assert text(model(A), tensor(A, 4, datatype="FP33")) == (
        "inference input 'A' data-type is '<invalid>', but model 'm' expects 'FP32'"
    )


# ---- 6: shapes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (4, 1), (), (1, 4)])
def test_another_shape_is_printed_beside_the_expected_one(shape: tuple[int, ...]) -> None:
    printed = str(list(shape)).replace(" ", "")
    assert (
        text(model(A), tensor(A, *shape))
        == f"unexpected shape for input 'A' for model 'm'. Expected [4], got {printed}. "
    )


def test_for_a_batching_model_the_shape_has_its_batch_dimension_and_a_note_follows() -> None:
    assert text(model(A, max_batch_size=8), tensor(A, 2, 3)) == (
        f"unexpected shape for input 'A' for model 'm'. Expected [-1,4], got [2,3]. {BATCH_NOTE}"
    )


def test_a_variable_dimension_takes_any_size_but_only_there() -> None:
    for count in (0, 1, 77):
        assert accepts(model(V), tensor(V, count, 3)) == 0
    assert text(model(V), tensor(V, 3, 77)).startswith(
        "unexpected shape for input 'V' for model 'm'. Expected [-1,3], got [3,77]"
    )


@pytest.mark.parametrize(
    ("expected", "max_batch_size", "shape"),
    [
        (A, 0, (-1,)),
        (A, 8, (-1, 4)),
        (A, 8, (2, -4)),
        (V, 0, (-1, 3)),
        (V, 8, (-1, -1, 3)),
        (TensorSpec("W", "FP32", (-1, -1)), 0, (-1, -1)),
        (TensorSpec("W", "FP32", (-1,)), 8, (-1, -1)),
    ],
)
def test_a_negative_dimension_is_never_taken_for_any_size(
    expected: TensorSpec, max_batch_size: int, shape: tuple[int, ...]
) -> None:
    given_tensor = tensor(expected, *shape, size_bytes=abs(prod(shape)) * 4)
    assert text(model(expected, max_batch_size=max_batch_size), given_tensor).startswith(
        f"All input dimensions should be specified for input '{expected.name}' for model 'm', got "
    )


# ---- 8: sizes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size_bytes", [0, 8, 15, 17])
def test_another_size_than_the_shape_has_is_named(size_bytes: int) -> None:
    assert text(model(A), tensor(A, 4, size_bytes=size_bytes)) == (
        f"input byte size mismatch for input 'A' for model 'm'. Expected 16, got {size_bytes}"
    )


# ---- order and prefix ----------------------------------------------------------------------------------------------


def test_a_request_with_every_fault_is_told_them_in_order() -> None:
    spec = model(A, B, max_batch_size=8)
    wrong_a = InputTensor("A", "INT32", (9, 3), 1)
    wrong_b = InputTensor("B", "FP32", (8, 2, 2), 1)
    assert text(spec, wrong_a).startswith("expected 2 inputs")
    assert text(spec, wrong_b, wrong_a).startswith("input 'B' batch size does not match")
    wrong_b.shape = (9, 2, 2)
    assert text(spec, wrong_b, wrong_a).startswith("inference request batch-size must be <= 8")
    wrong_a.shape, wrong_b.shape = (8, 3), (8, 2, 2)
    assert text(spec, wrong_b, wrong_a).startswith("inference input 'A' data-type")
    wrong_a.datatype = "FP32"
    assert text(spec, wrong_b, wrong_a).startswith("unexpected shape for input 'A'")
    wrong_a.shape = (8, 4)
    assert text(spec, wrong_b, wrong_a).startswith("input byte size mismatch for input 'A'")
    wrong_a.size_bytes = 8 * 16
    assert text(spec, wrong_b, wrong_a).startswith("inference input 'B' data-type")
    wrong_b.datatype, wrong_b.size_bytes = "INT32", 8 * 16
    assert accepts(spec, wrong_b, wrong_a) == 8


def test_without_an_id_the_prefix_says_so() -> None:
    assert text(model(A), client_id="").startswith("expected 1 inputs")


# ---- the elements of BYTES -----------------------------------------------------------------------------------------


def bytes_text(data: bytes, *shape: int) -> str:
    with pytest.raises(TisError) as caught:
        check_bytes_elements("S", "m", shape, memoryview(data))
    assert caught.value.code is Code.INVALID_ARG
    return caught.value.message


def test_too_few_elements_are_counted() -> None:
    assert bytes_text(b"\1\0\0\0a", 2) == "expected 2 string elements for inference input 'S' for model 'm', got 1"
    assert bytes_text(b"", 1) == "expected 1 string elements for inference input 'S' for model 'm', got 0"


def test_an_element_too_many_is_counted() -> None:
    assert bytes_text(b"\0\0\0\0" * 3, 2) == (
        "unexpected number of string elements 3 for inference input 'S' for model 'm', expecting 2"
    )


def test_an_incomplete_length_is_told() -> None:
    assert bytes_text(b"\0\0\0\0\1\0", 2).startswith(
        "incomplete string length indicator for inference input 'S' for model 'm', expecting 4 bytes but only 2 bytes "
        "available."
    )


def test_an_incomplete_element_is_told() -> None:
    assert bytes_text(b"\5\0\0\0abc", 1) == (
        "incomplete string data for inference input 'S' for model 'm', expecting string of length 5 but only 3 bytes "
        "available"
    )


def test_a_length_of_four_gigabytes_is_not_believed() -> None:
    assert bytes_text(b"\xff\xff\xff\xffabc", 1).startswith("incomplete string data")


@given(st.lists(st.binary(max_size=20), max_size=8))
def test_as_many_elements_as_the_shape_has_are_accepted(elements: list[bytes]) -> None:
    wire = b"".join(len(each).to_bytes(4, "little") + each for each in elements)
    check_bytes_elements("S", "m", (len(elements),), memoryview(wire))
    check_bytes_elements("S", "m", (1, len(elements)), memoryview(wire))


@given(st.binary(max_size=60), st.lists(st.integers(-2, 4), max_size=3))
def test_whatever_the_bytes_are_nothing_but_a_tis_error_is_raised(data: bytes, shape: list[int]) -> None:
    with contextlib.suppress(TisError):
        check_bytes_elements("S", "m", tuple(shape), memoryview(data))


# ---- anything at all -----------------------------------------------------------------------------------------------

SPECS = [
    model(A),
    model(A, B, max_batch_size=8),
    model(V, OPTIONAL, max_batch_size=4),
    model(S),
    model(TensorSpec("A", "BYTES", (-1,)), max_batch_size=2),
    model(TensorSpec("A", "FP32", (-1, -1))),
    model(),
]
TENSORS = st.builds(
    InputTensor,
    name=st.sampled_from(["A", "B", "V", "O", "S", "", "'"]),
    datatype=st.sampled_from([*ELEMENT_BYTES, "", "<invalid>", "fp32"]),
    shape=st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 10), max_size=4).map(tuple),
    size_bytes=st.integers(0, 1000),
)


@given(st.sampled_from(SPECS), st.lists(TENSORS, max_size=4), st.text(max_size=3))
def test_whatever_the_request_is_nothing_but_a_tis_error_is_raised(
    spec: ModelSpec, inputs: list[InputTensor], client_id: str
) -> None:
    request = InferRequest("m", 1, client_id, inputs)
    refused: TisError | None = None
    batch_size = 0
    try:
        batch_size = check_request(spec, request)
    except TisError as error:
        refused = error
    if refused is not None:
        assert refused.code is Code.INVALID_ARG
        assert refused.message.startswith(("[request id: ", "unexpected inference input '"))
        return
    assert 0 <= batch_size <= spec.max_batch_size
    for each in inputs:
        assert all(dim >= 0 for dim in each.shape)
        if each.datatype != "BYTES":
            assert each.size_bytes == prod(each.shape) * ELEMENT_BYTES[each.datatype]


# ---- batch keys ----------------------------------------------------------------------------------------------------


def test_requests_of_a_model_with_fixed_required_inputs_need_no_key() -> None:
    assert batch_key(model(A, B, max_batch_size=8), [tensor(A, 1, 4), tensor(B, 1, 2, 2)]) == b""


def test_variable_dimensions_keep_requests_apart_but_the_batch_dimension_does_not() -> None:
    spec = model(A, V, max_batch_size=8)
    key = batch_key(spec, [tensor(A, 1, 4), tensor(V, 1, 7, 3)])
    assert key == batch_key(spec, [tensor(V, 2, 7, 3), tensor(A, 2, 4)])
    assert key != batch_key(spec, [tensor(A, 1, 4), tensor(V, 1, 8, 3)])


def test_the_set_of_optional_inputs_keeps_requests_apart() -> None:
    spec = model(A, OPTIONAL, max_batch_size=8)
    assert batch_key(spec, [tensor(A, 1, 4)]) != batch_key(spec, [tensor(A, 1, 4), tensor(OPTIONAL, 1, 1)])


def test_ragged_inputs_do_not_keep_requests_apart() -> None:
    ragged = TensorSpec("R", "FP32", (-1,), allow_ragged_batch=True)
    spec = model(ragged, max_batch_size=8)
    assert batch_key(spec, [tensor(ragged, 1, 7)]) == batch_key(spec, [tensor(ragged, 1, 8)])
