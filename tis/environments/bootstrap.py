"""The first thing that a worker runs in an interpreter of a model's own, which then finds the server's modules.

    PYTHON bootstrap.py '{"tis": "/folder", …}' MODULE ARGUMENTS…

The folders that hold the server's modules hold other packages, too, made for another interpreter and perhaps of other
versions than the model needs. So none of them is put on the path: single packages are looked for in single folders, and
all that the model imports comes from its own environment.

It runs before anything is known to be there: the standard library only, in the words of Python 3.10.
"""

import sys

if sys.path and sys.path[0] == __file__.rpartition("/")[0]:
    # A script's own folder is on the path; a module of a model may bear the name of one here.
    del sys.path[0]

import json
import runpy
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


class OneFolderEach:
    """Finds certain packages, each in one folder."""

    def __init__(self, folders: dict[str, str]) -> None:
        self._folders = folders

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - the import system's signature
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """The package of this name; None for what is none of them, and for what is inside of them."""
        folder = self._folders.get(name)
        return PathFinder.find_spec(name, [folder], target) if folder else None


def main() -> None:
    """Be the module that is named."""
    folders, module = sys.argv[1:3]
    sys.meta_path.insert(0, OneFolderEach(json.loads(folders)))
    sys.argv = sys.argv[2:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
