"""From the maps of the text detection to a box around each word. Only numpy is needed.

Every cell of a word tells where the word's box is. Cells that mean the same word are put together, and each side of its
box is taken mostly from the cells close to that side, which know it best.
"""

import numpy as np
import numpy.typing as npt

#: The maps have one cell for this many pixels in each direction.
STRIDE = 4
#: A cell counts from this score on, and a word from so many cells on.
THRESHOLD = 0.5
FEWEST = 3
#: `text_recognition` takes no more in one batch.
MOST_WORDS = 64
#: So many cells are looked at, the surest ones, and so many words tried: bounds on the time that a picture full of
#: texture takes.
_MOST_CELLS = 20_000
_MOST_TRIES = 4 * MOST_WORDS

Floats = npt.NDArray[np.float32]


def find_boxes(scores: Floats, geometry: Floats) -> Floats:
    """The box of each word on one picture, in the order of reading.

    Args:
        scores: float32 [rows, columns, 1], how sure each cell is that it is part of a word, from 0 to 1.
        geometry: float32 [rows, columns, 5]: pixels to the top, right, bottom and left side of the word's box, along
            the box's axes, and the angle, in radians against the clock, that the box is turned by.

    Returns:
        float32 [words, 4, 2], x and y in pixels of the corners: top left, top right, bottom right, bottom left.
    """
    sure = scores[:, :, 0]
    cells = np.argwhere(sure > THRESHOLD)
    weights = sure[cells[:, 0], cells[:, 1]].astype(np.float64)
    order = np.argsort(-weights, kind="stable")[:_MOST_CELLS]
    cells, weights = cells[order], weights[order]
    places = cells[:, ::-1].astype(np.float64) * STRIDE
    sides = geometry[cells[:, 0], cells[:, 1]].astype(np.float64)

    found: list[tuple[float, Floats]] = []
    for _ in range(_MOST_TRIES):
        if not len(weights):
            break
        chosen = _same_word(places, sides)
        if np.count_nonzero(chosen) >= FEWEST:
            found.append((float(weights[chosen].sum()), _together(places[chosen], sides[chosen], weights[chosen])))
        places, sides, weights = places[~chosen], sides[~chosen], weights[~chosen]
    found.sort(key=lambda each: -each[0])
    kept: list[Floats] = []
    for _, box in found:
        if len(kept) < MOST_WORDS and not any(_inside(box.mean(axis=0), other) for other in kept):
            kept.append(box)
    return _as_read(kept)


def _axes(angle: npt.NDArray[np.float64] | np.float64) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The directions along a line of text and down from it."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos, -sin], axis=-1), np.stack([sin, cos], axis=-1)


def _same_word(places: npt.NDArray[np.float64], sides: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which cells are of the same word as the first, the surest."""
    along, down = _axes(sides[0, 4])
    top, right, bottom, left = sides[0, :4]
    offset = places - places[0]
    x, y = offset @ along, offset @ down
    within = (x >= -left) & (x <= right) & (y >= -top) & (y <= bottom)
    # A cell beyond the box belongs to the word, too, if it puts the middle of its own box into the middle of this one.
    each_along, each_down = _axes(sides[:, 4])
    middles = (
        places
        + each_along * (sides[:, 1] - sides[:, 3])[:, np.newaxis] / 2
        + each_down * (sides[:, 2] - sides[:, 0])[:, np.newaxis] / 2
    )
    apart = middles - middles[0]
    width, height = right + left, top + bottom
    means_it = (np.abs(apart @ along) < width / 4) & (np.abs(apart @ down) < height / 4)
    chosen: npt.NDArray[np.bool_] = within | means_it
    chosen[0] = True
    return chosen


def _together(
    places: npt.NDArray[np.float64], sides: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]
) -> Floats:
    """One box from the cells of one word: corners, float32 [4, 2]."""
    # What the cells say of the angle is rough; how the middles of their boxes rise along the word tells it better.
    angle = np.float64(np.average(sides[:, 4], weights=weights))
    along, down = _axes(angle)
    middles = places + down * (sides[:, 2] - sides[:, 0])[:, np.newaxis] / 2
    offset = middles - np.average(middles, axis=0, weights=weights)
    x, y = offset @ along, offset @ down
    along, down = _axes(angle - np.arctan(np.sum(weights * x * y) / np.sum(weights * (x * x + STRIDE**2))))
    x, y = places @ along, places @ down

    def side(positions: npt.NDArray[np.float64], distances: npt.NDArray[np.float64]) -> float:
        return float(np.average(positions, weights=weights / (distances + STRIDE) ** 2))

    top = side(y - sides[:, 0], sides[:, 0])
    right = side(x + sides[:, 1], sides[:, 1])
    bottom = side(y + sides[:, 2], sides[:, 2])
    left = side(x - sides[:, 3], sides[:, 3])
    corners = [left * along + top * down, right * along + top * down]
    corners += [right * along + bottom * down, left * along + bottom * down]
    return np.array(corners, np.float32)


def _inside(point: Floats, box: Floats) -> bool:
    """Whether a point lies in a box."""
    steps = np.roll(box, -1, axis=0) - box
    toward = point - box
    return bool((steps[:, 0] * toward[:, 1] - steps[:, 1] * toward[:, 0] >= 0).all())


def _as_read(boxes: list[Floats]) -> Floats:
    """Line by line from the top, each from left to right. A word is on a line if its middle is at the height of the first."""
    waiting = sorted(boxes, key=lambda box: float(box[:, 1].mean()))
    ordered: list[Floats] = []
    while waiting:
        first = waiting[0]
        reach = float(np.hypot(*(first[3] - first[0]))) / 2
        limit = float(first[:, 1].mean()) + reach
        line = [box for box in waiting if float(box[:, 1].mean()) <= limit]
        waiting = waiting[len(line) :]
        ordered += sorted(line, key=lambda box: float(box[:, 0].mean()))
    return np.array(ordered, np.float32).reshape(-1, 4, 2)
