"""From a picture and a box around a word to the small grey picture that the text recognition reads. Only numpy."""

import math

import numpy as np
import numpy.typing as npt

HEIGHT = 32
WIDTH = 100
#: Room left around the ink, in parts of the box's height: aside, above and below.
_ASIDE = 0.14
_ABOVE = 0.16
_GREY = np.array([0.299, 0.587, 0.114], np.float32)

Floats = npt.NDArray[np.float32]


def crop_words(picture: Floats, boxes: Floats) -> Floats:
    """Cut out, set upright and bring to size every word.

    Args:
        picture: float32 [height, width, 3], red, green and blue from 0 to 255.
        boxes: float32 [words, 4, 2], x and y in pixels of the corners: top left, top right, bottom right, bottom left.

    Returns:
        float32 [words, 1, 32, 100], from -1 (black) to 1 (white).
    """
    grey = picture @ _GREY
    crops = [_crop(grey, box) for box in boxes]
    return np.array(crops, np.float32).reshape(-1, 1, HEIGHT, WIDTH) / np.float32(127.5) - np.float32(1)


def _crop(grey: Floats, box: Floats) -> Floats:
    """One word in shades of grey, float32 [32, 100]."""
    along, down = box[1] - box[0], box[3] - box[0]
    long, high = float(np.hypot(*along)), float(np.hypot(*down))
    aside = along / max(long, 1e-6) * (_ASIDE * high)
    above = down * _ABOVE
    start = box[0] - aside - above
    along, down = along + 2 * aside, down + 2 * above
    # Where pixels are left out, the mean of several is taken, or fine strokes would flicker.
    fine_x = min(8, max(1, math.ceil((long + 2 * _ASIDE * high) / WIDTH)))
    fine_y = min(8, max(1, math.ceil(high * (1 + 2 * _ABOVE) / HEIGHT)))
    across = (np.arange(WIDTH * fine_x, dtype=np.float32) + 0.5) / (WIDTH * fine_x)
    downward = (np.arange(HEIGHT * fine_y, dtype=np.float32) + 0.5) / (HEIGHT * fine_y)
    places = start + across[np.newaxis, :, np.newaxis] * along + downward[:, np.newaxis, np.newaxis] * down
    sampled = _sample(grey, places[..., 0] - 0.5, places[..., 1] - 0.5)
    crop: Floats = sampled.reshape(HEIGHT, fine_y, WIDTH, fine_x).mean(axis=(1, 3))
    return crop


def _sample(grey: Floats, x: Floats, y: Floats) -> Floats:
    """The grey between pixels, in proportion to how near each of the four around is; beyond the edge the edge goes on."""
    height, width = grey.shape
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    left, top = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    to_right, to_bottom = (x - left).astype(np.float32), (y - top).astype(np.float32)
    upper = grey[top, left] * (1 - to_right) + grey[top, right] * to_right
    lower = grey[bottom, left] * (1 - to_right) + grey[bottom, right] * to_right
    sampled: Floats = upper * (1 - to_bottom) + lower * to_bottom
    return sampled
