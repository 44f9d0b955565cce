"""Tiny ONNX models for sequences: they keep nothing themselves, and some show what the server tells them."""

from pathlib import Path
from typing import Final

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.harness.models import Model, Tensor
from tests.harness.repository import one_cpu

#: What a row of the witness's OUTPUT holds.
WITNESSED: Final = ("start", "end", "ready", "correlation", "items", "ready_items")

CONTROLS: Final = """
  control_input [
    { name: "START" control [ { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } ] },
    { name: "END" control [ { kind: CONTROL_SEQUENCE_END fp32_false_true: [ -1, 2 ] } ] },
    { name: "READY" control [ { kind: CONTROL_SEQUENCE_READY bool_false_true: [ false, true ] } ] },
    { name: "CORRID" control [ { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } ] }
  ]
"""
START: Final = """
  control_input [ { name: "START" control [ { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } ] } ]
"""
SUM_STATE: Final = 'state [ { input_name: "SUM_IN" output_name: "SUM_OUT" data_type: TYPE_INT32 dims: [ 1 ] %s } ]'


def write(
    model: Model, folder: Path, name: str, sequences: str, *, max_batch_size: int = 4, count: int = 1, own: int = 1
) -> None:
    """Add a model to a repository. Its clients see its first input and its first `own` outputs."""
    model.write_version(folder, name, 1)
    batched = max_batch_size > 0
    text = f'backend: "onnxruntime"\nmax_batch_size: {max_batch_size}\n{one_cpu(count)}'
    text += f"input [ {model.inputs[0].config(batched=batched)} ]\n"
    text += "".join(f"output [ {each.config(batched=batched)} ]\n" for each in model.outputs[:own])
    (folder / name / "config.pbtxt").write_text(text + f"sequence_batching {{ {sequences} }}\n")


def accumulator(*, batched: bool = True) -> Model:
    """SUM of all INPUTs since START, whatever the state held before."""
    dims = ("b", 1) if batched else (1,)
    return Model(
        (Tensor("INPUT", "INT32", dims), Tensor("START", "INT32", dims), Tensor("SUM_IN", "INT32", dims)),
        (Tensor("SUM", "INT32", dims), Tensor("SUM_OUT", "INT32", dims)),
        (
            helper.make_node("Sub", ["one", "START"], ["goes_on"]),
            helper.make_node("Mul", ["SUM_IN", "goes_on"], ["before"]),
            helper.make_node("Add", ["INPUT", "before"], ["SUM_OUT"]),
            helper.make_node("Identity", ["SUM_OUT"], ["SUM"]),
        ),
        (numpy_helper.from_array(np.array(1, np.int32), "one"),),
    )


def trusting_accumulator() -> Model:
    """SUM of all INPUTs and of what the state held at first."""
    return Model(
        (Tensor("INPUT", "INT32", ("b", 1)), Tensor("SUM_IN", "INT32", ("b", 1))),
        (Tensor("SUM", "INT32", ("b", 1)), Tensor("SUM_OUT", "INT32", ("b", 1))),
        (
            helper.make_node("Add", ["INPUT", "SUM_IN"], ["SUM_OUT"]),
            helper.make_node("Identity", ["SUM_OUT"], ["SUM"]),
        ),
    )


def collector() -> Model:
    """ALL of the INPUTs so far behind what the state held at first: a state that grows."""
    return Model(
        (Tensor("INPUT", "INT32", ("b", 1)), Tensor("ALL_IN", "INT32", ("b", "n"))),
        (Tensor("ALL", "INT32", ("b", "m")), Tensor("ALL_OUT", "INT32", ("b", "m"))),
        (
            helper.make_node("Concat", ["ALL_IN", "INPUT"], ["ALL_OUT"], axis=1),
            helper.make_node("Identity", ["ALL_OUT"], ["ALL"]),
        ),
    )


def rememberer() -> Model:
    """The string that came BEFORE; an empty one at first."""
    dims = ("b", 1)
    return Model(
        (Tensor("INPUT", "BYTES", dims), Tensor("LAST_IN", "BYTES", dims)),
        (Tensor("BEFORE", "BYTES", dims), Tensor("LAST_OUT", "BYTES", dims)),
        (
            helper.make_node("Identity", ["LAST_IN"], ["BEFORE"]),
            helper.make_node("Identity", ["INPUT"], ["LAST_OUT"]),
        ),
    )


def witness() -> Model:
    """The controls of an item, how many items its batch has, and how many of them are ready; see WITNESSED."""
    dims = ("b", 1)
    integer = TensorProto.INT64
    return Model(
        (
            Tensor("INPUT", "INT32", dims),
            Tensor("START", "INT32", dims),
            Tensor("END", "FP32", dims),
            Tensor("READY", "BOOL", dims),
            Tensor("CORRID", "UINT64", dims),
        ),
        (Tensor("OUTPUT", "INT64", ("b", len(WITNESSED))),),
        (
            helper.make_node("Cast", ["START"], ["start"], to=integer),
            helper.make_node("Cast", ["END"], ["end"], to=integer),
            helper.make_node("Cast", ["READY"], ["ready"], to=integer),
            helper.make_node("Cast", ["CORRID"], ["correlation"], to=integer),
            helper.make_node("Cast", ["INPUT"], ["input"], to=integer),
            helper.make_node("Mul", ["input", "zero"], ["zeros"]),
            helper.make_node("Add", ["zeros", "one"], ["ones"]),
            helper.make_node("ReduceSum", ["ones"], ["all"], keepdims=0),
            helper.make_node("Add", ["zeros", "all"], ["items"]),
            helper.make_node("ReduceSum", ["ready"], ["all_ready"], keepdims=0),
            helper.make_node("Add", ["zeros", "all_ready"], ["ready_items"]),
            helper.make_node("Concat", list(WITNESSED), ["OUTPUT"], axis=1),
        ),
        (numpy_helper.from_array(np.array(0, np.int64), "zero"), numpy_helper.from_array(np.array(1, np.int64), "one")),
    )
