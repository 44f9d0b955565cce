"""Train the example text recognition model, export it to ONNX, and measure it.

Run it from the root of the repository, with the fonts named in render.py installed:

    pip install torch==2.13.0 onnx onnxruntime pillow numpy
    python -m tools.text_recognition.train

No GPU is needed; two CPU cores take a quarter of an hour or so.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from tools.text_recognition.decode import ALPHABET, HEIGHT, STEPS, WIDTH, decode, scale
from tools.text_recognition.evaluate import MODEL, report
from tools.text_recognition.network import Recogniser
from tools.text_recognition.pictures import Pictures, training_pictures
from tools.text_recognition.render import FONT_FOLDER

_BATCH = 64
_OPSET = 17
_IR_VERSION = 8


def train(network: nn.Module, pictures: Pictures, check: Pictures, epochs: int, rate: float, seed: int) -> None:
    """Train the network, printing how it does on `check` after every epoch."""
    rng = np.random.default_rng(seed)
    targets = [torch.tensor([ALPHABET.index(letter) for letter in word]) for word in pictures.answers]
    steps = len(targets) // _BATCH
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * steps, pct_start=0.1)
    loss_of = nn.CTCLoss(blank=0, zero_infinity=True)
    started = time.monotonic()
    for epoch in range(epochs):
        network.train()
        order = rng.permutation(len(targets))
        total = 0.0
        for step in range(steps):
            chosen = order[step * _BATCH : (step + 1) * _BATCH]
            # Every other picture is turned into its negative, anew in each epoch.
            sign = rng.choice(np.array([-1, 1], dtype=np.float32), (_BATCH, 1, 1))
            inputs = torch.from_numpy((scale(pictures.grey[chosen]) * sign)[:, np.newaxis])
            answers = [targets[index] for index in chosen]
            lengths = torch.tensor([len(answer) for answer in answers])
            logits = network(inputs.to(memory_format=torch.channels_last))
            likely = logits.log_softmax(2).transpose(0, 1)
            loss = loss_of(likely, torch.cat(answers), torch.full((_BATCH,), STEPS), lengths)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
            if step % 250 == 0:
                print(
                    f"  step {step} of {steps}, loss {loss.item():.3f}, {time.monotonic() - started:.0f} s", flush=True
                )
        right = accuracy(network, check)
        print(
            f"epoch {epoch + 1}: mean loss {total / steps:.4f}, {right:.1%} of fresh training texts exact", flush=True
        )


def accuracy(network: nn.Module, pictures: Pictures) -> float:
    """Return the share of pictures whose text comes out exact."""
    network.eval()
    right = 0
    with torch.no_grad():
        for start in range(0, len(pictures.answers), 250):
            inputs = torch.from_numpy(scale(pictures.grey[start : start + 250])[:, np.newaxis])
            words = decode(network(inputs).numpy())
            right += sum(a == b for a, b in zip(words, pictures.answers[start : start + 250], strict=True))
    return right / len(pictures.answers)


def export(network: nn.Module, path: Path) -> None:
    """Write the network as one ONNX file whose first dimension is free."""
    path.parent.mkdir(parents=True, exist_ok=True)
    network = network.eval().to(memory_format=torch.contiguous_format)
    with warnings.catch_warnings():
        # The exporter warns that it is the older one, and that a recurrent layer may fix the batch
        # size; the evaluation runs the file with batches of more than one size.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(2, 1, HEIGHT, WIDTH),),
            str(path),
            input_names=["input"],
            output_names=["logits"],
            dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}},
            opset_version=_OPSET,
            dynamo=False,
        )
    model = onnx.load(str(path))
    model.ir_version = _IR_VERSION
    model.producer_name, model.producer_version = "tools.text_recognition.train", ""
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def main() -> None:
    """Read the command line, draw, train, export, measure."""
    parser = argparse.ArgumentParser(description="Train the example text recognition model.")
    parser.add_argument("--model", type=Path, default=MODEL, help="file to write")
    parser.add_argument("--fonts", type=Path, default=FONT_FOLDER, help="folder to look for fonts in")
    parser.add_argument("--pictures", type=int, default=200_000, help="training pictures to draw")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rate", type=float, default=4e-3, help="highest learning rate")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    started = time.monotonic()
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    pictures = training_pictures(arguments.pictures, arguments.seed, arguments.fonts, arguments.threads)
    check = training_pictures(2000, arguments.seed + 1, arguments.fonts, arguments.threads)
    print(f"{arguments.pictures} pictures drawn in {time.monotonic() - started:.0f} s", flush=True)
    network = Recogniser().to(memory_format=torch.channels_last)
    train(network, pictures, check, arguments.epochs, arguments.rate, arguments.seed)
    export(network, arguments.model)
    print(f"trained and exported in {time.monotonic() - started:.0f} s: {arguments.model}", flush=True)
    report(arguments.model, arguments.fonts)


if __name__ == "__main__":
    main()
