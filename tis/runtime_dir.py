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

_PREFIX: Final = "tis-"
_LOCK: Final = "lock"


class RuntimeDir:
    """A server's runtime directory, locked while the server lives."""

    def __init__(self, parent: str = "") -> None:
        base = Path(parent or os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
        base.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(base)
        self.path: Final = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
        self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def remove(self) -> None:
        """Remove the directory; the server is done with it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


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
