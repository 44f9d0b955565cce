"""Environments that the server builds from a file of requirements: once for each content and interpreter."""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tis.environments.keeping import kept
from tis.environments.probe import Probed
from tis.environments.running import Say, run
from tis.errors import internal

_INCLUDE: Final = re.compile(r"^\s*(?:-r|-c|--requirement|--constraint)[\s=]*(\S+)")


def built(requirements: Path, base: Probed, folder: Path, say: Say, environment: Mapping[str, str]) -> Path:
    """The directory of a virtual environment with what a file asks for, and with numpy.

    Args:
        requirements: the file, in pip's form.
        base: the interpreter that it is made with.
        folder: where such environments are kept.
        say: takes progress.
        environment: for pip, without paths of the server's own packages.

    Raises:
        TisError: INTERNAL, where it cannot be built, with the last lines of pip.
    """
    key = f"built-{digest(requirements, base)}"

    def make(target: Path) -> None:
        told = ".".join(str(part) for part in base.version)
        say(f"building an environment for {requirements} with Python {told} in {target}")
        hint = "" if _has_pip(base) else "\nhint: on Debian and Ubuntu, install python3-venv"
        run(
            "making a virtual environment", [base.python, "-m", "venv", target], say, environment=environment, hint=hint
        )
        pip: list[str | Path] = [
            target / "bin" / "python",
            "-m",
            "pip",
            "install",
            "--no-input",
            "--disable-pip-version-check",
        ]
        run(
            f"installing {requirements}",
            [*pip, "-r", requirements],
            say,
            environment=environment,
            folder=requirements.parent,
        )
        # By itself: files that give hashes must give them for all that is installed with them.
        run("installing numpy", [*pip, "numpy"], say, environment=environment)

    return kept(folder, key, make, say)


def digest(requirements: Path, base: Probed) -> str:
    """What tells an environment from others: the file, what it includes, and the interpreter.

    Raises:
        TisError: INTERNAL for a file that cannot be read.
    """
    whole = hashlib.sha256(f"{base.abi}\0{base.version}\0{os.path.realpath(base.python)}".encode())
    for path, content in _contents(requirements, set()):
        whole.update(f"\0{path.name}\0{len(content)}\0".encode())
        whole.update(content)
    return whole.hexdigest()[:32]


def _contents(path: Path, seen: set[Path]) -> Iterator[tuple[Path, bytes]]:
    """A file, and those that it includes by name. Addresses are left to pip."""
    if path in seen:
        return
    seen.add(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise internal(f"cannot read the requirements {path}: {error.strerror}") from error
    yield path, content
    for line in content.decode(errors="replace").splitlines():
        included = _INCLUDE.match(line)
        if included is not None and "://" not in included[1]:
            yield from _contents(path.parent / included[1], seen)


def _has_pip(base: Probed) -> bool:
    """Whether the interpreter brings what a virtual environment's pip is made from."""
    folder = base.python.resolve().parents[1] / "lib" / f"python{base.version[0]}.{base.version[1]}" / "ensurepip"
    return folder.is_dir()
