"""Measure the text detection and the recognition behind it without a server: the steps one after the other, in here.

Run it from the root of the repository; it needs onnxruntime, numpy and Pillow, and the fonts for the evaluation that
tools/text_recognition/render.py names:

    python -m tools.text_detection.evaluate
"""

import argparse
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime

from model_repository.detection_postprocessing.text_boxes import find_boxes
from model_repository.detection_postprocessing.text_crops import crop_words
from model_repository.detection_preprocessing.text_pictures import prepare_picture
from tools.ocr.evaluate import SEED, Tally, unseen_scenes
from tools.ocr.reading import Found
from tools.text_recognition.decode import decode
from tools.text_recognition.render import FONT_FOLDER

DETECTOR: Final = Path("model_repository/text_detection/1/model.onnx")
RECOGNISER: Final = Path("model_repository/text_recognition/1/model.onnx")


def measure(detector: Path, recogniser: Path, scenes: int, seed: int, folder: Path) -> Tally:
    """Read so many scenes with the two networks."""
    options = {"providers": ["CPUExecutionProvider"]}
    detect = onnxruntime.InferenceSession(str(detector), **options)
    recognise = onnxruntime.InferenceSession(str(recogniser), **options)
    tally = Tally()
    for scene in unseen_scenes(scenes, seed, folder):
        picture, scale = prepare_picture(scene.pixels)
        scores, geometry = detect.run(None, {"input_images:0": picture[np.newaxis]})
        boxes = find_boxes(np.asarray(scores)[0], np.asarray(geometry)[0])
        words: list[str] = []
        if len(boxes):
            words = decode(np.asarray(recognise.run(None, {"input": crop_words(picture, boxes)})[0]))
        found = [Found(word, box) for word, box in zip(words, boxes / np.float32(scale), strict=True) if word]
        tally.add(scene, found)
    return tally


def main() -> None:
    """Read the command line and print the figures."""
    parser = argparse.ArgumentParser(description="Measure text detection and recognition on scenes.")
    parser.add_argument("--detector", type=Path, default=DETECTOR)
    parser.add_argument("--recogniser", type=Path, default=RECOGNISER)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--fonts", type=Path, default=FONT_FOLDER, help="folder to look for fonts in")
    given = parser.parse_args()
    tally = measure(given.detector, given.recogniser, given.scenes, given.seed, given.fonts)
    print(tally)
    for word, answer in tally.misread:
        print(f"    {word} read as {answer}")
    print(f"    missed: {' '.join(tally.missed) or 'none'}; without a word: {' '.join(tally.extra) or 'none'}")


if __name__ == "__main__":
    main()
