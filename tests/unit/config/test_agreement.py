import pytest

from tis.config.agreement import check_agreement
from tis.config.completion import completed
from tis.config.proto import ModelConfig
from tis.config.source import parse_text
from tis.contracts.model_spec import ModelSignature, TensorSignature
from tis.errors import Code, TisError

BATCHED = ModelSignature(
    inputs=(TensorSignature("A", "FP32", (-1, 3)), TensorSignature("T", "BYTES", (-1,))),
    outputs=(TensorSignature("X", "INT64", (-1, -1)), TensorSignature("Y", "INT64", (-1, 2))),
)
SCALAR = ModelSignature(inputs=(TensorSignature("S", "INT32", ()),), outputs=(TensorSignature("R", "INT32", ()),))
A = 'input { name: "A" data_type: TYPE_FP32 dims: 3 } '
T = 'input { name: "T" data_type: TYPE_STRING dims: 1 reshape { } } '


def check(text: str, signature: ModelSignature = BATCHED) -> None:
    check_agreement(parse_text(f'name: "m" {text}', "p"), signature)


def fault(text: str, signature: ModelSignature = BATCHED) -> str:
    with pytest.raises(TisError) as caught:
        check(text, signature)
    assert caught.value.code is Code.INVALID_ARG
    return caught.value.message


@pytest.mark.parametrize("signature", [BATCHED, SCALAR])
def test_a_completed_config_always_agrees(signature: ModelSignature) -> None:
    check_agreement(completed(ModelConfig(name="m"), signature), signature)


@pytest.mark.parametrize(
    "text",
    [
        "max_batch_size: 4 " + A + T + 'output { name: "X" data_type: TYPE_INT64 dims: -1 }',
        "max_batch_size: 4 " + A + T + 'output { name: "Y" data_type: TYPE_INT64 dims: [1, 2] reshape { shape: 2 } }',
        'input { name: "A" data_type: TYPE_FP32 dims: [7, 3] } input { name: "T" data_type: TYPE_STRING dims: -1 }',
    ],
)
def test_an_output_may_be_left_out_a_reshape_counts_and_variable_inputs_may_be_fixed(text: str) -> None:
    check(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            A,
            "unable to load model 'm', configuration expects 1 inputs, model provides 2; configuration has ['A'], "
            "model has ['A', 'T']",
        ),
        (
            "max_batch_size: 4 " + A + 'input { name: "Z" data_type: TYPE_STRING dims: 1 }',
            "unexpected inference input 'Z', allowed inputs are: A, T; model 'm'",
        ),
        (
            "max_batch_size: 4 " + A + T + 'output { name: "Z" }',
            "unexpected inference output 'Z', allowed outputs are: X, Y; model 'm'",
        ),
        (
            "max_batch_size: 4 " + A.replace("FP32", "FP64") + T,
            "unable to load model 'm', configuration expects datatype TYPE_FP64 for input 'A', model provides TYPE_FP32",
        ),
        (
            "max_batch_size: 4 " + A + T.replace("STRING", "UINT8"),
            "unable to load model 'm', configuration expects datatype TYPE_UINT8 for input 'T', model provides TYPE_STRING",
        ),
        (
            "max_batch_size: 4 " + A.replace("3 }", "4 }") + T,
            "model 'm', tensor 'A': the model expects 2 dimensions (shape [-1,3]) but the model configuration specifies "
            "2 dimensions (an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, "
            "making complete shape [-1,4])",
        ),
        (
            A + T,
            "model 'm', tensor 'A': the model expects 2 dimensions (shape [-1,3]) but the model configuration specifies "
            "1 dimensions (shape [3])",
        ),
        (
            "max_batch_size: 4 " + A + T + 'output { name: "X" data_type: TYPE_INT64 dims: 5 }',
            "model 'm', tensor 'X': the model expects 2 dimensions (shape [-1,-1]) but the model configuration specifies "
            "2 dimensions (an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, "
            "making complete shape [-1,5])",
        ),
        (
            "max_batch_size: 4 " + A + T.replace("reshape", "optional: true reshape"),
            "unable to load model 'm', optional input 'T' is not supported for models that support batching",
        ),
    ],
)
def test_a_disagreement_is_told_in_tritons_words(text: str, words: str) -> None:
    assert words in fault(text)


def test_batching_a_model_with_a_fixed_first_dimension_is_told() -> None:
    signature = ModelSignature(inputs=(TensorSignature("A", "FP32", (1, 3)),), outputs=())
    assert fault("max_batch_size: 4 " + A, signature) == (
        "model 'm', tensor 'A': for the model to support batching the shape should have at least 1 dimension and the first "
        "dimension must be -1; but shape expected by the model is [1,3]"
    )


def test_a_scalar_takes_ones_only() -> None:
    check('input { name: "S" data_type: TYPE_INT32 dims: [1, 1] }', SCALAR)
    assert fault('input { name: "S" data_type: TYPE_INT32 dims: 2 }', SCALAR) == (
        "unable to load model 'm', scalar tensor 'S', should only provide 1 in the model configuration when the model "
        "doesn't support batching. Model configuration provided: [2]."
    )
