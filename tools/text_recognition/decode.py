"""What a client needs around the text recognition model: picture in, word out.

`preprocess` turns any picture into the model's input, `decode` turns the model's output back into
words. Only numpy and Pillow are needed; nothing here knows how the model is run.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

HEIGHT = 32
WIDTH = 100
STEPS = 25
BLANK = 0
#: Class 0 is the CTC blank, written "-" here; the other classes are the characters the model can read.
ALPHABET = "-0123456789abcdefghijklmnopqrstuvwxyz"

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


def decode(logits: npt.NDArray[Any]) -> list[str]:
    """Read the words out of the model's output, [batch, steps, classes] or [steps, classes].

    This is greedy CTC: take the best class of each step, merge equal neighbours, drop the blanks.
    The result has one word per picture, so a single [steps, classes] gives a list of one.
    """
    if logits.ndim == 2:
        logits = logits[np.newaxis]
    if logits.ndim != 3 or logits.shape[2] != len(ALPHABET):
        message = f"expected logits of shape [batch, steps, {len(ALPHABET)}], got {list(logits.shape)}"
        raise ValueError(message)
    return [_collapse(best) for best in logits.argmax(axis=2)]


def _collapse(best: npt.NDArray[np.intp]) -> str:
    """Merge equal neighbours and drop blanks in one picture's best classes."""
    starts = np.ones(len(best), dtype=bool)
    starts[1:] = best[1:] != best[:-1]
    return "".join(ALPHABET[index] for index in best[starts & (best != BLANK)])
