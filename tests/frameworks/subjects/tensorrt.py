"""TensorRT: a linear layer with the hyperbolic tangent behind it, built by TensorRT itself on the GPU that is there."""

from pathlib import Path

import numpy as np

from tests.frameworks.subject import ROWS, Arrays, Subject, Tensor

FEATURES, RESULTS = 6, 3


def _weights(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((FEATURES, RESULTS)).astype(np.float32)


def _make(path: Path, seed: int) -> None:
    import tensorrt as trt

    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    network = builder.create_network(0)
    rows = network.add_input("x", trt.float32, (-1, FEATURES))
    weights = np.ascontiguousarray(_weights(seed))
    layer = network.add_constant(weights.shape, trt.Weights(weights)).get_output(0)
    none = trt.MatrixOperation.NONE
    product = network.add_matrix_multiply(rows, none, layer, none).get_output(0)
    result = network.add_activation(product, trt.ActivationType.TANH).get_output(0)
    result.name = "y"
    network.mark_output(result)
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    profile.set_shape("x", (1, FEATURES), (ROWS, FEATURES), (2 * ROWS, FEATURES))
    config.add_optimization_profile(profile)
    path.write_bytes(bytes(builder.build_serialized_network(network, config)))
    np.save(path.with_suffix(".npy"), weights)


def _answer(path: Path, inputs: Arrays) -> Arrays:
    # TensorRT rounds to TF32 within a product, so that the answer is that of the mathematics, not of another run of it.
    return {"y": np.tanh(inputs["x"] @ np.load(path.with_suffix(".npy")))}


SUBJECT = Subject(
    backend="tensorrt",
    module="tensorrt",
    extra="tensorrt",
    filename="model.plan",
    inputs=(Tensor("x", "FP32", (FEATURES,)),),
    outputs=(Tensor("y", "FP32", (RESULTS,)),),
    make=_make,
    answer=_answer,
    mistyped="configuration expects datatype TYPE_INT64 for input 'x', model provides TYPE_FP32",
    spoilt="unable to create TensorRT engine: ",
    rtol=1e-2,
    atol=1e-2,
    also=("torch",),
    gpu=True,
)
