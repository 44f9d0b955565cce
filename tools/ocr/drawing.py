"""Draws the words that were found into their picture."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from tools.ocr.reading import Found

_COLOUR: Final = (230, 30, 60)
_PAPER: Final = (255, 255, 255)


def draw_found(data: bytes, found: Sequence[Found], target: Path) -> None:
    """Write a picture file with each word's box drawn into it and the word above, in the format of the target's ending.

    Raises:
        OSError: the target cannot be written.
    """
    with Image.open(io.BytesIO(data)) as opened:
        picture = opened.convert("RGB")
    thick = max(2, round(max(picture.size) / 320))
    font = ImageFont.load_default(size=max(12, round(max(picture.size) / 40)))
    pen = ImageDraw.Draw(picture)
    for each in found:
        corners = [(float(x), float(y)) for x, y in each.corners]
        pen.line([*corners, corners[0]], fill=_COLOUR, width=thick, joint="curve")
        _label(pen, each.text, corners[0], font)
    target.parent.mkdir(parents=True, exist_ok=True)
    picture.save(target)


def _label(
    pen: ImageDraw.ImageDraw,
    text: str,
    corner: tuple[float, float],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """The text on a little plate that stands on the box's corner, or hangs in the box where there is no room above."""
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    x = max(0.0, corner[0])
    y = corner[1] - (bottom - top) - 6
    y = corner[1] + 2 if y < 0 else y
    pen.rectangle((x, y, x + right - left + 4, y + bottom - top + 4), fill=_COLOUR)
    pen.text((x + 2 - left, y + 2 - top), text, fill=_PAPER, font=font)
