"""The network: convolutions that shrink the picture to 25 columns, a recurrent layer, one answer a column."""

from typing import Any

import torch
from torch import nn

from tools.text_recognition.decode import ALPHABET


def _convolution(inputs: int, outputs: int, kernel: int | tuple[int, int], pool: tuple[int, int] | None) -> nn.Module:
    layers: list[Any] = [
        nn.Conv2d(inputs, outputs, kernel, padding=1 if kernel == 3 else 0, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]
    if pool is not None:
        # Pooling first and the rectifier after it gives the same numbers for less work.
        layers.insert(2, nn.MaxPool2d(pool))
    return nn.Sequential(*layers)


class Recogniser(nn.Module):  # type: ignore[misc, unused-ignore]  # torch may have no types here
    """Pictures [batch, 1, 32, 100] in, logits [batch, 25, 37] out."""

    def __init__(self, hidden: int = 64) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _convolution(1, 16, 3, (2, 2)),  # 16 x 50
            _convolution(16, 48, 3, (2, 2)),  # 8 x 25
            _convolution(48, 64, 3, (2, 1)),  # 4 x 25
            _convolution(64, 80, 3, None),
            _convolution(80, 80, (4, 1), None),  # 1 x 25
        )
        self.context = nn.GRU(80, hidden, bidirectional=True, batch_first=True)
        self.answer = nn.Linear(2 * hidden, len(ALPHABET))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return the logits of every class at every step."""
        columns = self.features(pictures).squeeze(2).transpose(1, 2)
        context, _ = self.context(columns)
        logits: torch.Tensor = self.answer(context)
        return logits
