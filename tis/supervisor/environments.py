"""Lets environments of models be made ready beside the supervisor's loop, each by a process of its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tis.environments.interpreter import Interpreter
from tis.environments.wish import Wish
from tis.errors import Code, TisError, internal
from tis.log import get_logger
from tis.supervisor.child import exit_text
from tis.supervisor.loop import Loop

#: Called once: with an interpreter, or with why there is none.
Prepared = Callable[[Interpreter | None, TisError | None], None]

_READ_BYTES: Final = 65536

_log = get_logger(__name__)


class Environments:
    """Starts those processes."""

    def __init__(self, loop: Loop, folder: Path) -> None:
        self._loop = loop
        self._folder = folder

    def prepare(self, wish: Wish, prepared: Prepared) -> Callable[[], None]:
        """Make an environment ready. Gives what cancels that; then `prepared` is not called any more."""
        return Preparation(self._loop, self._folder, wish, prepared).cancel


class Preparation:
    """One of them."""

    def __init__(self, loop: Loop, folder: Path, wish: Wish, prepared: Prepared) -> None:
        self._loop = loop
        self._model = wish.model
        self._prepared: Prepared | None = prepared
        self._rest = b""
        self._result: tuple[Interpreter | None, TisError | None] | None = None
        # In a group of its own: Ctrl+C is for the supervisor, which cancels this in time.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tis.environments", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise TypeError("pipes were asked for")
        self._out = self._process.stdout.fileno()
        os.set_blocking(self._out, False)
        # Less than a pipe holds.
        with self._process.stdin as asked, contextlib.suppress(BrokenPipeError):
            asked.write(json.dumps({"wish": wish.as_json(), "folder": str(folder)}).encode())
        self._pidfd = os.pidfd_open(self._process.pid)
        self._reads = True
        self._is_over = False
        loop.add_reader(self._out, self._read)
        loop.add_reader(self._pidfd, self._ended)

    def cancel(self) -> None:
        """It is not wanted any more."""
        if not self._is_over:
            self._prepared = None
            os.killpg(self._process.pid, signal.SIGKILL)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._out, _READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                self._stop_reading()
                return
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._heard(json.loads(line))

    def _stop_reading(self) -> None:
        if self._reads:
            self._reads = False
            self._loop.remove_reader(self._out)

    def _heard(self, told: dict[str, Any]) -> None:
        if "say" in told:
            _log.info("model '%s': its Python environment: %s", self._model, told["say"])
        elif "done" in told:
            self._result = Interpreter.from_json(told["done"]), None
        elif "failed" in told:
            code, text = told["failed"]
            self._result = None, TisError(Code(code), text)

    def _ended(self) -> None:
        self._is_over = True
        self._loop.remove_reader(self._pidfd)
        if self._reads:
            self._read()
        self._stop_reading()
        if self._process.stdout is not None:
            self._process.stdout.close()
        code = self._process.wait()
        os.close(self._pidfd)
        if self._prepared is not None:
            how = internal(f"the process that made the Python environment of model '{self._model}' {exit_text(code)}")
            self._prepared(*(self._result or (None, how)))
