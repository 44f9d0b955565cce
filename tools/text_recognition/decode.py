"""What a client needs around the text recognition model: picture in, word out.

`preprocess` turns any picture into the model's input, `decode` turns the model's output back into
words and is the one that `recognition_postprocessing` serves. Only numpy and Pillow are needed; nothing
here knows how the model is run.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from model_repository.recognition_postprocessing.ctc_words import ALPHABET, decode

__all__ = ["ALPHABET", "HEIGHT", "STEPS", "WIDTH", "Bytes", "Floats", "decode", "preprocess", "scale", "to_grey"]

HEIGHT = 32
WIDTH = 100
STEPS = 25

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


def to_grey(picture: Image.Image) -> Bytes:
    """Return the picture in shades of grey, stretched to the model's size: uint8 [32, 100]."""
    if "A" in picture.getbands() or "transparency" in picture.info:
        # Transparent parts count as white paper, whatever colour hides beneath them.
        picture = picture.convert("RGBA")
        paper = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(paper, picture)
    grey = picture.convert("L").resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    return np.asarray(grey, dtype=np.uint8)


def scale(grey: npt.NDArray[Any]) -> Floats:
    """Map grey values 0..255 onto the -1..1 the model was trained on."""
    return (grey.astype(np.float32) - np.float32(127.5)) / np.float32(127.5)


def preprocess(picture: Image.Image) -> Floats:
    """Turn any picture of one word into the model's input: float32 [1, 32, 100] (no batch dimension)."""
    return scale(to_grey(picture))[np.newaxis, :, :]
