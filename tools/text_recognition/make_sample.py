"""Make the sample picture of the text recognition example: one word on a worn sign.

The word and the font are evaluation ones, so the model has seen neither. Run it from the root of the
repository; it needs numpy and Pillow, and the fonts named in render.py:

    python -m tools.text_recognition.make_sample
"""

from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tools.text_recognition.render import evaluation_fonts, load_font

TARGET: Final = Path(__file__).with_name("sample.png")
WORD: Final = "lighthouse"
_WIDTH, _HEIGHT, _SIZE = 160, 46, 27


def draw_sign(seed: int = 7) -> Image.Image:
    """Draw pale letters on a blue board, lit from one side, slightly turned, blurred and grainy."""
    rng = np.random.default_rng(seed)
    font = load_font(evaluation_fonts()[0], _SIZE)
    mask = Image.new("L", (_WIDTH, _HEIGHT), 0)
    ImageDraw.Draw(mask).text((_WIDTH / 2, _HEIGHT / 2), WORD, fill=255, font=font, anchor="mm")
    mask = mask.rotate(1.5, Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(0.5))

    coarse = Image.fromarray(rng.normal(0.0, 12.0, (5, 12)).astype(np.float32))
    stains = np.asarray(coarse.resize((_WIDTH, _HEIGHT), Image.Resampling.BICUBIC))
    light = np.linspace(-25.0, 25.0, _WIDTH)[np.newaxis, :] + stains
    letters = (np.asarray(mask, dtype=np.float64) / 255.0)[:, :, np.newaxis]
    board = np.array([44.0, 78.0, 120.0])
    paint = np.array([226.0, 220.0, 200.0])
    pixels = board + (paint - board) * letters + light[:, :, np.newaxis]
    pixels += rng.normal(0.0, 6.0, (_HEIGHT, _WIDTH, 1))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def main() -> None:
    """Write the picture."""
    draw_sign().save(TARGET, optimize=True)
    print(f"{TARGET.name}: {WORD}, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
