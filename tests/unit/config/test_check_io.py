import pytest
from hypothesis import given
from hypothesis import strategies as st

from tis.config.check_io import check_io
from tis.config.proto import ModelConfig
from tis.config.source import parse_text
from tis.errors import Code, TisError

GOOD = 'name: "A" data_type: TYPE_FP32 dims: [2, 2]'


def fault(text: str) -> str:
    with pytest.raises(TisError) as caught:
        check_io(parse_text(f'name: "m" {text}', "p"))
    assert caught.value.code is Code.INVALID_ARG
    return caught.value.message


@pytest.mark.parametrize("side", ["input", "output"])
@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        ("", "model {side} must specify 'name' for m"),
        ('name: "A"', "model {side} 'A' must specify 'data_type' for m"),
        ('name: "A" data_type: TYPE_FP32', "model {side} 'A' must specify 'dims' for m"),
        (
            GOOD + " dims: 0",
            "model {side} 'A' dimension must be integer >= 1, or -1 to indicate a variable-size dimension for m; "
            "got [2, 2, 0]",
        ),
        (
            GOOD + " dims: -2",
            "model {side} 'A' dimension must be integer >= 1, or -1 to indicate a variable-size dimension for m; "
            "got [2, 2, -2]",
        ),
        (
            GOOD + " reshape { shape: 0 }",
            "model {side} 'A' reshape dimensions must be integer >= 1, or -1 to indicate a variable-size dimension for m; "
            "got [0]",
        ),
        (
            GOOD + " reshape { shape: 3 }",
            "model {side} 'A' has different size for dims and reshape for m; got dims [2, 2] and reshape [3]",
        ),
        (
            GOOD + " reshape { }",
            "model {side} 'A' cannot have empty reshape for non-batching model as scalar tensors are not supported for m",
        ),
        (
            GOOD + " is_shape_tensor: true",
            "shape tensors are only supported for TensorRT platform for m; 'A' is one, platform is ''",
        ),
        (
            GOOD + " is_non_linear_format_io: true",
            "Non-linear IO format is only supported for the TensorRT platform for m; 'A' is one, platform is ''",
        ),
    ],
)
def test_a_wrong_tensor_is_rejected_in_tritons_words(side: str, tensor: str, words: str) -> None:
    assert fault(f"{side} {{ {tensor} }}") == words.format(side=side)


def test_an_image_format_needs_three_dims() -> None:
    words = "model input NHWC/NCHW require 3 dims for m; 'A' has [2, 2]"
    assert fault(f"input {{ {GOOD} format: FORMAT_NHWC }}") == words


@pytest.mark.parametrize(
    ("dims", "shape", "batching", "accepted"),
    [
        ([4], [2, 2], False, True),
        ([1], [], True, True),
        ([1], [], False, False),
        ([2], [], True, False),
        ([-1], [], True, False),
        ([2, 4, -1, 6], [8, -1, 1, 6], False, True),
        ([2, -1], [-1, 2], False, False),
        ([-1, -1], [-1], False, False),
        ([-1], [1, -1], False, True),
        ([-1], [4], False, False),
    ],
)
def test_a_reshape_keeps_the_element_count_around_every_variable_dimension(
    dims: list[int], shape: list[int], batching: bool, accepted: bool
) -> None:
    config = ModelConfig(name="m", max_batch_size=4 if batching else 0)
    tensor = config.input.add(name="A", data_type=11, dims=dims)
    tensor.reshape.SetInParent()
    tensor.reshape.shape.extend(shape)
    if accepted:
        check_io(config)
    else:
        with pytest.raises(TisError, match="reshape"):
            check_io(config)


@given(st.lists(st.sampled_from([-1, 1, 2, 3, 6]), min_size=1, max_size=5))
def test_any_shape_reshaped_to_itself_with_ones_between_is_accepted(dims: list[int]) -> None:
    config = ModelConfig(name="m")
    tensor = config.output.add(name="X", data_type=11, dims=dims)
    tensor.reshape.shape.extend(part for dim in dims for part in (1, dim))
    check_io(config)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "batch_input { data_type: TYPE_FP32 }",
            "batch input kind 'BATCH_ELEMENT_COUNT' expects 1 source input, got 0 for m",
        ),
        (
            'batch_input { data_type: TYPE_FP32 source_input: "Z" }',
            "unknown source input name 'Z' for m; inputs are ['A']",
        ),
        (
            'batch_input { data_type: TYPE_INT64 source_input: "A" }',
            "batch input data type must be TYPE_INT32 or TYPE_FP32 for m; got TYPE_INT64",
        ),
        (
            'batch_output { target_name: "X" }',
            "batch output kind 'BATCH_SCATTER_WITH_INPUT_SHAPE' expects 1 source input, got 0 for m",
        ),
        (
            'batch_output { target_name: "Y" source_input: "A" }',
            "unknown target output name 'Y' for m; outputs are ['X']",
        ),
        (
            'batch_output { target_name: ["X", "X"] source_input: "A" }',
            "target output name 'X' can only be specified once for m",
        ),
    ],
)
def test_wrong_batch_tensors_are_rejected_in_tritons_words(text: str, words: str) -> None:
    tensors = f'input {{ {GOOD} }} output {{ name: "X" data_type: TYPE_FP32 dims: 1 }} '
    assert fault(tensors + text) == words


def test_right_batch_tensors_and_tensors_pass() -> None:
    text = (
        f'name: "m" input {{ {GOOD} }} output {{ name: "X" data_type: TYPE_STRING dims: -1 }} '
        'batch_input { kind: BATCH_ITEM_SHAPE data_type: TYPE_INT32 source_input: "A" } '
        'batch_output { target_name: "X" source_input: "A" }'
    )
    check_io(parse_text(text, "p"))
