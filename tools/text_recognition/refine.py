"""Go on training the text recognition model on words as the text detection cuts them out of scenes, and measure it.

Such pictures have edges of boards and other things in them that `render` does not draw, and now and then no word at all.
Run it from the root of the repository after `train`, with the fonts named in render.py installed:

    python -m tools.text_recognition.refine
"""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from model_repository.detection_postprocessing.text_crops import crop_words
from tools.text_detection.scenes import Scene, overlap, training_scenes
from tools.text_recognition.decode import scale
from tools.text_recognition.evaluate import MODEL, report
from tools.text_recognition.network import Recogniser
from tools.text_recognition.pictures import Pictures, training_pictures
from tools.text_recognition.render import FONT_FOLDER
from tools.text_recognition.resume import load_weights
from tools.text_recognition.train import export, train

_CHUNK: Final = 250
_SCENE: Final = (320, 256)
_VARIANTS: Final = 2
#: How far the detection's boxes are off: sides in parts of a box's height, and radians.
_ASIDE, _ABOVE, _TURN = 0.10, 0.08, 0.015
_MEASURED: Final = 500

Floats = npt.NDArray[np.float32]


def cut_out(scene: Scene, rng: np.random.Generator) -> Pictures:
    """The words of a scene along boxes that are a little off, and perhaps a place where there is none."""
    boxes: list[Floats] = []
    answers: list[str] = []
    for word in scene.words:
        for _ in range(_VARIANTS):
            boxes.append(_off(word.corners, rng))
            answers.append(word.text)
    empty = _place_without_word(scene, rng)
    if empty is not None:
        boxes.append(empty)
        answers.append("")
    crops = crop_words(scene.pixels.astype(np.float32), np.array(boxes, np.float32).reshape(-1, 4, 2))
    grey = np.clip(np.rint((crops[:, 0] + 1) * 127.5), 0, 255).astype(np.uint8)
    return Pictures(grey, answers)


def _off(corners: Floats, rng: np.random.Generator) -> Floats:
    """A box as the detection might give it in place of the true one."""
    along, down = corners[1] - corners[0], corners[3] - corners[0]
    high = float(np.hypot(*down))
    left, right = rng.normal(0.0, _ASIDE, 2) * high / max(float(np.hypot(*along)), 1.0)
    top, bottom = rng.normal(0.0, _ABOVE, 2)
    shifted = [(left, top), (1 + right, top), (1 + right, 1 + bottom), (left, 1 + bottom)]
    box = np.array([corners[0] + x * along + y * down for x, y in shifted])
    turn = rng.normal(0.0, _TURN)
    middle = box.mean(axis=0)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    turned: Floats = ((box - middle) @ matrix + middle).astype(np.float32)
    return turned


def _place_without_word(scene: Scene, rng: np.random.Generator) -> Floats | None:
    """A box on no word; None where chance found one."""
    height, width = scene.pixels.shape[:2]
    half_y = rng.uniform(6.0, 22.0)
    half_x = half_y * rng.uniform(1.5, 6.0)
    x, y = rng.uniform(0, width), rng.uniform(0, height)
    left, right, top, bottom = x - half_x, x + half_x, y - half_y, y + half_y
    box = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
    return None if any(overlap(box, word.corners) for word in scene.words) else box


def _chunk(number: int, seed: int, folder: Path) -> Pictures:
    rng = np.random.default_rng((seed, number))
    maker = training_scenes(seed * 1_000_003 + 500_000 + number, folder)
    parts = [cut_out(maker.make(*_SCENE), rng) for _ in range(_CHUNK)]
    return _joined(parts)


def _joined(parts: list[Pictures]) -> Pictures:
    return Pictures(np.concatenate([each.grey for each in parts]), [word for each in parts for word in each.answers])


def main() -> None:
    """Read the command line, draw, go on training, export, measure."""
    parser = argparse.ArgumentParser(
        description="Train the example text recognition model further, on words of scenes."
    )
    parser.add_argument("--start", type=Path, default=MODEL, help="model file to go on from")
    parser.add_argument("--model", type=Path, default=MODEL, help="file to write")
    parser.add_argument("--fonts", type=Path, default=FONT_FOLDER, help="folder to look for fonts in")
    parser.add_argument("--scenes", type=int, default=5000, help="scenes to cut words out of")
    parser.add_argument("--pictures", type=int, default=20_000, help="pictures as in the first training among them")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rate", type=float, default=1.5e-3, help="highest learning rate")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=3)
    given = parser.parse_args()

    started = time.monotonic()
    torch.manual_seed(given.seed)
    torch.set_num_threads(given.threads)
    with ProcessPoolExecutor(given.threads) as pool:
        draw = partial(_chunk, seed=given.seed, folder=given.fonts)
        *cut, check = pool.map(draw, range(-(-given.scenes // _CHUNK) + 1))
    pictures = _joined([*cut, training_pictures(given.pictures, given.seed, given.fonts, given.threads)])
    print(f"{len(pictures.answers)} pictures drawn in {time.monotonic() - started:.0f} s", flush=True)
    network = Recogniser()
    load_weights(network, given.start, torch.from_numpy(scale(pictures.grey[:_MEASURED])[:, np.newaxis]))
    network = network.to(memory_format=torch.channels_last)
    train(network, pictures, check, given.epochs, given.rate, given.seed)
    export(network, given.model)
    print(f"trained and exported in {time.monotonic() - started:.0f} s: {given.model}", flush=True)
    report(given.model, given.fonts)


if __name__ == "__main__":
    main()
