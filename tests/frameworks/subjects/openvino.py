"""OpenVINO: an IR of a linear layer with the hyperbolic tangent behind it, whose layouts say that batches come first."""

from pathlib import Path

import numpy as np

from tests.frameworks.subject import Arrays, Subject, Tensor


def _make(path: Path, seed: int) -> None:
    import openvino
    from openvino import opset13 as ops

    x = ops.parameter([-1, 6], np.float32, name="x")
    weights = ops.constant(np.random.default_rng(seed).standard_normal((6, 3)).astype(np.float32))
    y = ops.result(ops.tanh(ops.matmul(x, weights, False, False)))
    x.output(0).set_names({"x"})
    y.output(0).set_names({"y"})
    x.set_layout(openvino.Layout("N..."))
    y.set_layout(openvino.Layout("N..."))
    openvino.save_model(openvino.Model([y], [x], "test"), path, compress_to_fp16=False)


def _answer(path: Path, inputs: Arrays) -> Arrays:
    import openvino

    return {"y": openvino.compile_model(path, "CPU")(dict(inputs))["y"]}


SUBJECT = Subject(
    backend="openvino",
    module="openvino",
    extra="openvino",
    filename="model.xml",
    inputs=(Tensor("x", "FP32", (6,)),),
    outputs=(Tensor("y", "FP32", (3,)),),
    make=_make,
    answer=_answer,
    # Triton's backend lets OpenVINO convert them.
    datatypes_checked="never",
    spoilt="openvino error in reading model : Unable to read the model",
    rtol=1e-4,
    atol=1e-5,
)
