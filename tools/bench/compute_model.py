"""The network that `compute` runs: convolutions of some milliseconds an image, of random weights with a fixed seed."""

import math
from pathlib import Path
from typing import Any, Final

import numpy as np

from .bare_loop import Bare, run_bare
from .errors import BenchError

NAME: Final = "convolutions"
#: An image: small, so that its way to the model is not what is measured.
SHAPE: Final = (3, 64, 64)
CLASSES: Final = 10
_LAYERS: Final = 6
_FASTEST_MS, _AIM_MS, _SLOWEST_MS = 3.0, 4.0, 6.0
_FIRST_WIDTH: Final = 48
#: Widths come in steps that vector units like.
_STEP: Final = 8
_TRIES: Final = 6
_LOOK_S: Final = 0.4


def calibrated(path: Path) -> tuple[int, Bare]:
    """Write a network that takes about 4 ms an image here on one core; gives its width and what a look at it showed."""
    width = _FIRST_WIDTH
    for _ in range(_TRIES):
        write_network(path, width)
        found = run_bare(path, SHAPE, seconds=_LOOK_S)
        if _FASTEST_MS <= found.fastest_ms <= _SLOWEST_MS:
            return width, found
        width = next_width(width, found.fastest_ms)
    raise BenchError(f"no network of {_FASTEST_MS:g} to {_SLOWEST_MS:g} ms an image was found; is the machine busy?")


def next_width(width: int, took_ms: float) -> int:
    """The width to try after one that took so long: the work grows with its square. Never the same one again."""
    better = max(round(width * math.sqrt(_AIM_MS / took_ms) / _STEP), 1) * _STEP
    if better == width:
        return width + _STEP if took_ms < _AIM_MS else max(width - _STEP, _STEP)
    return better


def write_network(path: Path, width: int) -> None:
    """Write the ONNX file: an image in, scores of classes out, any number of images at once."""
    import onnx  # here, because the command line's --help works without it
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(seed=0)
    nodes: list[Any] = []
    weights: list[Any] = []

    def weight(name: str, *shape: int) -> str:
        scale = (2 / np.prod(shape[1:])) ** 0.5
        values = (rng.standard_normal(shape) * scale).astype(np.float32)
        weights.append(numpy_helper.from_array(values, name))
        return name

    last, channels = "INPUT0", SHAPE[0]
    for number in range(_LAYERS):
        stride = 2 if number == 0 else 1
        kernel = weight(f"kernel{number}", width, channels, 3, 3)
        how: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [stride, stride]}
        nodes.append(helper.make_node("Conv", [last, kernel], [f"conv{number}"], **how))
        nodes.append(helper.make_node("Relu", [f"conv{number}"], [f"relu{number}"]))
        last, channels = f"relu{number}", width
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"]))
    nodes.append(helper.make_node("MatMul", ["flat", weight("head", width, CLASSES)], ["OUTPUT0"]))
    graph = helper.make_graph(
        nodes,
        NAME,
        [helper.make_tensor_value_info("INPUT0", TensorProto.FLOAT, ["batch", *SHAPE])],
        [helper.make_tensor_value_info("OUTPUT0", TensorProto.FLOAT, ["batch", CLASSES])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
