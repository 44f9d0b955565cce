"""From what a model asks for to an interpreter that its workers can be started in. May take minutes."""

import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from tis.environments.activation import activated
from tis.environments.archive import unpacked
from tis.environments.interpreter import OURS, Interpreter, foreign
from tis.environments.keeping import kept
from tis.environments.probe import Probed, own_abi, probed, requirement
from tis.environments.requirements import built
from tis.environments.running import Say, run
from tis.environments.wish import PYTHON, Wish
from tis.errors import TisError, internal

#: Variables that name packages of the server's own environment.
_OWN_PATHS = frozenset({"PYTHONPATH", "PYTHONHOME"})


def prepare(wish: Wish, folder: Path, say: Say, base: Mapping[str, str] | None = None) -> Interpreter:
    """The interpreter of a model, ready to be started.

    Args:
        wish: what the model asks for.
        folder: where environments are kept.
        say: takes a line of progress now and then.
        base: the server's environment; None for that of this process.

    Raises:
        TisError: INTERNAL, in Triton's words where it has some.
    """
    base = dict(os.environ if base is None else base)
    plain = {name: value for name, value in base.items() if name not in _OWN_PATHS}
    if wish.environment:
        home = _directory(wish.environment, folder, say, plain)
    elif wish.requirements:
        python = _named(wish.python) if wish.python else Path(sys.executable)
        interpreter = probed(python, plain, needs_numpy=False)
        home = built(Path(wish.requirements), interpreter, folder, say, plain)
    else:
        python = _named(wish.python)
        return foreign(python, _folders(probed(python, plain), folder, say, plain), base, base)
    python = _python_of(home)
    variables = activated(home, base)
    known = {name: value for name, value in variables.items() if name not in _OWN_PATHS}
    return foreign(python, _folders(probed(python, known), folder, say, plain), base, variables)


def _directory(path: str, folder: Path, say: Say, plain: Mapping[str, str]) -> Path:
    """Where an environment is, unpacked."""
    try:
        home = Path(path).resolve(strict=True)
    except (OSError, RuntimeError):
        raise internal(f"Failed to get the canonical path for {path}.") from None
    if home.is_file():
        home = unpacked(home, folder, say, plain)
    if not any((home / "bin" / name).exists() for name in ("activate", "python", "python3")):
        raise internal(
            f"Path {home}/bin/activate does not exist. The Python environment should contain an 'activate' script."
        )
    return home


def _python_of(home: Path) -> Path:
    for name in ("python", "python3"):
        if (home / "bin" / name).exists():
            return home / "bin" / name
    link = home / "bin" / "python"
    if link.is_symlink():
        raise internal(
            f"{link} stands for {link.readlink()}, which is not there: a virtual environment works only beside the Python "
            "that it was made with; conda-pack makes environments that bring theirs"
        )
    raise internal(f"the Python environment {home} has no bin/python, which runs its models")


def _named(path: str) -> Path:
    python = Path(path)
    if not python.is_file():
        raise internal(f"parameter '{PYTHON}' must hold the path of a Python interpreter; got '{path}'")
    return python


def _folders(interpreter: Probed, folder: Path, say: Say, plain: Mapping[str, str]) -> dict[str, Path]:
    """Where packages are found that do not come from the environment: the server's, and what they need and it has not."""
    folders = {name: _folder_of(name) for name in OURS}
    missing = interpreter.missing
    if not missing:
        return folders
    if interpreter.abi == own_abi():
        # It can run what the server has.
        return folders | {name: _folder_of(name) for name in missing}
    return folders | dict.fromkeys(missing, _runtime(interpreter, folder, say, plain))


def _folder_of(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise TypeError(f"{name} is no package")
    return Path(spec.origin).parents[1]


def _runtime(interpreter: Probed, folder: Path, say: Say, plain: Mapping[str, str]) -> Path:
    """The folder with what a worker needs in interpreters like this one; installed once."""
    wanted = [requirement(name) for name in interpreter.missing]
    by_hand = f"{interpreter.python} -m pip install {' '.join(repr(each) for each in wanted)}"
    hint = f"\nWithout a network, install it into the environment yourself: {by_hand}"

    def make(target: Path) -> None:
        told = ".".join(str(part) for part in interpreter.version[:2])
        say(f"installing {' '.join(wanted)} for Python {told} into {target}, once for all models")
        options: list[str | Path] = [
            "--no-deps",
            "--only-binary",
            ":all:",
            "--no-input",
            "--disable-pip-version-check",
            "--target",
            target,
        ]
        pip: list[str | Path]
        if importlib.util.find_spec("pip") is not None:
            pip = [sys.executable, "-m", "pip", "--python", interpreter.python]
        else:
            pip = [interpreter.python, "-m", "pip"]
        what = f"installing what workers need in Python {told}, {' and '.join(wanted)},"
        run(what, [*pip, "install", *options, *wanted], say, environment=plain, hint=hint)

    names = "-".join(sorted(interpreter.missing))
    try:
        return kept(folder, f"runtime-{interpreter.abi}-{names}", make, say)
    except TisError as error:
        raise internal(f"{interpreter.python} cannot run workers yet: {error.message}") from error
