"""The network: down to a 32nd of the picture to see whole words, up again to a quarter to tell where they end."""

from typing import Any, Final

import torch
from torch import nn
from torch.nn import functional

#: The maps have one cell for this many pixels in each direction.
STRIDE: Final = 4
#: Width and height of a picture must be multiples of this.
MULTIPLE: Final = 32
_CHANNELS: Final = (12, 24, 40, 56, 80)  # at a half, a quarter, ... of the picture
_NECK: Final = 32
#: Grey levels that count as one; pixels as they come from a sharp picture then have a deviation of about 1.
_CONTRAST: Final = 64.0
_PIXELS: Final = 16.0
_LARGEST: Final = 4.5  # exp(4.5) times 16 is 1,440 pixels


def _convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Module:
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class _Level(nn.Module):  # type: ignore[misc, unused-ignore]  # torch may have no types here
    """Half the size, then convolutions around which the input has a way past."""

    def __init__(self, inputs: int, outputs: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.down = _convolution(inputs, outputs, stride=2)
        self.more = nn.ModuleList([_convolution(outputs, outputs, dilation=each) for each in dilations])

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        features = self.down(features)
        for each in self.more:
            features = features + each(features)
        return features


class Detector(nn.Module):  # type: ignore[misc, unused-ignore]  # torch may have no types here
    """Pictures float32 [batch, height, width, 3] in, RGB from 0 to 255; scores and geometry out.

    Scores are [batch, height / 4, width / 4, 1] from 0 to 1. Geometry is [batch, height / 4, width / 4, 5]: how far the
    top, right, bottom and left side of the word's box are from the cell's place (x = 4 * column, y = 4 * row), in pixels
    along the box's axes, and by what angle, in radians, the word is turned against the clock.
    """

    def __init__(self) -> None:
        super().__init__()
        first, *others = _CHANNELS
        self.stem = _convolution(3, first, stride=2)
        dilations: tuple[tuple[int, ...], ...] = ((1,), (1, 1), (1, 1), (1, 2, 1))
        self.levels = nn.ModuleList(
            [_Level(a, b, each) for a, b, each in zip(_CHANNELS[:-1], others, dilations, strict=True)]
        )
        self.across = nn.ModuleList([nn.Conv2d(channels, _NECK, 1) for channels in others])
        self.joined = nn.ModuleList([_convolution(_NECK, _NECK) for _ in others[:-1]])
        self.answer = nn.Conv2d(_NECK, 6, 1)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scores and geometry."""
        logits, geometry = self.raw(pictures)
        return torch.sigmoid(logits).permute(0, 2, 3, 1), geometry.permute(0, 2, 3, 1)

    def raw(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the scores' logits [batch, 1, rows, columns] and the geometry [batch, 5, rows, columns]."""
        channels = pictures.permute(0, 3, 1, 2)
        # The mean goes off here, so it does no harm if a client has taken one off already.
        features: Any = (channels - channels.mean(dim=(2, 3), keepdim=True)) / _CONTRAST
        features = self.stem(features)
        found = []
        for level, across in zip(self.levels, self.across, strict=True):
            features = level(features)
            found.append(across(features))
        features = found.pop()
        for join in reversed(self.joined):
            larger = functional.interpolate(features, scale_factor=2.0, mode="nearest")
            features = join(larger + found.pop())
        answer = self.answer(features)
        distances = _PIXELS * torch.exp(torch.clamp(answer[:, 1:5], -_LARGEST, _LARGEST))
        return answer[:, :1], torch.cat([distances, answer[:, 5:]], dim=1)
