"""Programs that take their time, such as pip: their progress told, their last lines kept, their lives tied to ours."""

import ctypes
import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tis.errors import internal

#: Takes a line of progress.
Say = Callable[[str], None]

_PR_SET_PDEATHSIG: Final = 1
_LAST_LINES: Final = 15
_LAST_LETTERS: Final = 2000
_LINE_LETTERS: Final = 160
#: Lines of pip that say what it does now.
_NEWS: Final = ("Collecting ", "Downloading ", "Building ", "Preparing ", "Installing ", "Successfully installed ")


def run(
    what: str,
    words: Sequence[str | Path],
    say: Say,
    *,
    environment: Mapping[str, str],
    folder: Path | None = None,
    hint: str = "",
) -> None:
    """Runs a program to its end.

    Args:
        what: what it does, for the error.
        words: its command line.
        say: takes its progress.
        environment: its environment.
        folder: where it runs; None for here.
        hint: what to do where it fails.

    Raises:
        TisError: INTERNAL with its last lines where it fails.
    """
    last: deque[str] = deque(maxlen=_LAST_LINES)
    parent = os.getpid()
    try:
        process = subprocess.Popen(
            [str(word) for word in words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=dict(environment),
            cwd=folder,
            preexec_fn=lambda: die_with(parent),
        )
    except OSError as error:
        raise internal(f"{what} failed: {words[0]}: {error.strerror}{hint}") from error
    with process:
        for line in process.stdout or ():
            text = line.rstrip()
            if text:
                last.append(text)
            if text.lstrip().startswith(_NEWS):
                say(text.strip()[:_LINE_LETTERS])
    if process.returncode:
        words_ = "\n".join(last)[-_LAST_LETTERS:]
        raise internal(f"{what} failed (exit code {process.returncode}):\n{words_}{hint}")


def die_with(parent: int) -> None:
    """Ties this process's life to that of its parent, which has this id."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
