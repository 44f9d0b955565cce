"""ONNX Runtime: a linear layer with the hyperbolic tangent behind it."""

from pathlib import Path

import numpy as np

from tests.frameworks.subject import Arrays, Subject, Tensor


def _make(path: Path, seed: int) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(seed).standard_normal((6, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weights"], ["product"]), helper.make_node("Tanh", ["product"], ["y"])],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def _answer(path: Path, inputs: Arrays) -> Arrays:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return {"y": session.run(["y"], dict(inputs))[0]}


SUBJECT = Subject(
    backend="onnxruntime",
    module="onnxruntime",
    extra="onnx",
    filename="model.onnx",
    inputs=(Tensor("x", "FP32", (6,)),),
    outputs=(Tensor("y", "FP32", (3,)),),
    make=_make,
    answer=_answer,
    mistyped="configuration expects datatype TYPE_INT64 for input 'x', model provides TYPE_FP32",
    spoilt="onnx runtime error: ",
)
