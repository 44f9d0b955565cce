"""ResNet-50 for pictures of 224 x 224: the architecture of He et al. 2015 with the stride in the 3 x 3 convolution."""

from typing import Any, Final

from torch import Tensor, flatten, nn

#: Blocks of each stage, and the channels inside of them; a block gives four times as many.
_STAGES: Final = ((3, 64), (4, 128), (6, 256), (3, 512))
_GROWTH: Final = 4


class Bottleneck(nn.Module):  # type: ignore[misc, unused-ignore]
    """Convolutions of 1 x 1, 3 x 3 and 1 x 1 around which the input goes, too."""

    def __init__(self, given: int, inner: int, stride: int) -> None:
        super().__init__()
        wide = inner * _GROWTH
        self.body = nn.Sequential(
            *_convolution(given, inner, 1),
            nn.ReLU(inplace=True),
            *_convolution(inner, inner, 3, stride),
            nn.ReLU(inplace=True),
            *_convolution(inner, wide, 1),
        )
        same = stride == 1 and given == wide
        self.shortcut = nn.Identity() if same else nn.Sequential(*_convolution(given, wide, 1, stride))
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Channels `given` to `inner` * 4; height and width divided by the stride."""
        result: Tensor = self.activation(self.body(x) + self.shortcut(x))
        return result


class ResNet50(nn.Module):  # type: ignore[misc, unused-ignore]
    """FP32 pictures of shape [batch, 3, 224, 224] to scores of 1000 classes."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        layers: list[Any] = [*_convolution(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
        given = 64
        for stage, (blocks, inner) in enumerate(_STAGES):
            for block in range(blocks):
                layers.append(Bottleneck(given, inner, 2 if stage and not block else 1))
                given = inner * _GROWTH
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1))
        self.classifier = nn.Linear(given, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of shape [batch, classes]."""
        result: Tensor = self.classifier(flatten(self.features(x), 1))
        return result


def _convolution(given: int, wide: int, size: int, stride: int = 1) -> tuple[Any, Any]:
    return nn.Conv2d(given, wide, size, stride, size // 2, bias=False), nn.BatchNorm2d(wide)
