"""One module a framework, each with its `SUBJECT`; none imports its framework before it is asked to."""

import importlib
import pkgutil
from typing import Final

from tests.frameworks.subject import Subject


def subject(name: str) -> Subject:
    """The subject of a module of this package."""
    found: Subject = importlib.import_module(f"{__name__}.{name}").SUBJECT
    return found


NAMES: Final[tuple[str, ...]] = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))
