"""Files of functions (`tis serve app.py`) as repositories: made before the server starts, and kept up to date in poll mode.

The files are their authors' code, so only children import them. A child writes a repository like any other
(`tis.functions.publish`) into the server's runtime directory, with which it goes; all else finds models there.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from tis.errors import invalid
from tis.log import get_logger

_FOLDER: Final = "functions"

_log = get_logger(__name__)


@dataclass
class _App:
    """A file, its repository, what it was when that was made, and the child that makes it anew."""

    file: Path
    repository: Path
    state: tuple[int, ...] = ()
    child: "subprocess.Popen[bytes] | None" = None
    said: IO[bytes] = field(default_factory=tempfile.TemporaryFile)

    def begin(self) -> None:
        """Make the repository, in a child."""
        self.state = self.now()
        self.said.seek(0)
        self.said.truncate()
        arguments = ["-P", "-m", "tis.functions.publish", str(self.file), str(self.repository)]
        self.child = subprocess.Popen([sys.executable, *arguments], stdin=subprocess.DEVNULL, stderr=self.said)

    def outcome(self) -> tuple[str, str]:
        """Once the child has ended: what it has said, and why it failed; empty where it did not."""
        child, self.child = self.child, None
        self.said.seek(0)
        lines = self.said.read().decode(errors="replace").splitlines()
        if child is None or child.returncode == 0:
            return "\n".join(lines), ""
        if child.returncode < 0:
            return "\n".join(lines), f"{self.file}: the process that imported it ended with signal {-child.returncode}"
        return "\n".join(lines[:-1]), lines[-1] if lines else f"{self.file}: exit code {child.returncode}"

    def now(self) -> tuple[int, ...]:
        """What tells that the file has changed."""
        try:
            state = self.file.stat()
        except OSError:
            return ()
        return (state.st_mtime_ns, state.st_size, state.st_ino)

    def close(self) -> None:
        """Leave no child behind."""
        if self.child is not None:
            self.child.kill()
            self.child.wait()
        self.said.close()


class Apps:
    """The files that the command line names."""

    def __init__(self, files: Sequence[str], runtime_dir: Path) -> None:
        folder = runtime_dir / _FOLDER
        self._apps: Final = [_App(Path(file).absolute(), folder / str(number)) for number, file in enumerate(files)]

    @property
    def repositories(self) -> tuple[str, ...]:
        """Where their models lie."""
        return tuple(str(app.repository) for app in self._apps)

    def publish(self) -> None:
        """Make all repositories; what the files print and warn of goes where it would go from `python`.

        Raises:
            TisError: INVALID_ARG for a file that cannot be imported or declares nothing, with its line.
        """
        for app in self._apps:
            app.begin()
        for app in self._apps:
            if app.child is not None:
                app.child.wait()
            said, failure = app.outcome()
            if said:
                sys.stderr.write(f"{said}\n")
            if failure:
                raise invalid(failure)

    def follow(self, interval_s: float, later: Callable[[float, Callable[[], None]], None]) -> None:
        """Look every so often whether a file has changed, and make its repository anew. Nobody waits for that."""
        if not (self._apps and interval_s):
            return

        def tick() -> None:
            later(interval_s, tick)
            self.look()

        later(interval_s, tick)

    def look(self) -> None:
        """Look now. A file that cannot be imported leaves its models as they are."""
        for app in self._apps:
            if app.child is None:
                if app.now() != app.state:
                    app.begin()
            elif app.child.poll() is not None:
                said, failure = app.outcome()
                if failure:
                    said = said.removeprefix("Traceback (most recent call last):\n")
                    _log.error("the functions of %s stay as they were: %s\n%s", app.file, failure, said)

    def close(self) -> None:
        """The server ends."""
        for app in self._apps:
            app.close()
