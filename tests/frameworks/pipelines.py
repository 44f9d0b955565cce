"""Writes DALI pipelines and pictures for the tests of their backend: `python -m tests.frameworks.pipelines FOLDER`."""

import io
import sys
from pathlib import Path

import numpy as np
from nvidia.dali import fn, pipeline_def, types
from PIL import Image

_CPU = {"batch_size": 8, "num_threads": 1, "device_id": None}


def _decoded() -> object:
    pictures = fn.external_source(device="cpu", name="FILE", dtype=types.UINT8, ndim=1)
    return fn.resize(fn.decoders.image(pictures, device="cpu"), resize_x=6, resize_y=4)


def _two() -> object:
    left = fn.external_source(device="cpu", name="LEFT")
    right = fn.external_source(device="cpu", name="RIGHT")
    return fn.cast(left + right, dtype=types.FLOAT), fn.cast(left * right, dtype=types.FLOAT)


def _lengths() -> object:
    rows = fn.external_source(device="cpu", name="ROWS", dtype=types.FLOAT, ndim=1)
    return fn.reductions.sum(rows, axes=[0], keep_dims=True)


def _frames() -> object:
    return fn.copy(fn.external_source(device="cpu", name="FRAMES", dtype=types.FLOAT, ndim=2), name="SPLIT")


def main(folder: Path) -> None:
    """Write all of them."""
    for function, datatype, rank in (
        (_decoded, types.UINT8, 3),
        (_two, None, None),
        (_lengths, types.FLOAT, 1),
        (_frames, types.FLOAT, 2),
    ):
        declared = {} if rank is None else {"output_dtype": [datatype], "output_ndim": [rank]}
        serialized = pipeline_def(**_CPU, **declared)(function)().serialize()
        (folder / f"{function.__name__.removeprefix('_')}.dali").write_bytes(serialized)
    picture = Image.fromarray(np.full((10, 20, 3), (200, 100, 50), np.uint8))
    file = io.BytesIO()
    picture.save(file, "PNG")
    (folder / "picture.png").write_bytes(file.getvalue())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
