"""Several models in one process: each finds its own modules, whatever names others have given theirs.

A worker has one model and never needs this. Models are imported as `<version>.<file>` and may import modules that lie beside
them; in one process `1.model` would be the model that was loaded first.
"""

import sys
from pathlib import Path
from types import ModuleType
from typing import Final

_open: Final[list["ModelPaths"]] = []


class ModelPaths:
    """The directories that a model adds to `sys.path`, from before it is imported until it goes."""

    def __init__(self, model_path: Path) -> None:
        self._root: Final = model_path
        self._before: Final = list(sys.path)
        self._wrote_bytecode: Final = not sys.dont_write_bytecode
        self._paths: list[str] = []
        _forget_models()
        for other in _open:
            other.hide()

    def imported(self) -> None:
        """The model is imported: others get their directories back, behind its own."""
        self._paths = [path for path in sys.path if path not in self._before]
        for other in _open:
            sys.path += other.paths
        _open.append(self)

    @property
    def paths(self) -> list[str]:
        """What the model has added."""
        return self._paths

    @property
    def root(self) -> Path:
        """The model's directory."""
        return self._root

    def hide(self) -> None:
        """Take its directories away for a while."""
        sys.path[:] = [path for path in sys.path if path not in self._paths]

    def close(self) -> None:
        """The model has gone, or could not be loaded."""
        self.hide()
        if self in _open:
            _open.remove(self)
        else:
            sys.path[:] = [*self._before]
        if self._wrote_bytecode:
            sys.dont_write_bytecode = False
        _forget_versions()
        _forget_below(self._root)


def put_back(paths: list[str], names: set[str], file: Path) -> None:
    """A file of functions is not needed any more: forget it, and its folder, where they were not there before."""
    for name in [name for name, module in sys.modules.items() if getattr(module, "__file__", None) == str(file)]:
        if name not in names:
            del sys.modules[name]
    if str(file.parent) not in paths and str(file.parent) in sys.path:
        sys.path.remove(str(file.parent))


def _forget_versions() -> None:
    """Modules that were imported as a version of a model; models keep what they need of them."""
    for name in [name for name in sys.modules if name.partition(".")[0].isdigit()]:
        del sys.modules[name]


def _forget_models() -> None:
    """The same, and all modules from the directory of a model that is loaded now."""
    _forget_versions()
    for other in _open:
        _forget_below(other.root)


def _forget_below(root: Path) -> None:
    for name, module in list(sys.modules.items()):
        if _lies_below(module, root):
            del sys.modules[name]


def _lies_below(module: ModuleType, root: Path) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and Path(file).is_relative_to(root)
