"""Go on training from a model file: its weights, brought back into the form in which a network is trained.

In the file each convolution and the normalization behind it have become one. Here they are parted again: what the
normalization takes off and divides by is measured on some pictures, and its own factors then undo exactly that.
"""

from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import numpy_helper
from torch import nn

from tools.text_detection.network import Detector


def load_weights(network: Detector, path: Path, pictures: torch.Tensor) -> None:
    """Give a network the weights of a model file, so that it answers as the file does.

    Args:
        network: one as it was when the file was written.
        path: the model file.
        pictures: float32 [batch, height, width, 3], pictures as in training, to measure on.

    Raises:
        ValueError: the file is of another network.
    """
    graph = onnx.load(str(path)).graph
    values = {each.name: torch.from_numpy(numpy_helper.to_array(each).copy()) for each in graph.initializer}
    nodes = [node for node in graph.node if node.op_type == "Conv"]
    waiting = iter(nodes)
    biases: list[torch.Tensor] = []

    def fill(convolution: nn.Conv2d, _: Any) -> None:
        node = next(waiting, None)
        if node is None or values[node.input[1]].shape != convolution.weight.shape:
            raise ValueError(f"{path} is of another network")
        convolution.weight.copy_(values[node.input[1]])
        bias = values[node.input[2]]
        if convolution.bias is None:
            biases.append(bias)
        else:
            convolution.bias.copy_(bias)

    def part(normalization: nn.BatchNorm2d, given: tuple[torch.Tensor]) -> None:
        variance, mean = torch.var_mean(given[0], dim=(0, 2, 3), unbiased=False)
        normalization.running_mean.copy_(mean)
        normalization.running_var.copy_(variance)
        normalization.weight.copy_(torch.sqrt(variance + normalization.eps))
        normalization.bias.copy_(mean + biases.pop())

    hooks = [
        each.register_forward_pre_hook(fill if isinstance(each, nn.Conv2d) else part)
        for each in network.modules()
        if isinstance(each, nn.Conv2d | nn.BatchNorm2d)
    ]
    network.eval()
    with torch.no_grad():
        network(pictures)
    for hook in hooks:
        hook.remove()
