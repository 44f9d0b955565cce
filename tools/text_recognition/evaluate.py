"""Measure the text recognition model on words, a font and a size that it never saw.

Run it from the root of the repository; it needs onnxruntime, numpy and Pillow, and the fonts named
in render.py:

    python -m tools.text_recognition.evaluate
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from PIL import Image

from tools.text_recognition.decode import decode, preprocess, scale
from tools.text_recognition.pictures import Pictures, evaluation_pictures
from tools.text_recognition.render import FONT_FOLDER, evaluation_fonts

MODEL: Final = Path("model_repository/text_recognition/1/model.onnx")
SAMPLE: Final = Path(__file__).with_name("sample.png")
_BATCH: Final = 8


@dataclass(frozen=True)
class Score:
    """How many of the words came out exact in one font, and the ones that did not (word, answer)."""

    font: str
    total: int
    mistakes: list[tuple[str, str]]

    @property
    def share(self) -> float:
        """The share of words that came out exact."""
        return 1 - len(self.mistakes) / self.total


def read_words(session: onnxruntime.InferenceSession, pictures: Pictures) -> list[str]:
    """Ask the model for the word on each picture."""
    inputs = scale(pictures.grey)[:, np.newaxis]
    answers: list[str] = []
    for start in range(0, len(inputs), _BATCH):
        (logits,) = session.run(["logits"], {"input": inputs[start : start + _BATCH]})
        answers.extend(decode(np.asarray(logits)))
    return answers


def evaluate(model: Path, folder: Path) -> list[Score]:
    """Score the model on every evaluation word in each evaluation font."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    scores: list[Score] = []
    for font in evaluation_fonts(folder):
        pictures = evaluation_pictures(font)
        pairs = zip(pictures.answers, read_words(session, pictures), strict=True)
        mistakes = [(word, answer) for word, answer in pairs if word != answer]
        scores.append(Score(font.stem, len(pictures.answers), mistakes))
    return scores


def report(model: Path, folder: Path) -> None:
    """Print the scores, the mistakes and the answer on the sample picture."""
    for score in evaluate(model, folder):
        exact = score.total - len(score.mistakes)
        print(f"{score.font}: {exact} of {score.total} unseen words exact ({score.share:.1%})")
        for word, answer in score.mistakes:
            print(f"    {word} read as {answer or '(nothing)'}")
    if SAMPLE.exists():
        session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        with Image.open(SAMPLE) as picture:
            (logits,) = session.run(["logits"], {"input": preprocess(picture)[np.newaxis]})
        print(f"{SAMPLE.name}: {decode(np.asarray(logits))[0]}")


def main() -> None:
    """Read the command line and print the scores."""
    parser = argparse.ArgumentParser(description="Measure the text recognition model.")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--fonts", type=Path, default=FONT_FOLDER, help="folder to look for fonts in")
    arguments = parser.parse_args()
    report(arguments.model, arguments.fonts)


if __name__ == "__main__":
    main()
