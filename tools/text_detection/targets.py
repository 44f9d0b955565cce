"""What the network should answer for a scene, cell by cell."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tools.text_detection.scenes import Word

STRIDE: Final = 4
#: How far inside of a word's box a cell counts as the word, in parts of the box's height: above and below, and aside.
_INSIDE: Final = 0.22

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Targets:
    """The answer wanted for one scene, in cells.

    `scores` is float32 [rows, columns], 1 in words; `counts` is bool of the same shape, False along the edges of words,
    where either answer is right; `geometry` is float32 [rows, columns, 5], as the network gives it, where scores are 1.
    """

    scores: Floats
    counts: npt.NDArray[np.bool_]
    geometry: Floats


def make_targets(words: list[Word], width: int, height: int) -> Targets:
    """The targets for the words on a picture of this size."""
    rows, columns = height // STRIDE, width // STRIDE
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32) * STRIDE
    scores = np.zeros((rows, columns), np.float32)
    counts = np.ones((rows, columns), bool)
    geometry = np.zeros((rows, columns, 5), np.float32)
    for word in words:
        top_left, top_right, bottom_right, _ = word.corners
        along, down = top_right - top_left, bottom_right - top_right
        long, high = float(np.hypot(*along)), float(np.hypot(*down))
        across_x, across_y = along / long
        from_left = (x - top_left[0]) * across_x + (y - top_left[1]) * across_y
        from_top = (y - top_left[1]) * across_x - (x - top_left[0]) * across_y
        sides = np.stack([from_top, long - from_left, high - from_top, from_left], axis=-1)
        nearest = sides.min(axis=-1)
        inside = nearest >= _INSIDE * high
        scores[inside] = 1
        counts[(nearest > -_INSIDE / 2 * high) & ~inside] = False
        geometry[inside, :4] = sides[inside]
        geometry[inside, 4] = -math.atan2(across_y, across_x)
    return Targets(scores, counts, geometry)
