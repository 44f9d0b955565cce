"""Directories whose files have invented ages."""

import os
from pathlib import Path

from tis.repository.layout import ModelDirectory, model_directory


def write(root: Path, files: dict[str, str], *, at_s: float = 100.0) -> Path:
    """Files by path; they and all directories below `root` are dated `at_s`."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    date(root, at_s)
    return root


def date(root: Path, at_s: float) -> None:
    """Date everything in and at `root`."""
    for path in (root, *root.rglob("*")):
        os.utime(path, (at_s, at_s), follow_symlinks=False)


def model(root: Path, config_name: str = "") -> ModelDirectory:
    """What `layout` sees there."""
    return model_directory(root, config_name)
