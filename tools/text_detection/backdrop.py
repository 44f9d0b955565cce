"""What lies behind the words of a scene: gradients, stains, shapes and lines in all colours."""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Floats = npt.NDArray[np.float32]
Colour = tuple[int, int, int]


def draw_backdrop(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """An RGB picture without words; about a third of them are calm, the others full of things that are no letters."""
    picture = Image.fromarray(np.clip(_ground(width, height, rng), 0, 255).astype(np.uint8))
    if rng.random() < 0.65:
        pen = ImageDraw.Draw(picture)
        for _ in range(int(rng.integers(1, 14))):
            _shape(pen, width, height, rng)
    return picture


def some_colour(rng: np.random.Generator) -> Colour:
    """Any colour; greys are as frequent as all others together, as they are in print."""
    if rng.random() < 0.5:
        grey = int(rng.integers(256))
        return grey, grey, grey
    red, green, blue = rng.integers(0, 256, 3)
    return int(red), int(green), int(blue)


def stains(width: int, height: int, strength: float, rng: np.random.Generator) -> Floats:
    """Soft blotches, lighter and darker, in grey levels: float32 [height, width]."""
    cells = (int(rng.integers(2, 9)), int(rng.integers(2, 9)))
    coarse = Image.fromarray(rng.normal(0.0, strength, cells).astype(np.float32))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)


def _ground(width: int, height: int, rng: np.random.Generator) -> Floats:
    """One colour that goes over into another, with stains where chance wants them: float32 [height, width, 3]."""
    start = np.array(some_colour(rng), np.float32)
    end = np.clip(start + rng.normal(0.0, 40.0, 3).astype(np.float32), 0, 255)
    turn = rng.uniform(0.0, 2 * np.pi)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    way = (columns / width - 0.5) * np.cos(turn) + (rows / height - 0.5) * np.sin(turn) + 0.5
    ground: Floats = start + (end - start) * np.clip(way, 0, 1)[:, :, np.newaxis].astype(np.float32)
    if rng.random() < 0.6:
        ground = ground + stains(width, height, rng.uniform(2.0, 25.0), rng)[:, :, np.newaxis]
    return ground.astype(np.float32)


def _shape(pen: ImageDraw.ImageDraw, width: int, height: int, rng: np.random.Generator) -> None:
    """A line, a row of bars, an ellipse, a box or a triangle, filled or not."""
    colour = some_colour(rng)
    x, y = float(rng.uniform(-20, width)), float(rng.uniform(-20, height))
    across, down = float(rng.uniform(4, width / 2)), float(rng.uniform(4, height / 2))
    thick = int(rng.integers(1, 6))
    kind = int(rng.integers(5))
    if kind == 0:
        pen.line((x, y, float(rng.uniform(0, width)), float(rng.uniform(0, height))), fill=colour, width=thick)
    elif kind == 1:
        step = float(rng.uniform(4, 20))
        for number in range(int(rng.integers(2, 12))):
            left = x + number * step
            pen.line((left, y, left + float(rng.uniform(-1, 1)), y + min(down, 40.0)), fill=colour, width=thick)
    elif kind == 2:
        box = (x, y, x + across, y + down)
        pen.ellipse(box, outline=colour, width=thick, fill=colour if rng.random() < 0.5 else None)
    elif kind == 3:
        box = (x, y, x + across, y + down)
        pen.rectangle(box, outline=colour, width=thick, fill=colour if rng.random() < 0.5 else None)
    else:
        corners = rng.uniform(-1, 1, (3, 2)) * (across, down) + (x, y)
        pen.polygon([(float(a), float(b)) for a, b in corners], outline=colour)
