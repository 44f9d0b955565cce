"""The Python that the scripts run under: the project's own virtual environment, also from a bare clone."""

import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The repository's root."""

NEEDED = ("grpc", "numpy", "onnx", "tritonclient")


def use_project_venv() -> None:
    """Start the running script again under ``.venv``, if there is one and no other environment was chosen."""
    python = ROOT / ".venv" / "bin" / "python"
    chosen = sys.prefix != sys.base_prefix
    if python.exists() and not chosen:
        os.execv(python, [str(python), *sys.argv])
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(
            f"error: {sys.executable} lacks {', '.join(missing)}; make the project's environment:\n"
            f"  python3 -m venv {ROOT}/.venv && {ROOT}/.venv/bin/pip install -e '{ROOT}[dev]'"
        )
