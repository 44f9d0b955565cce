"""Measure how many words are found and read on scenes that no training saw, through a running server, in all three ways.

Run it from the root of the repository with a server of `model_repository/` running, and with the fonts for the evaluation
that tools/text_recognition/render.py names:

    python -m tools.ocr.evaluate --url localhost:8000
"""

import argparse
import io
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import tritonclient.http as httpclient
from PIL import Image

from tools.ocr.reading import WAYS, Found
from tools.text_detection.scenes import Scene, Word, evaluation_scenes
from tools.text_recognition.render import FONT_FOLDER

#: Training uses seeds below 2^31 that are far from this one, and other words and fonts anyway.
SEED: Final = 20_251
SIZES: Final = ((320, 240), (480, 320), (640, 480), (500, 375))


@dataclass
class Tally:
    """What came of the words of all scenes, by one way."""

    words: int = 0
    exact: int = 0
    #: Found, but read otherwise: (word, what was read).
    misread: list[tuple[str, str]] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    #: Read where there is no word.
    extra: list[str] = field(default_factory=list)
    took_s: float = 0.0

    def add(self, scene: Scene, found: Sequence[Found]) -> None:
        """Count one scene. A word counts as exact if it was found in its place and every letter is right."""
        left = list(found)
        for word in scene.words:
            self.words += 1
            here = [each for each in left if _same_place(word, each)]
            if not here:
                self.missed.append(word.text)
                continue
            best = next((each for each in here if each.text == word.text), here[0])
            left = [each for each in left if each is not best]
            if best.text == word.text:
                self.exact += 1
            else:
                self.misread.append((word.text, best.text))
        self.extra += [each.text for each in left]

    def __str__(self) -> str:
        return (
            f"{self.exact} of {self.words} words found and read exactly ({self.exact / self.words:.1%}); "
            f"{len(self.misread)} misread, {len(self.missed)} missed, {len(self.extra)} where there is none"
        )


def _same_place(word: Word, found: Found) -> bool:
    """Whether the middle of what was found lies in the word's box."""
    sides = np.roll(word.corners, -1, axis=0) - word.corners
    toward = found.corners.mean(axis=0) - word.corners
    return bool((sides[:, 0] * toward[:, 1] - sides[:, 1] * toward[:, 0] >= 0).all())


def unseen_scenes(count: int, seed: int = SEED, folder: Path = FONT_FOLDER) -> list[Scene]:
    """Scenes in several sizes, the same ones for the same seed."""
    maker = evaluation_scenes(seed, folder)
    return [maker.make(*SIZES[number % len(SIZES)]) for number in range(count)]


def as_file(scene: Scene) -> bytes:
    """A scene as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(scene.pixels).save(file, "PNG")
    return file.getvalue()


def evaluate(url: str, scenes: Sequence[Scene], ways: Sequence[str]) -> tuple[dict[str, Tally], int]:
    """Ask in each way for each scene.

    Returns:
        What came of it by way, and the number of scenes on which the ways gave different words or boxes.
    """
    tallies = {way: Tally() for way in ways}
    different = 0
    with httpclient.InferenceServerClient(url) as client:
        for scene in scenes:
            file = as_file(scene)
            answers = []
            for way, tally in tallies.items():
                began = time.perf_counter()
                found = WAYS[way](client, file)
                tally.took_s += time.perf_counter() - began
                tally.add(scene, found)
                answers.append([(each.text, np.round(each.corners).tolist()) for each in found])
            different += any(each != answers[0] for each in answers)
    return tallies, different


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, ask, print the figures. The exit code is 1 where the ways differ."""
    parser = argparse.ArgumentParser(description="Measure reading scenes through a running server.")
    parser.add_argument("--url", default="localhost:8000", metavar="HOST:PORT")
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--fonts", type=Path, default=FONT_FOLDER, help="folder to look for fonts in")
    parser.add_argument("--mistakes", action="store_true", help="show the words that were misread or missed")
    given = parser.parse_args(arguments)
    tallies, different = evaluate(given.url, unseen_scenes(given.scenes, given.seed, given.fonts), given.ways)
    for way, tally in tallies.items():
        print(f"{way}: {tally}; {tally.took_s / given.scenes * 1000:.0f} ms a scene")
    if given.mistakes:
        first = next(iter(tallies.values()))
        for word, read in first.misread:
            print(f"    {word} read as {read}")
        print(f"    missed: {' '.join(first.missed) or 'none'}; without a word: {' '.join(first.extra) or 'none'}")
    print(f"{different} of {given.scenes} scenes differ between the ways")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
