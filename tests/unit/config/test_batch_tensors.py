"""Ragged inputs, batch inputs and batch outputs agree with the model as Triton's ONNX Runtime backend wants it."""

import pytest

from tis.config.agreement import check_agreement
from tis.config.source import parse_text
from tis.contracts.model_spec import ModelSignature, TensorSignature
from tis.errors import Code, TisError

SIGNATURE = ModelSignature(
    inputs=(
        TensorSignature("R", "FP32", (-1,)),
        TensorSignature("COUNT", "INT32", (-1,)),
        TensorSignature("ITEMS", "INT32", (-1, 2)),
    ),
    outputs=(TensorSignature("Y", "FP32", (-1,)), TensorSignature("N", "INT32", (-1, 1))),
)
RAGGED = 'input { name: "R" data_type: TYPE_FP32 dims: [-1, -1] allow_ragged_batch: true } '
COUNT = 'batch_input { kind: BATCH_ELEMENT_COUNT target_name: "COUNT" data_type: TYPE_INT32 source_input: "R" } '
ITEMS = 'batch_input { kind: BATCH_ITEM_SHAPE target_name: "ITEMS" data_type: TYPE_INT32 source_input: "R" } '
OUTPUTS = (
    'output { name: "Y" data_type: TYPE_FP32 dims: [-1, -1] } output { name: "N" data_type: TYPE_INT32 dims: 1 } '
    'batch_output { target_name: "Y" source_input: "R" } '
)


def check(text: str, signature: ModelSignature = SIGNATURE) -> None:
    check_agreement(parse_text(f'name: "m" max_batch_size: 8 {text}', "p"), signature)


def fault(text: str) -> str:
    with pytest.raises(TisError) as caught:
        check(text)
    assert caught.value.code is Code.INVALID_ARG
    return caught.value.message


def test_a_ragged_model_agrees_though_its_shapes_have_no_batch_dimension() -> None:
    check(RAGGED + COUNT + ITEMS + OUTPUTS)


def test_a_batch_input_may_have_several_targets() -> None:
    twice = ModelSignature(
        (TensorSignature("R", "FP32", (-1,)), TensorSignature("A", "INT32", (-1,)), TensorSignature("B", "INT32", ())),
        (),
    )
    check(RAGGED + COUNT.replace('"COUNT"', '["A", "B"]'), twice)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            RAGGED + COUNT,
            "unable to load model 'm', configuration expects 2 inputs, model provides 3; configuration has "
            "['R', 'COUNT'], model has ['R', 'COUNT', 'ITEMS']",
        ),
        (
            'input { name: "ITEMS" data_type: TYPE_INT32 dims: 2 allow_ragged_batch: true } '
            + COUNT
            + COUNT.replace('"COUNT"', '"R"'),
            "unable to load model 'm', configuration expects model provides input with shape [-1]  for ragged input "
            "'ITEMS', model provides [-1,2]",
        ),
        (
            RAGGED.replace("allow", "optional: true allow") + COUNT + ITEMS,
            "unable to load model 'm', optional input 'R' is not supported for models that support batching",
        ),
        (
            RAGGED + COUNT + ITEMS.replace("ITEMS", "MOON"),
            "batch input 'MOON' of kind 'BATCH_ITEM_SHAPE' is no input of the model, whose inputs are: COUNT, ITEMS, R",
        ),
        (
            RAGGED + COUNT + ITEMS.replace("ITEMS", "R"),
            "batch input 'R' of kind 'BATCH_ITEM_SHAPE' is also an input of requests; take it out of one of the two",
        ),
        (
            RAGGED + COUNT.replace("INT32", "FP32") + ITEMS,
            "batch input 'COUNT' of kind 'BATCH_ELEMENT_COUNT' has datatype TYPE_FP32, model provides TYPE_INT32",
        ),
        (
            RAGGED + COUNT + ITEMS.replace("_SHAPE", "_SHAPE_FLATTEN"),
            "batch input 'ITEMS' of kind 'BATCH_ITEM_SHAPE_FLATTEN' has 1 dimensions, model provides [-1,2]",
        ),
        (
            RAGGED + COUNT.replace("ELEMENT_COUNT", "ITEM_SHAPE") + ITEMS,
            "batch input 'COUNT' of kind 'BATCH_ITEM_SHAPE' has 2 dimensions, model provides [-1]",
        ),
        (
            RAGGED + COUNT + ITEMS + OUTPUTS.partition("batch_output")[0],
            "model 'm', tensor 'Y': the model expects 1 dimensions (shape [-1]) but the model configuration specifies 3 "
            "dimensions",
        ),
    ],
)
def test_what_does_not_agree_fails_the_load(text: str, words: str) -> None:
    assert words in fault(text)


def test_without_batching_a_ragged_input_may_not_be_optional_either() -> None:
    text = 'name: "m" ' + RAGGED.replace("allow", "optional: true allow") + COUNT + ITEMS
    with pytest.raises(TisError, match=r"ragged input 'R', which is not supported for optional input"):
        check_agreement(parse_text(text, "p"), SIGNATURE)
