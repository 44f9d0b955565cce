"""The disk that holds the server's log, which can be made full: a small file system of its own where the right to mount is.

Elsewhere the log file is a link, which points to /dev/full while the disk is full, and SIGHUP makes the server follow it.
"""

import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

#: For the log of ten minutes, several times over.
_SIZE_MIB: Final = 64
_PIECE: Final = bytes(1 << 16)


class Disk:
    """A folder with the log in it. `reopen` makes the server open its log anew."""

    def __init__(self, folder: Path) -> None:
        self.folder: Final = folder
        folder.mkdir(parents=True)
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={_SIZE_MIB}m", "tis-chaos", str(folder)],
            check=False,
            capture_output=True,
        )
        #: Whether it is a file system of its own, whose lost lines the server can count.
        self.real: Final = mounted.returncode == 0
        self.log: Final = folder / "log"
        self._kept: Final = folder / "kept"
        if not self.real:
            self._point(self._kept)

    def fill(self, reopen: Callable[[], None]) -> None:
        """Not one byte more fits."""
        if not self.real:
            self._point(Path("/dev/full"))
            reopen()
            return
        with (self.folder / "ballast").open("wb", buffering=0) as file, suppress(OSError):
            while file.write(_PIECE):
                pass

    def free(self, reopen: Callable[[], None]) -> None:
        """There is room again."""
        if not self.real:
            self._point(self._kept)
            reopen()
            return
        (self.folder / "ballast").unlink(missing_ok=True)

    def close(self) -> str:
        """What the log holds; the file system is gone after it."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        if self.real:
            subprocess.run(["umount", "-l", str(self.folder)], check=False, capture_output=True)
        return text

    def _point(self, target: Path) -> None:
        beside = self.log.with_name("log.new")
        beside.symlink_to(target)
        beside.replace(self.log)
