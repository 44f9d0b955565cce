"""The private directory (0700) that holds a running server's sockets, and the removal of those that dead servers left.

A server killed with SIGKILL cannot clean up. Its directory is therefore held by a file lock that dies with it, and the
next server that starts removes every directory whose lock is free.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from tis.errors import invalid

_PREFIX: Final = "tis-"
_LOCK: Final = "lock"
#: Linux's limit for the path of a Unix socket (sun_path, without its final zero).
_LONGEST_SOCKET_PATH: Final = 107
#: What comes behind the parent directory: the private directory, and the longest name of a socket in it.
_SOCKET_ROOM: Final = len(f"/{_PREFIX}12345678/1234567890.mail")


class RuntimeDir:
    """A server's runtime directory, locked while the server lives.

    Raises:
        TisError: sockets in it would have too long paths.
    """

    def __init__(self, parent: str = "") -> None:
        base = Path(parent or os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()).absolute()
        if len(os.fsencode(base)) + _SOCKET_ROOM > _LONGEST_SOCKET_PATH:
            raise invalid(
                f"the runtime directory '{base}' has too long a path: sockets in it would exceed the {_LONGEST_SOCKET_PATH} "
                "bytes that the system allows; give a shorter one with --runtime-directory"
            )
        base.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(base)
        self.path: Final = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
        self._lock = _locked(self.path)

    def remove(self) -> None:
        """Remove the directory; the server is done with it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _locked(directory: Path) -> int:
    """The directory's lock file, made and locked under a name that no other starting server looks for.

    Under its own name it appears locked at once: else another server that starts at this moment could take a lock file
    that is not locked yet for that of a dead server, and remove the directory.
    """
    unborn = directory / f"{_LOCK}.new"
    lock = os.open(unborn, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    unborn.rename(directory / _LOCK)
    return lock


def _remove_abandoned(base: Path) -> None:
    for lock in base.glob(f"{_PREFIX}*/{_LOCK}"):
        with contextlib.suppress(OSError):
            fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                if os.fstat(fd).st_uid == os.getuid():
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(lock.parent, ignore_errors=True)
            finally:
                os.close(fd)
