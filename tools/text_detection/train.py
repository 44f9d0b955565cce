"""Train the example text detection model, export it to ONNX, and measure it.

Run it from the root of the repository, with the fonts named in tools/text_recognition/render.py installed:

    pip install -e '.[train]'
    python -m tools.text_detection.train

No GPU is needed; two CPU cores take a quarter of an hour or so.
"""

import argparse
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import nn
from torch.nn import functional

from tools.text_detection.network import MULTIPLE, Detector
from tools.text_detection.scenes import training_scenes
from tools.text_detection.targets import make_targets
from tools.text_recognition.render import FONT_FOLDER

MODEL: Final = Path("model_repository/text_detection/1/model.onnx")
WIDTH: Final = 320
HEIGHT: Final = 256
_BATCH: Final = 8
_CHUNK: Final = 250
_OPSET: Final = 17
_IR_VERSION: Final = 8
_NAMES: Final = ("input_images:0", "feature_fusion/Conv_7/Sigmoid:0", "feature_fusion/concat_3:0")


@dataclass(frozen=True)
class Scenes:
    """Many scenes and what is wanted for them; the first axis of each array is the scene."""

    pixels: npt.NDArray[np.uint8]
    scores: npt.NDArray[np.float32]
    counts: npt.NDArray[np.bool_]
    geometry: npt.NDArray[np.float32]


def _chunk(number: int, seed: int, folder: Path) -> Scenes:
    maker = training_scenes(seed * 1_000_003 + number, folder)
    scenes = [maker.make(WIDTH, HEIGHT) for _ in range(_CHUNK)]
    targets = [make_targets(each.words, WIDTH, HEIGHT) for each in scenes]
    return Scenes(
        np.stack([each.pixels for each in scenes]),
        np.stack([each.scores for each in targets]),
        np.stack([each.counts for each in targets]),
        np.stack([each.geometry for each in targets]),
    )


def draw_scenes(count: int, seed: int, folder: Path, processes: int) -> Scenes:
    """Draw scenes for training, in several processes, the same ones for the same seed."""
    with ProcessPoolExecutor(processes) as pool:
        parts = list(pool.map(partial(_chunk, seed=seed, folder=folder), range(-(-count // _CHUNK))))
    return Scenes(
        np.concatenate([each.pixels for each in parts]),
        np.concatenate([each.scores for each in parts]),
        np.concatenate([each.counts for each in parts]),
        np.concatenate([each.geometry for each in parts]),
    )


def loss_of(network: Detector, scenes: Scenes, chosen: npt.NDArray[np.intp], rng: np.random.Generator) -> torch.Tensor:
    """How far the network is off on some scenes, with their colours changed about and half of them as negatives."""
    pixels = scenes.pixels[chosen].astype(np.float32)[..., rng.permutation(3)]
    negative = rng.random(len(chosen)) < 0.5
    pixels[negative] = 255 - pixels[negative]
    logits, geometry = network.raw(torch.from_numpy(pixels))
    logits = logits[:, 0]
    wanted = torch.from_numpy(scenes.scores[chosen])
    counts = torch.from_numpy(scenes.counts[chosen]).float()
    sides = torch.from_numpy(scenes.geometry[chosen])

    entropy = functional.binary_cross_entropy_with_logits(logits, wanted, weight=counts * (1 + 2 * wanted))
    found = torch.sigmoid(logits) * counts
    overlap = 1 - 2 * (found * wanted).sum() / (found.sum() + wanted.sum() + 1)

    inside = wanted > 0
    given = geometry.permute(0, 2, 3, 1)[inside]
    right = sides[inside]
    high = torch.minimum(given[:, 0], right[:, 0]) + torch.minimum(given[:, 2], right[:, 2])
    long = torch.minimum(given[:, 1], right[:, 1]) + torch.minimum(given[:, 3], right[:, 3])
    common = high * long
    area = (given[:, 0] + given[:, 2]) * (given[:, 1] + given[:, 3])
    wanted_area = (right[:, 0] + right[:, 2]) * (right[:, 1] + right[:, 3])
    boxes = -torch.log((common + 1) / (area + wanted_area - common + 1))
    # The common area hardly tells how near the nearer sides are, which is what these cells know best.
    near = 0.3 * (right[:, 0] + right[:, 2])[:, None]
    ratios = torch.abs(torch.log((given[:, :4] + near) / (right[:, :4] + near)))
    # Its size, not its square: a degree or two would cost nothing else, but spoils a long word's box.
    turned = torch.abs(given[:, 4] - right[:, 4])
    return 4 * entropy + overlap + boxes.mean() + 3 * ratios.mean() + 15 * turned.mean()


def train(network: Detector, scenes: Scenes, steps: int, rate: float, seed: int, minutes: float, path: Path) -> None:
    """Train the network, printing the loss now and then. The learning rate falls to 0 over `minutes` or `steps`."""
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.01)
    started = time.monotonic()
    recent: list[float] = []
    network.train()
    for step in range(steps):
        done = max(step / steps, (time.monotonic() - started) / 60 / minutes)
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 100, 2 * (1 - done))
        loss = loss_of(network, scenes, rng.integers(0, len(scenes.pixels), _BATCH), rng)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        recent.append(loss.item())
        if step % 50 == 49:
            took_s = time.monotonic() - started
            print(f"  step {step + 1} of {steps}, loss {np.mean(recent):.3f}, {took_s:.0f} s", flush=True)
            recent.clear()
        if step % 250 == 249:
            # So that a training that is broken off has something to show.
            export(network, path)
            network.train()


def export(network: Detector, path: Path) -> None:
    """Write the network as one ONNX file; batch, height and width are free."""
    path.parent.mkdir(parents=True, exist_ok=True)
    network = network.eval()
    axes = {name: {0: "batch", 1: "height", 2: "width"} for name in _NAMES[:1]}
    axes |= {name: {0: "batch", 1: "rows", 2: "columns"} for name in _NAMES[1:]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns that it is the older one
        torch.onnx.export(
            network,
            (torch.zeros(2, 2 * MULTIPLE, 3 * MULTIPLE, 3),),
            str(path),
            input_names=[_NAMES[0]],
            output_names=list(_NAMES[1:]),
            dynamic_axes=axes,
            opset_version=_OPSET,
            dynamo=False,
        )
    model = onnx.load(str(path))
    model.ir_version = _IR_VERSION
    model.producer_name, model.producer_version = "tools.text_detection.train", ""
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def main() -> None:
    """Read the command line, draw, train, export."""
    parser = argparse.ArgumentParser(description="Train the example text detection model.")
    parser.add_argument("--model", type=Path, default=MODEL, help="file to write")
    parser.add_argument("--fonts", type=Path, default=FONT_FOLDER, help="folder to look for fonts in")
    parser.add_argument("--scenes", type=int, default=5000, help="training scenes to draw")
    parser.add_argument("--steps", type=int, default=2800)
    parser.add_argument("--minutes", type=float, default=60.0, help="stop there, however few steps that are")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    started = time.monotonic()
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    scenes = draw_scenes(arguments.scenes, arguments.seed, arguments.fonts, arguments.threads)
    print(f"{len(scenes.pixels)} scenes drawn in {time.monotonic() - started:.0f} s", flush=True)
    network = Detector().to(memory_format=torch.channels_last)
    print(f"{sum(each.numel() for each in network.parameters())} parameters", flush=True)
    train(network, scenes, arguments.steps, arguments.rate, arguments.seed, arguments.minutes, arguments.model)
    export(network, arguments.model)
    print(f"trained and exported in {time.monotonic() - started:.0f} s: {arguments.model}", flush=True)


if __name__ == "__main__":
    main()
