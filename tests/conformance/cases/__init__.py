"""The cases, by the name of their file."""

import importlib
import pkgutil
from functools import cache
from itertools import pairwise

from tests.conformance.case import Case


@cache
def all_cases() -> dict[str, dict[str, Case]]:
    """Cases by noun and name."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        cases = importlib.import_module(f"{__name__}.{module.name}").CASES
        found[module.name] = {each.name: each for each in cases}
        if len(found[module.name]) != len(cases):
            names = sorted(each.name for each in cases)
            twice = {name for name, after in pairwise(names) if name == after}
            raise ValueError(f"{module.name}: two cases have one name: {twice}")
    return found
