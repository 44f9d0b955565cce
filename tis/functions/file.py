"""The declared functions of a Python file that is no part of any package, such as `app.py`."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from tis.functions.declaration import Declaration, declaration_of
from tis.functions.specs import DeclarationError


def declarations_in(module: ModuleType) -> dict[str, Declaration]:
    """By model name, in the order of the module's names; those that it has imported from elsewhere among them.

    Raises:
        DeclarationError: two models have the same name.
    """
    found: dict[str, Declaration] = {}
    for value in vars(module).values():
        declared = declaration_of(value)
        if declared is None:
            continue
        other = found.setdefault(declared.name, declared)
        if other.target is not declared.target:
            raise DeclarationError(f"two models are called '{declared.name}', at {other.place} and at {declared.place}")
    return found


def declarations_of(path: str | Path) -> dict[str, Declaration]:
    """Import a file as `python` would, its folder at the end of the path and `__name__` another than `__main__`.

    Raises:
        DeclarationError: it cannot be found, or two of its models have the same name.
        Exception: whatever it raises itself.
    """
    return declarations_in(_imported(Path(path)))


def function_of(path: str | Path, name: str) -> object:
    """The function or class of a file that is the model of this name.

    Raises:
        DeclarationError: there is none.
        Exception: whatever the file raises.
    """
    found = declarations_of(path)
    if name not in found:
        has = f"it has {', '.join(found)}" if found else "it has none"
        raise DeclarationError(f"{path} has no function that is model '{name}'; {has}")
    return found[name].target


def _imported(path: Path) -> ModuleType:
    path = path.absolute()
    name = path.stem
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    # A file may bear the name of a module that others need.
    name = name if known is None else f"_tis_file_{name}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise DeclarationError(f"there is no Python file '{path}'")
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.append(folder)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
