"""The Python that the scripts run under: the project's own environment, also from a bare clone, or one that was chosen."""

import sys
from typing import Final

from tools import environment

ROOT: Final = environment.ROOT
"""The repository's root."""


def use_project_venv() -> None:
    """Go on in `.venv`, made if need be, unless this already runs in a virtual environment."""
    if sys.prefix == sys.base_prefix:
        environment.enter(environment.DEV)
