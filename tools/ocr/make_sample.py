"""Make the sample picture for reading all words on a picture: a signpost with five boards.

The words and the fonts are evaluation ones, so neither network has seen them. Run it from the root of the repository; it
needs numpy and Pillow, and the fonts for the evaluation that tools/text_recognition/render.py names:

    python -m tools.ocr.make_sample
"""

import math
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tools.text_recognition.render import evaluation_fonts, load_font

TARGET: Final = Path(__file__).with_name("sample.jpg")
_WIDTH, _HEIGHT = 480, 360
#: Word, font (of two), its size, middle of the board, degrees against the clock, colours of board and letters.
_BOARDS: Final = (
    ("Harbor", 0, 34, (210, 68), 4.0, (38, 70, 120), (236, 232, 214)),
    ("museum", 1, 30, (268, 126), -3.0, (128, 48, 40), (244, 226, 190)),
    ("coffee", 0, 26, (196, 178), 2.0, (232, 222, 196), (74, 44, 28)),
    ("LIBRARY", 0, 24, (284, 226), -5.0, (46, 98, 66), (240, 240, 230)),
    ("lighthouse", 1, 28, (214, 280), 1.0, (226, 186, 60), (40, 36, 34)),
)


def draw_signpost(seed: int = 11) -> Image.Image:
    """Draw the post in front of sky and hills, with light from one side, a little blur and grain."""
    rng = np.random.default_rng(seed)
    way = np.linspace(0.0, 1.0, _HEIGHT)[:, np.newaxis, np.newaxis]
    sky = np.array([126.0, 172.0, 214.0]) * (1 - way) + np.array([224.0, 226.0, 216.0]) * way
    picture = Image.fromarray(np.broadcast_to(sky, (_HEIGHT, _WIDTH, 3)).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((-160, 250, 300, 560), fill=(110, 142, 84))
    pen.ellipse((180, 270, 680, 600), fill=(92, 126, 76))
    pen.rectangle((228, 30, 244, _HEIGHT), fill=(92, 72, 54))
    for word, font, size, middle, degrees, board, ink in _BOARDS:
        picture = _with_board(picture, word, (font, size), middle, degrees, (board, ink))
    pixels = np.asarray(picture.filter(ImageFilter.GaussianBlur(0.5)), np.float64)
    light = np.linspace(-18.0, 14.0, _WIDTH)[np.newaxis, :, np.newaxis]
    pixels = pixels + light + rng.normal(0.0, 5.0, (_HEIGHT, _WIDTH, 1))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _with_board(
    picture: Image.Image,
    word: str,
    lettering: tuple[int, int],
    middle: tuple[int, int],
    degrees: float,
    colours: tuple[tuple[int, int, int], tuple[int, int, int]],
) -> Image.Image:
    """Nail one board to the post."""
    font = load_font(evaluation_fonts()[lettering[0]], lettering[1])
    half_x, half_y = math.ceil(font.getlength(word) / 2) + 22, math.ceil(lettering[1] * 0.85)
    x, y = middle
    layer = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    tip = [(x + half_x, y - half_y), (x + half_x + half_y, y), (x + half_x, y + half_y)]
    pen.polygon([(x - half_x, y - half_y), *tip, (x - half_x, y + half_y)], fill=(*colours[0], 255))
    pen.text(middle, word, fill=(*colours[1], 255), font=font, anchor="mm")
    layer = layer.rotate(degrees, Image.Resampling.BICUBIC, center=middle)
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def main() -> None:
    """Write the picture."""
    draw_signpost().save(TARGET, quality=88)
    print(f"{TARGET.name}: {' '.join(board[0] for board in _BOARDS)}, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
