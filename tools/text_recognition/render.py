"""Draw words as pictures: fonts of many kinds, slanted, shaded, blurred and noisy.

The pictures have any size; `decode.to_grey` brings them to the model's size, as it does for a client.
"""

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

#: The font families to train on, by the first letters of their files. On Debian: fonts-dejavu,
#: fonts-liberation, fonts-freefont-ttf, fonts-lato, fonts-roboto-unhinted, fonts-crosextra-carlito,
#: fonts-crosextra-caladea.
TRAINING_FAMILIES: Final = ("DejaVuSa", "DejaVuSe", "Liberation", "Free", "Lato", "Roboto", "Carlito", "Caladea")
TRAINING_SIZES: Final = (18, 20, 22, 24, 28, 32, 36, 42)
#: The fonts and the size to evaluate on, from Debian's fonts-open-sans and fonts-noto-core.
#: Training uses neither these families nor this size.
EVALUATION_FONTS: Final = ("OpenSans-Regular.ttf", "NotoSerif-Regular.ttf")
EVALUATION_SIZE: Final = 30
FONT_FOLDER: Final = Path("/usr/share/fonts")

#: Strokes too thin to survive on 32 lines.
_TOO_THIN: Final = ("Hairline", "Thin")

Floats = npt.NDArray[np.float32]


def training_fonts(folder: Path = FONT_FOLDER) -> list[Path]:
    """Find the fonts to train on; every family must be there."""
    found = [path for path in _font_files(folder) if not any(word in path.name for word in _TOO_THIN)]
    fonts: list[Path] = []
    for family in TRAINING_FAMILIES:
        members = [path for path in found if path.name.startswith(family)]
        if not members:
            message = f"no font file under {folder} starts with {family}; see the packages listed in render.py"
            raise FileNotFoundError(message)
        fonts.extend(members)
    return fonts


def evaluation_fonts(folder: Path = FONT_FOLDER) -> list[Path]:
    """Find the fonts to evaluate on."""
    found = {path.name: path for path in _font_files(folder)}
    missing = [name for name in EVALUATION_FONTS if name not in found]
    if missing:
        message = f"not found under {folder}: {', '.join(missing)}; see the packages listed in render.py"
        raise FileNotFoundError(message)
    return [found[name] for name in EVALUATION_FONTS]


def _font_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.ttf"), key=lambda path: path.name)


@cache
def load_font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    """Open a font once per size; the simple layout engine gives the same letters on every machine."""
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def render(text: str, font: ImageFont.FreeTypeFont, rng: np.random.Generator) -> Image.Image:
    """Draw one text with everything about it, save the font, left to chance."""
    mask = draw_letters(text, font, rng)
    mask = _slant(mask, rng)
    mask = _crop(mask, font, rng)
    shades = np.asarray(mask, dtype=np.float32) / 255.0
    ground, ink = _colours(rng)
    shades = ground + _shading(shades.shape, rng) + (ink - ground) * shades
    if rng.random() < 0.7:
        shades += rng.normal(0.0, rng.uniform(0.0, 14.0), shades.shape).astype(np.float32)
    picture = Image.fromarray(np.clip(shades, 0, 255).astype(np.uint8))
    if rng.random() < 0.5:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.0, 0.045) * font.size))
    return picture


def draw_letters(text: str, font: ImageFont.FreeTypeFont, rng: np.random.Generator) -> Image.Image:
    """Draw white letters on black, at times set wider or tighter, at times a little bolder."""
    size = font.size
    spread = rng.uniform(-0.04, 0.18) * size if rng.random() < 0.5 else 0.0
    stroke = rng.uniform(0.0, 0.03) * size if rng.random() < 0.2 else 0.0
    room = size
    width = math.ceil(font.getlength(text) + max(0.0, spread) * len(text) + 2 * room)
    mask = Image.new("L", (width, math.ceil(size * 1.4 + 2 * room)), 0)
    pen = ImageDraw.Draw(mask)
    if spread == 0.0:
        pen.text((room, room), text, fill=255, font=font, stroke_width=stroke)
        return mask
    x = float(room)
    for letter in text:
        pen.text((x, room), letter, fill=255, font=font, stroke_width=stroke)
        x += font.getlength(letter) + spread
    return mask


def _slant(mask: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Turn and lean the letters slightly, about the middle of the picture."""
    if rng.random() < 0.4:
        return mask
    turn = math.radians(rng.normal(0.0, 1.5))
    lean = rng.normal(0.0, 0.1)
    middle_x, middle_y = mask.width / 2, mask.height / 2
    a, b = math.cos(turn), math.sin(turn) + lean
    d, e = -math.sin(turn), math.cos(turn)
    matrix = (a, b, middle_x - a * middle_x - b * middle_y, d, e, middle_y - d * middle_x - e * middle_y)
    return mask.transform(mask.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def _crop(mask: Image.Image, font: ImageFont.FreeTypeFont, rng: np.random.Generator) -> Image.Image:
    """Cut the picture out around the letters, leaving a margin of its own on each side."""
    box = mask.getbbox()
    if box is None:
        message = "the font draws nothing for this text"
        raise ValueError(message)
    left, top, right, bottom = box
    if rng.random() < 0.4:
        # As a text detector would: the whole line, with the room above and below that the word may not use.
        top = min(top, round(font.size * 1.1))
        bottom = max(bottom, round(font.size * 2.1))
    aside = rng.uniform(0.02, 0.35, 2) * font.size
    above = rng.uniform(0.0, 0.3, 2) * font.size
    return mask.crop((round(left - aside[0]), round(top - above[0]), round(right + aside[1]), round(bottom + above[1])))


def _colours(rng: np.random.Generator) -> tuple[float, float]:
    """Choose the grey of the ground and of the ink, apart enough to read."""
    dark = rng.uniform(0.0, 110.0)
    light = rng.uniform(dark + 70.0, 255.0)
    return (dark, light) if rng.random() < 0.35 else (light, dark)


def _shading(shape: Sequence[int], rng: np.random.Generator) -> Floats:
    """Make a ground that is not even: lighter to one side, with soft blotches."""
    height, width = shape
    across = np.linspace(-1.0, 1.0, width, dtype=np.float32)[np.newaxis, :] * np.float32(rng.normal(0.0, 10.0))
    down = np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, np.newaxis] * np.float32(rng.normal(0.0, 6.0))
    shading: Floats = across + down
    if rng.random() < 0.4:
        coarse = Image.fromarray(rng.normal(0.0, rng.uniform(2.0, 12.0), (3, 8)).astype(np.float32))
        shading = shading + np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
    return shading
