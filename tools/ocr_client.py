"""Reads all words on a picture through a running server, with NVIDIA's own client package, and draws where they are.

In the project's environment and with a server of `model_repository/` running:

    python tools/ocr_client.py tools/ocr/sample.jpg --drawn boxes.png

`--way` chooses who does the steps between the two networks: the server as an `ensemble` or as a model that asks others
(`bls`), or this `client`. All give the same words.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import tritonclient.http as httpclient
from tritonclient.utils import InferenceServerException

from tools.ocr.drawing import draw_found
from tools.ocr.reading import WAYS

DEFAULT_URL: Final = "localhost:8000"


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, ask the server, print a line for each word."""
    parser = argparse.ArgumentParser(description="Read all words on a picture through a running server.")
    parser.add_argument("picture", type=Path, help="a picture, in any format that Pillow reads")
    parser.add_argument("--way", choices=list(WAYS), default="ensemble", help="who does the steps (default ensemble)")
    parser.add_argument("--drawn", type=Path, metavar="FILE", help="write the picture with the words' boxes there")
    parser.add_argument("--url", default=DEFAULT_URL, metavar="HOST:PORT", help=f"the server (default {DEFAULT_URL})")
    given = parser.parse_args(arguments)
    try:
        data = given.picture.read_bytes()
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        with httpclient.InferenceServerClient(given.url) as client:
            found = WAYS[given.way](client, data)
        for each in found:
            corners = "  ".join(f"{x:.0f},{y:.0f}" for x, y in each.corners)
            print(f"{each.text:20} {corners}")
        if given.drawn is not None:
            draw_found(data, found, given.drawn)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (InferenceServerException, OSError) as error:
        print(f"error: {given.url} gave no answer: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
