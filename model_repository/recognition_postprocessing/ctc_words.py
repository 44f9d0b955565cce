"""From the output of the text recognition to words. Only numpy is needed."""

from typing import Any

import numpy as np
import numpy.typing as npt

BLANK = 0
#: Class 0 is the CTC blank, written "-" here; the other classes are the characters the model can read.
ALPHABET = "-0123456789abcdefghijklmnopqrstuvwxyz"


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
