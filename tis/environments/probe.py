"""What an interpreter says of itself: its version, and which of the packages that a worker needs it has."""

import errno
import json
import re
import subprocess
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tis.errors import TisError, internal

#: The oldest minor version that the server's modules run in.
OLDEST: Final = (3, 10)
#: What a worker needs beside numpy, by name of the import: the name of the distribution and the oldest version.
NEEDED: Final = {"msgspec": ("msgspec", (0, 19)), "zmq": ("pyzmq", (26,))}
_PROBE_S: Final = 120
_LAST_LETTERS: Final = 2000

#: Must be understood by any Python there is, if only to say how old it is.
_PROGRAM: Final = """
import json, platform, sys
said = {"version": list(sys.version_info[:3]), "implementation": platform.python_implementation(), "has": {}}
if sys.version_info >= (3, 10):
    import importlib.metadata, sysconfig
    said["abi"] = sysconfig.get_config_var("SOABI") or ""
    for name in sys.argv[1:]:
        try:
            said["has"][name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass
    try:
        import numpy
    except BaseException as error:
        said["numpy"] = "%s: %s" % (type(error).__name__, error)
print()
print(json.dumps(said))
"""


@dataclass(frozen=True)
class Probed:
    """An interpreter that workers can run in."""

    python: Path
    version: tuple[int, int, int]
    #: Which compiled packages it takes: `cpython-312-x86_64-linux-gnu`.
    abi: str
    #: Versions by name of the distribution, of what a worker needs and it has.
    has: Mapping[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of imports that a worker needs and that are not there, or too old."""
        return tuple(name for name, (package, oldest) in NEEDED.items() if _number(self.has.get(package, "")) < oldest)


def requirement(name: str) -> str:
    """What is to be installed for an import: `pyzmq>=26`."""
    package, oldest = NEEDED[name]
    return f"{package}>={'.'.join(str(part) for part in oldest)}"


def own_abi() -> str:
    """That of the server."""
    return str(sysconfig.get_config_var("SOABI") or "")


def probed(python: Path, environment: Mapping[str, str], *, needs_numpy: bool = True) -> Probed:
    """Asks an interpreter.

    Raises:
        TisError: INTERNAL, where it cannot be run, is too old or another Python than CPython, or lacks a numpy it needs.
    """
    packages = [package for package, _ in NEEDED.values()]
    try:
        done = subprocess.run(
            [python, "-c", _PROGRAM, *packages],
            env=dict(environment),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise internal(f"the Python interpreter {python} did not answer within {_PROBE_S} s") from None
    except OSError as error:
        hint = "; is it made for another kind of machine?" if error.errno == errno.ENOEXEC else ""
        raise internal(f"the Python interpreter {python} cannot be run: {error.strerror}{hint}") from error
    try:
        said = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        words = (done.stderr.strip() or done.stdout.strip())[-_LAST_LETTERS:]
        raise internal(
            f"the Python interpreter {python} cannot be run (exit code {done.returncode}): {words}"
        ) from None
    return checked(python, said, needs_numpy=needs_numpy)


def checked(python: Path, said: Mapping[str, Any], *, needs_numpy: bool = True) -> Probed:
    """What an interpreter said, if workers can run in it.

    Raises:
        TisError: INTERNAL, where they cannot.
    """
    major, minor, micro = said["version"]
    told = f"{major}.{minor}.{micro}"
    if said["implementation"] != "CPython":
        raise internal(f"{python} is {said['implementation']} {told}; models run in CPython only")
    if (major, minor) < OLDEST:
        oldest = ".".join(str(part) for part in OLDEST)
        raise internal(f"{python} is Python {told}; models of this server run in Python {oldest} or newer")
    if needs_numpy and "numpy" in said:
        raise _without_numpy(python, str(said["numpy"]))
    return Probed(python, (major, minor, micro), str(said["abi"]), dict(said["has"]))


def _without_numpy(python: Path, words: str) -> TisError:
    if words.startswith("ModuleNotFoundError") and "'numpy'" in words:
        how = f"install it there: {python} -m pip install numpy"
        return internal(f"the Python environment of {python} has no numpy, which Python models need; {how}")
    return internal(f"numpy cannot be imported in the Python environment of {python}: {words}")


def _number(version: str) -> tuple[int, ...]:
    """The leading numbers of a version; none for an empty one."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
