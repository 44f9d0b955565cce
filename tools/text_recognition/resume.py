"""Go on training from a model file: its weights, brought back into the form in which a network is trained.

In the file each convolution and the normalization behind it have become one. Here they are parted again: what the
normalization takes off and divides by is measured on some pictures, and its own factors then undo exactly that.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn


class _File:
    """The weights of a model file, layer by layer in the order in which they are used."""

    def __init__(self, path: Path) -> None:
        graph = onnx.load(str(path)).graph
        self._path = path
        self._values = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
        self._nodes = list(graph.node)
        #: Of convolutions whose normalization comes next.
        self.biases: list[torch.Tensor] = []

    def next(self, kind: str) -> list[torch.Tensor]:
        """The weights of the next layer of this kind."""
        while self._nodes:
            node = self._nodes.pop(0)
            weights = [torch.from_numpy(self._values[name].copy()) for name in node.input if name in self._values]
            if node.op_type == kind and weights:
                return weights
        raise ValueError(f"{self._path} is of another network: it has too few layers {kind}")


def load_weights(network: nn.Module, path: Path, inputs: torch.Tensor) -> None:
    """Give a network the weights of a model file, so that it answers as the file does.

    Args:
        network: one as it was when the file was written; convolutions, normalizations, GRUs and linear layers.
        path: the model file.
        inputs: what the network takes, as in training, to measure on.

    Raises:
        ValueError: the file is of another network.
    """
    file = _File(path)

    def convolution(layer: nn.Conv2d, _: Any) -> None:
        weight, bias = file.next("Conv")
        _copy(layer.weight, weight)
        if layer.bias is None:
            file.biases.append(bias)
        else:
            _copy(layer.bias, bias)

    def normalization(layer: nn.BatchNorm2d, given: tuple[torch.Tensor]) -> None:
        variance, mean = torch.var_mean(given[0], dim=(0, 2, 3), unbiased=False)
        _copy(layer.running_mean, mean)
        _copy(layer.running_var, variance)
        _copy(layer.weight, torch.sqrt(variance + layer.eps))
        _copy(layer.bias, mean + file.biases.pop())

    def recurrent(layer: nn.GRU, _: Any) -> None:
        weights = file.next("GRU")
        for direction, ending in enumerate(("", "_reverse")):
            # In the file the gates are update, reset, new; here reset comes first.
            of_input, of_state, biases = (each[direction] for each in weights)
            parts = {"weight_ih": of_input, "weight_hh": of_state}
            parts["bias_ih"], parts["bias_hh"] = biases.chunk(2)
            for name, values in parts.items():
                update, reset, new = values.chunk(3)
                _copy(getattr(layer, f"{name}_l0{ending}"), torch.cat([reset, update, new]))

    def linear(layer: nn.Linear, _: Any) -> None:
        _copy(layer.weight, file.next("MatMul")[0].T)
        _copy(layer.bias, file.next("Add")[0])

    fill: dict[type[nn.Module], Any] = {
        nn.Conv2d: convolution,
        nn.BatchNorm2d: normalization,
        nn.GRU: recurrent,
        nn.Linear: linear,
    }
    hooks = [layer.register_forward_pre_hook(fill[type(layer)]) for layer in network.modules() if type(layer) in fill]
    network.eval()
    try:
        with torch.no_grad():
            network(inputs)
    finally:
        for hook in hooks:
            hook.remove()


def _copy(target: torch.Tensor, values: torch.Tensor) -> None:
    if target.shape != values.shape:
        wanted, found = list(target.shape), list(np.shape(values))
        raise ValueError(f"the file is of another network: a layer has weights {found}, not {wanted}")
    target.copy_(values)
