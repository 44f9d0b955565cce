"""Draw scenes: pictures with one to five words in all sizes, places, colours and turned by up to ten degrees.

The words of the evaluation and their fonts are those that the text recognition keeps for its own: no training uses them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from tools.text_detection.backdrop import draw_backdrop, some_colour, stains
from tools.text_recognition.render import (
    FONT_FOLDER,
    draw_letters,
    evaluation_fonts,
    load_font,
    training_fonts,
)
from tools.text_recognition.words import Text, TextMaker, load_words

MOST_WORDS: Final = 5
MOST_TURN: Final = math.radians(10.0)
SIZES: Final = (18, 50)  # of fonts, in pixels
_TRIES: Final = 30
#: Grey levels that ink and ground differ by, and how far the ground behind a word may deviate from its mean.
_CONTRAST: Final = 70.0
_UNEVEN: Final = 18.0
#: Room around a word, in parts of its letters' height, that no other word may enter.
_GAP: Final = 0.35
_GREY: Final = np.array([0.299, 0.587, 0.114], np.float32)

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Word:
    """A word in a scene: what is to be read there, in lower case, and the box close around its ink.

    `corners` is float32 [4, 2], x and y in pixels: top left, top right, bottom right and bottom left of the word as it
    is read. (0, 0) is the corner of the picture, not the middle of its first pixel.
    """

    text: str
    corners: Floats


@dataclass(frozen=True)
class Scene:
    """A picture, uint8 [height, width, 3], and the words on it."""

    pixels: Bytes
    words: list[Word]


class SceneMaker:
    """An endless source of scenes, the same ones for the same seed.

    Raises:
        FileNotFoundError: a font is missing; the message names it.
    """

    def __init__(self, seed: int, texts: Callable[[np.random.Generator], Text], fonts: Sequence[Path]) -> None:
        self._rng = np.random.default_rng(seed)
        self._texts = texts
        self._fonts = fonts

    def make(self, width: int, height: int) -> Scene:
        """Draw the next scene."""
        rng = self._rng
        picture = draw_backdrop(width, height, rng)
        words: list[Word] = []
        wanted = int(rng.integers(1, MOST_WORDS + 1))
        for _ in range(_TRIES):
            if len(words) == wanted:
                break
            word = self._place(picture, words)
            if word is not None:
                words.append(word)
        return Scene(_worn(picture, rng), words)

    def _place(self, picture: Image.Image, others: list[Word]) -> Word | None:
        """Draw one more word somewhere; None where it did not fit."""
        rng = self._rng
        text = self._texts(rng)
        # Small sizes are as frequent as large ones by their ratio, not their difference.
        size = round(math.exp(rng.uniform(math.log(SIZES[0]), math.log(SIZES[1]))))
        font = load_font(self._fonts[int(rng.integers(len(self._fonts)))], size)
        letters = draw_letters(text.drawn, font, rng)
        box = letters.getbbox()
        if box is None:
            return None
        letters = letters.crop(box)
        turn = rng.uniform(-MOST_TURN, MOST_TURN) if rng.random() < 0.7 else 0.0
        half = np.array(letters.size, np.float32) / np.float32(2)
        reach = np.abs(_rotated(_corners(half), turn)).max(axis=0) + 3
        room = np.array(picture.size) - 2 * reach
        if (room <= 0).any():
            return None
        middle = (reach + rng.random(2) * room).astype(np.float32)
        corners = middle + _rotated(_corners(half), turn)
        grown = middle + _rotated(_corners((half + _GAP * 2 * half[1]).astype(np.float32)), turn)
        if any(overlap(grown, each.corners) for each in others):
            return None
        mask = _turned(letters, picture.size, middle, turn)
        self._ink(picture, mask, middle, half, turn)
        return Word(text.answer, corners)

    def _ink(self, picture: Image.Image, mask: Image.Image, middle: Floats, half: Floats, turn: float) -> None:
        """Colour the letters so that they can be read; where the ground is too uneven for any, put a board there first."""
        rng = self._rng
        margin = float(half[1]) * rng.uniform(0.15, 0.6)
        board = Image.new("L", picture.size, 0)
        around = middle + _rotated(_corners((half + margin).astype(np.float32)), turn)
        ImageDraw.Draw(board).polygon([(float(x), float(y)) for x, y in around], fill=255)
        behind = (np.asarray(picture, np.float32) @ _GREY)[np.asarray(board) > 0]
        if rng.random() < 0.2 or behind.std() > _UNEVEN:
            colour = some_colour(rng)
            picture.paste(colour, mask=board)
            ground = float(np.array(colour, np.float32) @ _GREY)
        else:
            ground = float(behind.mean())
        while True:
            ink = some_colour(rng)
            if abs(float(np.array(ink, np.float32) @ _GREY) - ground) >= _CONTRAST:
                break
        picture.paste(ink, mask=mask)


def training_scenes(seed: int, folder: Path = FONT_FOLDER) -> SceneMaker:
    """Scenes of invented words in the fonts for training."""
    maker = TextMaker(seed, frozenset(load_words()))
    return SceneMaker(seed, lambda _: maker.make(), training_fonts(folder))


def evaluation_scenes(seed: int, folder: Path = FONT_FOLDER) -> SceneMaker:
    """Scenes of words and fonts that no training sees; one word in ten is in capitals, one in ten begins with one."""
    words = load_words()

    def choose(rng: np.random.Generator) -> Text:
        word = words[int(rng.integers(len(words)))]
        drawn = [word.upper(), word.capitalize(), *[word] * 8][int(rng.integers(10))]
        return Text(drawn, word)

    return SceneMaker(seed, choose, evaluation_fonts(folder))


def _corners(half: Floats) -> Floats:
    """The corners of a box around (0, 0), in a word's order."""
    return (np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32) * half).astype(np.float32)


def _rotated(points: Floats, turn: float) -> Floats:
    """Turn points about (0, 0); with y down, a positive angle turns against the clock."""
    cos, sin = math.cos(turn), math.sin(turn)
    return (points @ np.array([[cos, -sin], [sin, cos]], np.float32)).astype(np.float32)


def _turned(letters: Image.Image, size: tuple[int, int], middle: Floats, turn: float) -> Image.Image:
    """The letters as a mask of the whole picture, turned and in their place."""
    cos, sin = math.cos(turn), math.sin(turn)
    x, y = float(middle[0]), float(middle[1])
    half_x, half_y = letters.width / 2, letters.height / 2
    # From a place in the picture back to one in the letters.
    matrix = (cos, -sin, half_x - cos * x + sin * y, sin, cos, half_y - sin * x - cos * y)
    return letters.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)


def overlap(one: Floats, other: Floats) -> bool:
    """Whether two convex shapes touch: no line along any of their sides parts them."""
    for shape in (one, other):
        sides = np.roll(shape, -1, axis=0) - shape
        normals = np.stack([-sides[:, 1], sides[:, 0]], axis=1)
        ours, theirs = one @ normals.T, other @ normals.T
        if ((ours.max(axis=0) < theirs.min(axis=0)) | (theirs.max(axis=0) < ours.min(axis=0))).any():
            return False
    return True


def _worn(picture: Image.Image, rng: np.random.Generator) -> Bytes:
    """Light from one side, blur and grain."""
    if rng.random() < 0.5:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.0, 0.9)))
    pixels = np.asarray(picture, np.float32)
    if rng.random() < 0.5:
        pixels = pixels + stains(picture.width, picture.height, rng.uniform(0.0, 12.0), rng)[:, :, np.newaxis]
    if rng.random() < 0.7:
        grain = rng.normal(0.0, rng.uniform(0.0, 12.0), (*pixels.shape[:2], 3 if rng.random() < 0.5 else 1))
        pixels = pixels + grain.astype(np.float32)
    return np.clip(pixels, 0, 255).astype(np.uint8)
