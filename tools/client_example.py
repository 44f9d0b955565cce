"""A client of the example models, with NVIDIA's own client package. It knows nothing of which server answers.

Reads the word on a picture, in the project's environment and with a server running:

    python tools/client_example.py tools/text_recognition/sample.png
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tritonclient.http as httpclient
from PIL import Image, UnidentifiedImageError
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tools.text_recognition.decode import decode, preprocess

DEFAULT_URL: Final = "localhost:8000"


def read_word(client: httpclient.InferenceServerClient, picture: Path) -> str:
    """The word on a picture, as the model `text_recognition` reads it."""
    with Image.open(picture) as image:
        pixels = preprocess(image)[np.newaxis]
    answer = client.infer("text_recognition", [_input("input", pixels)])
    return decode(answer.as_numpy("logits"))[0]


def add_and_subtract(client: httpclient.InferenceServerClient, left: list[int], right: list[int]) -> list[list[int]]:
    """The sum and the difference of two rows of sixteen integers, as the model `simple` works them out."""
    rows = [_input(name, np.array([row], np.int32)) for name, row in (("INPUT0", left), ("INPUT1", right))]
    answer = client.infer("simple", rows)
    return [answer.as_numpy(name)[0].tolist() for name in ("OUTPUT0", "OUTPUT1")]


def _input(name: str, array: npt.NDArray[Any]) -> httpclient.InferInput:
    """An array as the input of a request."""
    tensor = httpclient.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array)
    return tensor


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, ask the server, print the word."""
    parser = argparse.ArgumentParser(description="Read the word on a picture through a running server.")
    parser.add_argument("picture", type=Path, help="a picture of one word, in any format that Pillow reads")
    parser.add_argument("--url", default=DEFAULT_URL, metavar="HOST:PORT", help=f"the server (default {DEFAULT_URL})")
    given = parser.parse_args(arguments)
    try:
        with httpclient.InferenceServerClient(given.url) as client:
            print(read_word(client, given.picture))
    except (UnidentifiedImageError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (InferenceServerException, OSError) as error:
        print(f"error: {given.url} gave no answer: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
