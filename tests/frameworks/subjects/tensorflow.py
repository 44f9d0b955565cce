"""TensorFlow: a SavedModel of a linear layer with the hyperbolic tangent behind it."""

from pathlib import Path

import numpy as np

from tests.frameworks.subject import Arrays, Subject, Tensor


def _make(path: Path, seed: int) -> None:
    import tensorflow as tf

    module = tf.Module()
    module.weights = tf.Variable(np.random.default_rng(seed).standard_normal((6, 3)).astype(np.float32))
    described = tf.TensorSpec([None, 6], tf.float32, name="x")
    module.layer = tf.function(lambda x: {"y": tf.tanh(tf.matmul(x, module.weights))}, input_signature=[described])
    tf.saved_model.save(module, str(path), signatures=module.layer)


def _answer(path: Path, inputs: Arrays) -> Arrays:
    import tensorflow as tf

    layer = tf.saved_model.load(str(path)).signatures["serving_default"]
    return {"y": layer(x=tf.constant(inputs["x"]))["y"].numpy()}


def _spoil(path: Path) -> None:
    (path / "saved_model.pb").write_bytes(b"no model of any framework" * 64)


SUBJECT = Subject(
    backend="tensorflow",
    module="tensorflow",
    extra="tensorflow",
    filename="model.savedmodel",
    inputs=(Tensor("x", "FP32", (6,)),),
    outputs=(Tensor("y", "FP32", (3,)),),
    make=_make,
    answer=_answer,
    config='platform: "tensorflow_savedmodel"\n',
    mistyped="configuration expects datatype TYPE_INT64 for input 'x', model provides TYPE_FP32",
    spoil=_spoil,
    spoilt="unable to load model 'spoilt', tensorflow error: Cannot parse file",
)
