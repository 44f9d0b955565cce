"""`get_model_dir`: where the model that runs in this process lies."""

from pathlib import Path

_directories: list[str] = []


def set_model_dir(path: Path) -> None:
    """Say where it lies, once."""
    _directories.append(str(path))


def get_model_dir() -> str:
    """The directory of the version that is loaded."""
    return _directories[-1]
