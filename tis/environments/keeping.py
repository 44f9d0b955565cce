"""Folders that are made once and kept: whoever asks for one that is being made waits for it, in whatever process.

A folder is named by what it is made from. Environments know their own place, so that none can be made elsewhere and moved:
one that is finished has a stamp beside it, and one without is thrown away and made anew.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tis.environments.running import Say
from tis.errors import internal


def kept(folder: Path, key: str, make: Callable[[Path], None], say: Say) -> Path:
    """The folder of this key.

    Args:
        folder: where such folders are.
        key: a file name that stands for all that it is made from.
        make: makes it, in a place where nothing is; raises `TisError` where it cannot be made.
        say: is told where another process is waited for.

    Raises:
        TisError: that of `make`; INTERNAL where nothing can be written.
    """
    target, stamp = folder / key, folder / f"{key}.ready"
    if stamp.exists():
        return target
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(folder / f"{key}.lock", say):
            # Whoever held the lock may have made it.
            if not stamp.exists():
                shutil.rmtree(target, ignore_errors=True)
                try:
                    make(target)
                except BaseException:
                    shutil.rmtree(target, ignore_errors=True)
                    raise
                stamp.touch()
    except OSError as error:
        where = error.filename or folder
        raise internal(
            f"cannot make a Python environment in {folder}: {where}: {error.strerror}; --environment-directory chooses "
            "another place"
        ) from error
    return target


@contextmanager
def _locked(path: Path, say: Say) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for the same environment, which is being made for another model")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def chosen_folder(wanted: str, variables: Mapping[str, str] = os.environ) -> Path:
    """Where environments are kept: where the operator says, else below the cache of the service, else of the user."""
    if wanted:
        return Path(wanted).absolute()
    service = variables.get("CACHE_DIRECTORY", "").partition(":")[0]
    if service:
        return Path(service) / "environments"
    cache = variables.get("XDG_CACHE_HOME") or str(Path(variables.get("HOME") or "/tmp") / ".cache")  # noqa: S108
    return Path(cache) / "tis" / "environments"
