"""The project's own environment, `.venv`: made on first use, brought up to date when pyproject.toml changes.

Every command in this folder starts here. Only the standard library is used, so that it runs from a bare clone. Nothing
is written but `.venv` and the temporary directory, which is why pip's cache is off unless PIP_CACHE_DIR names one.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this runs under whatever the machine calls python3
    sys.exit(f"error: Python 3.11 or newer is needed; {sys.executable} is {sys.version.split()[0]}")

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

ROOT: Final = Path(__file__).resolve().parents[1]
VENV: Final = ROOT / ".venv"
PYTHON: Final = VENV / "bin" / "python"

#: Extras of pyproject.toml: what it takes to serve and ask the examples; what the tests need, which has all of that; and what
#: those of every framework need.
SERVE: Final = "onnx,client"
DEV: Final = "dev"
ALL: Final = "dev,frameworks"
#: For each of them, those that have all of it.
_MORE: Final = {SERVE: (SERVE, DEV, ALL), DEV: (DEV, ALL), ALL: (ALL,)}

_STAMP: Final = VENV / "installed"
_LOG: Final = VENV / "install.log"
_LOG_TAIL_BYTES: Final = 4000
_POLL_S: Final = 0.2
_NEWS_EVERY_S: Final = 10.0
_NEWS_LENGTH: Final = 100
_NEWS: Final = ("Collecting ", "Downloading ", "Building ", "Installing collected packages")


def enter(extras: str) -> None:
    """Go on in `.venv`, with the same command line. Returns only where this already runs there."""
    prepare(extras)
    if Path(sys.prefix) != VENV:
        os.execv(PYTHON, [str(PYTHON), *sys.argv])


def prepare(extras: str) -> None:
    """Make sure that `.venv` has the project with these extras; ends the program with the reason where that fails."""
    if _up_to_date(extras):
        return
    try:
        with _locked():
            # Whoever held the lock may have done it.
            if not _up_to_date(extras):
                _install(extras)
    except KeyboardInterrupt:
        sys.exit(130)


def _up_to_date(extras: str) -> bool:
    try:
        stamp = _STAMP.read_text()
    except OSError:
        return False
    return stamp in map(_stamp, _MORE[extras]) and _works("-c", "import tis")


def _stamp(extras: str) -> str:
    """Where and from what the environment was made. Its programs name their place, so it does not survive a move."""
    made_from = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    return f"{VENV}\n{made_from}\n{extras}\n"


def _works(*arguments: str) -> bool:
    try:
        return subprocess.run([PYTHON, "-I", *arguments], check=False, capture_output=True).returncode == 0
    except OSError:
        return False


@contextmanager
def _locked() -> Iterator[None]:
    """One process at a time makes the environment. The lock is on the folder, which outlives `venv --clear`."""
    VENV.mkdir(exist_ok=True)
    folder = os.open(VENV, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another command that is making .venv ...", flush=True)
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _install(extras: str) -> None:
    if not _usable():
        if importlib.util.find_spec("ensurepip") is None:
            version = f"{sys.version_info.major}.{sys.version_info.minor}"
            sys.exit(
                f"error: {sys.executable} cannot make virtual environments. On Debian and Ubuntu this installs what is "
                f"missing:\n  sudo apt install python3-venv    (or python{version}-venv)"
            )
        _run(f"Making .venv with Python {sys.version.split()[0]}", [sys.executable, "-m", "venv", "--clear", str(VENV)])
    _STAMP.unlink(missing_ok=True)
    pip = [str(PYTHON), "-I", "-u", "-m", "pip", "install", "--disable-pip-version-check", "--only-binary=:all:"]
    if extras == ALL:
        # Frameworks have tens of thousands of files, of which the tests import few.
        pip.append("--no-compile")
    _run(f"Installing tis[{extras}] into .venv", [*pip, "--editable", f"{ROOT}[{extras}]"])
    _STAMP.write_text(_stamp(extras))


def _usable() -> bool:
    """Whether a virtual environment is there, was made for this place, and has pip."""
    try:
        made_for = (VENV / "pyvenv.cfg").read_text()
    except OSError:
        return False
    return f" {VENV}\n" in made_for and _works("-m", "pip", "--version")


def _run(title: str, command: list[str]) -> None:
    """Run one step: its output goes to the log, what it is at and the time it took to whoever waits."""
    started = time.monotonic()
    shown = _Shown(title)
    with _LOG.open("w+b") as log:
        with subprocess.Popen(
            command, cwd=ROOT, env=_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        ) as process:
            while process.poll() is None:
                shown.news(_latest(log))
                time.sleep(_POLL_S)
        took_s = time.monotonic() - started
        if process.returncode:
            shown.last(f"failed after {took_s:.1f} s")
            tail = _tail(log)
            kept = f" (all of it: {_LOG})" if _LOG.exists() else ""
            sys.exit(f"error: exit status {process.returncode}; the end of the output{kept}:\n{tail}")
        shown.last(f"{took_s:.1f} s")


def _environment() -> dict[str, str]:
    """This process's environment without what would lead pip elsewhere."""
    result = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")}
    result |= {"PIP_USER": "0", "PIP_NO_INPUT": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    if "PIP_CACHE_DIR" not in result:
        result["PIP_NO_CACHE_DIR"] = "1"
    return result


def _tail(log: IO[bytes]) -> str:
    size = os.fstat(log.fileno()).st_size
    return os.pread(log.fileno(), _LOG_TAIL_BYTES, max(0, size - _LOG_TAIL_BYTES)).decode(errors="replace")


def _latest(log: IO[bytes]) -> str:
    """What pip said last that tells how far it is."""
    lines = (line.strip() for line in reversed(_tail(log).splitlines()))
    return next((line[:_NEWS_LENGTH] for line in lines if line.startswith(_NEWS)), "")


class _Shown:
    """A step as it is shown: on a terminal one line that changes, elsewhere a line now and then."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._terminal = sys.stdout.isatty()
        self._started = time.monotonic()
        self._next_news = self._started + _NEWS_EVERY_S
        print(f"{title} ...", end="" if self._terminal else "\n", flush=True)

    def news(self, news: str) -> None:
        """Show what the step is at."""
        now = time.monotonic()
        if self._terminal:
            line = f"{self._title} ... {now - self._started:.0f} s  {news}"
            print(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)
        elif now >= self._next_news:
            self._next_news = now + _NEWS_EVERY_S
            print(f"  {now - self._started:.0f} s: {news}", flush=True)

    def last(self, outcome: str) -> None:
        """Show how the step ended."""
        print(f"\r\x1b[K{self._title}: {outcome}" if self._terminal else f"  {outcome}", flush=True)
