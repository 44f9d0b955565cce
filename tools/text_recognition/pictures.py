"""Make many training and evaluation pictures, in several processes, the same ones for the same seed."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from tools.text_recognition.decode import HEIGHT, WIDTH, Bytes, to_grey
from tools.text_recognition.render import (
    EVALUATION_SIZE,
    FONT_FOLDER,
    TRAINING_SIZES,
    load_font,
    render,
    training_fonts,
)
from tools.text_recognition.words import TextMaker, load_words

_CHUNK: Final = 2000


@dataclass(frozen=True)
class Pictures:
    """Grey pictures, uint8 [count, 32, 100], and the word on each."""

    grey: Bytes
    answers: list[str]


@dataclass(frozen=True)
class _Chunk:
    seed: int
    count: int
    folder: Path


def _training_chunk(chunk: _Chunk) -> Pictures:
    rng = np.random.default_rng(chunk.seed)
    maker = TextMaker(chunk.seed, frozenset(load_words()))
    fonts = training_fonts(chunk.folder)
    grey = np.empty((chunk.count, HEIGHT, WIDTH), dtype=np.uint8)
    answers: list[str] = []
    for index in range(chunk.count):
        text = maker.make()
        font = load_font(fonts[int(rng.integers(len(fonts)))], int(rng.choice(TRAINING_SIZES)))
        grey[index] = to_grey(render(text.drawn, font, rng))
        answers.append(text.answer)
    return Pictures(grey, answers)


def training_pictures(count: int, seed: int, folder: Path = FONT_FOLDER, processes: int = 2) -> Pictures:
    """Draw `count` training texts in the training fonts and sizes."""
    with ProcessPoolExecutor(processes) as pool:
        parts = list(pool.map(_training_chunk, _chunks(count, seed, folder)))
    return Pictures(np.concatenate([part.grey for part in parts]), [word for part in parts for word in part.answers])


def evaluation_pictures(font: Path, seed: int = 0) -> Pictures:
    """Draw each evaluation word once, in a font and size that training does not use, distorted in the same ways."""
    rng = np.random.default_rng(seed)
    words = load_words()
    loaded = load_font(font, EVALUATION_SIZE)
    return Pictures(np.stack([to_grey(render(word, loaded, rng)) for word in words]), words)


def _chunks(count: int, seed: int, folder: Path) -> Iterator[_Chunk]:
    for number, start in enumerate(range(0, count, _CHUNK)):
        yield _Chunk(seed * 1_000_003 + number, min(_CHUNK, count - start), folder)
