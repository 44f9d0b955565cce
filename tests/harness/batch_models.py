"""Tiny ONNX models that see their batch as a whole: what of ragged, made and padded inputs reaches a model."""

from typing import Final

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.harness.models import Model, Tensor
from tis.contracts.datatypes import to_config

#: Kinds of batch inputs whose tensors have one dimension, and what the models below call them.
FLAT_KINDS: Final = {
    "COUNT": "BATCH_ELEMENT_COUNT",
    "ENDS": "BATCH_ACCUMULATED_ELEMENT_COUNT",
    "STARTS": "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO",
    "LONGEST": "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE",
    "SHAPES": "BATCH_ITEM_SHAPE_FLATTEN",
}


def mirror(datatype: str) -> tuple[Model, str]:
    """Shows every request the whole batch: OUT_<input> has, for each item, a row of all that the model got for an input.

    Inputs are the ragged RAGGED and every kind of batch input in a datatype; ITEMS, the shape of each item, comes back as
    OUT_ITEMS. Also the config, but for the head and what batches.
    """
    flat = {"RAGGED": "FP32", **dict.fromkeys(FLAT_KINDS, datatype)}
    nodes = [
        helper.make_node("Shape", ["ITEMS"], ["count"], start=0, end=1),
        helper.make_node("Concat", ["count", "one"], ["rows"], axis=0),
        helper.make_node("Identity", ["ITEMS"], ["OUT_ITEMS"]),
    ]
    for name in flat:
        nodes.append(helper.make_node("Unsqueeze", [name, "zero"], [f"row_{name}"]))
        nodes.append(helper.make_node("Expand", [f"row_{name}", "rows"], [f"OUT_{name}"]))
    model = Model(
        (*(Tensor(name, each, (-1,)) for name, each in flat.items()), Tensor("ITEMS", datatype, (-1, 2))),
        (
            *(Tensor(f"OUT_{name}", each, ("items", f"n_{name}")) for name, each in flat.items()),
            Tensor("OUT_ITEMS", datatype, ("items", 2)),
        ),
        tuple(nodes),
        (
            numpy_helper.from_array(np.array([1], np.int64), "one"),
            numpy_helper.from_array(np.array([0], np.int64), "zero"),
        ),
    )
    config = 'input { name: "RAGGED" data_type: TYPE_FP32 dims: [-1, -1] allow_ragged_batch: true }\n'
    config += "".join(f"output {tensor.config(batched=True)}\n" for tensor in model.outputs)
    for name, kind in {**FLAT_KINDS, "ITEMS": "BATCH_ITEM_SHAPE"}.items():
        config += (
            f'batch_input {{ kind: {kind} target_name: "{name}" data_type: {to_config(datatype)} '
            'source_input: "RAGGED" }\n'
        )
    return model, config


def ragged_echo(datatype: str) -> tuple[Model, str]:
    """A ragged RAGGED to OUT unchanged, which is scattered by its shape; also the config, but for the head."""
    model = Model(
        (Tensor("RAGGED", datatype, (-1,)),),
        (Tensor("OUT", datatype, (-1,)),),
        (helper.make_node("Identity", ["RAGGED"], ["OUT"]),),
    )
    config = (
        f'input {{ name: "RAGGED" data_type: {to_config(datatype)} dims: [-1, 2] allow_ragged_batch: true }}\n'
        f'output {{ name: "OUT" data_type: {to_config(datatype)} dims: [-1, 2] }}\n'
        'batch_output { target_name: "OUT" kind: BATCH_SCATTER_WITH_INPUT_SHAPE source_input: "RAGGED" }\n'
    )
    return model, config


def masked_mean() -> Model:
    """MEAN of VALUES where MASK is 1, the values TWICE as large, and the LENGTH that the model saw."""
    return Model(
        (Tensor("VALUES", "FP32", ("b", "n")), Tensor("MASK", "FP32", ("b", "n"))),
        (Tensor("MEAN", "FP32", ("b", 1)), Tensor("TWICE", "FP32", ("b", "n")), Tensor("LENGTH", "INT64", ("b", 1))),
        (
            helper.make_node("Mul", ["VALUES", "MASK"], ["kept"]),
            helper.make_node("ReduceSum", ["kept", "one"], ["sum"], keepdims=1),
            helper.make_node("ReduceSum", ["MASK", "one"], ["count"], keepdims=1),
            helper.make_node("Div", ["sum", "count"], ["MEAN"]),
            helper.make_node("Add", ["VALUES", "VALUES"], ["TWICE"]),
            helper.make_node("Shape", ["VALUES"], ["length"], start=1, end=2),
            helper.make_node("Mul", ["count", "nothing"], ["zeros"]),
            helper.make_node("Cast", ["zeros"], ["whole"], to=TensorProto.INT64),
            helper.make_node("Add", ["whole", "length"], ["LENGTH"]),
        ),
        (
            numpy_helper.from_array(np.array([1], np.int64), "one"),
            numpy_helper.from_array(np.array(0, np.float32), "nothing"),
        ),
    )


def row_per_element() -> Model:
    """A ragged RAGGED to OUT, a row for each element: as many as there are items only where each item has one."""
    return Model(
        (Tensor("RAGGED", "FP32", (-1,)),),
        (Tensor("OUT", "FP32", (-1, 1)),),
        (helper.make_node("Unsqueeze", ["RAGGED", "one"], ["OUT"]),),
        (numpy_helper.from_array(np.array([1], np.int64), "one"),),
    )
