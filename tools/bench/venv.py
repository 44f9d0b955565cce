"""The project's own virtual environment, for scripts that are started from a bare clone."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The repository's root."""


def use_project_venv() -> None:
    """Start the running script again under ``.venv``, if there is one and no other environment was chosen."""
    python = ROOT / ".venv" / "bin" / "python"
    chosen = sys.prefix != sys.base_prefix
    if python.exists() and not chosen:
        os.execv(python, [str(python), *sys.argv])
