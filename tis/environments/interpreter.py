"""How a process of the server is started in some interpreter: the words before its module's name, and its environment.

A worker needs little there: numpy, which comes from the environment as Triton asks of it, and two packages of the server.
"""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

_BOOTSTRAP: Final = Path(__file__).with_name("bootstrap.py")
#: The server's packages and modules that a worker imports.
OURS: Final = ("tis", "tis_shm", "tis_workers", "triton_python_backend_utils", "c_python_backend_utils")


@dataclass(frozen=True)
class Interpreter:
    """A Python to run workers in."""

    #: What stands before the name of the module.
    command: tuple[str, ...]
    #: Variables that its process has beside or in place of the server's own, and those of the server's that it has not.
    variables: Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """The environment of its process, where the server's is `base`."""
        return {name: value for name, value in base.items() if name not in self.without} | dict(self.variables)

    def as_json(self) -> str:
        """For another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Interpreter":
        """What `as_json` made."""
        told = json.loads(text)
        return cls(tuple(told["command"]), told["variables"], tuple(told["without"]))


#: The server's own. -P: the current directory is not on the path, so that nothing there can hide the server's own modules.
OWN: Final = Interpreter((sys.executable, "-P", "-m"))


def foreign(
    python: Path, folders: Mapping[str, Path], before: Mapping[str, str], after: Mapping[str, str]
) -> Interpreter:
    """An interpreter of a model's own.

    Args:
        python: its program.
        folders: where packages are found that are not the environment's, by name.
        before: the server's environment.
        after: the same once the model's environment is activated.
    """
    after = {**after, "PYTHONPATH": _without_own(after.get("PYTHONPATH", ""))}
    # A shell says it with an exit code where the program has gone or cannot run; the supervisor could not start a process.
    command = ("/bin/sh", "-c", 'exec "$@"', "sh", str(python), str(_BOOTSTRAP))
    told = json.dumps({name: str(folder) for name, folder in folders.items()}, sort_keys=True)
    changed = {name: value for name, value in after.items() if before.get(name) != value and value}
    gone = tuple(sorted(name for name in {*before, "PYTHONPATH", "PYTHONHOME"} if not after.get(name)))
    return Interpreter((*command, told), changed, gone)


def _without_own(path: str) -> str:
    """A PYTHONPATH without folders of the server's own environment, whose packages are made for another interpreter."""
    own = os.path.realpath(sys.prefix)
    entries = [each for each in path.split(os.pathsep) if each]
    return os.pathsep.join(each for each in entries if not os.path.realpath(each).startswith(f"{own}{os.sep}"))
