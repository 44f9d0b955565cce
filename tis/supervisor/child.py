"""One child process: how it is started, how its death is noticed, how its end is told. Decides nothing."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tis.environments.interpreter import OWN, Interpreter
from tis.pinned import core_list
from tis.process import STACK_SIGNAL, ChildArguments
from tis.supervisor.limits import Limits
from tis.supervisor.placement import Placement


class Child:
    """A running process of the server, known to the others by its peer id."""

    def __init__(
        self,
        module: str,
        peer: int,
        runtime_dir: Path,
        pool_fd: int,
        *,
        http_fd: int = -1,
        metrics_fd: int = -1,
        grpc_fd: int = -1,
        zmq_fd: int = -1,
        environment: Mapping[str, str] | None = None,
        placement: Placement | None = None,
        interpreter: Interpreter = OWN,
    ) -> None:
        #: Where what it logs and prints is read; closing them is up to who reads.
        self.log_fd, log_end = _pipe()
        self.stdout_fd, stdout_end = _pipe()
        self.stderr_fd, stderr_end = _pipe()
        services = (http_fd, metrics_fd, grpc_fd)
        arguments = ChildArguments(runtime_dir, peer, pool_fd, os.getpid(), *services, log_end, zmq_fd)
        self.peer: Final = peer
        self.module: Final = module
        self.started_s: Final = time.monotonic()
        #: Peer id of the process that was in the same place before; 0 for none.
        self.replaces = 0
        #: What it is called in the log.
        self.title = module
        self.limits = Limits()
        #: Its end, where it was killed for a reason, is told by that; and where it is excused, does not count as a failure.
        self.is_excused = False
        self._end_text = ""
        try:
            self._process = subprocess.Popen(
                [*interpreter.command, *_pins(placement), module, *arguments.as_argv()],
                stdin=subprocess.DEVNULL,
                stdout=stdout_end,
                stderr=stderr_end,
                pass_fds=[fd for fd in (pool_fd, *services, log_end, zmq_fd) if fd >= 0],
                env=interpreter.environment(os.environ) | dict(environment or {}),
            )
        finally:
            for fd in (log_end, stdout_end, stderr_end):
                os.close(fd)
        #: Polls readable when the process has ended.
        self.pidfd: Final = os.pidfd_open(self._process.pid)
        #: Called with the reason, once, when the process has ended.
        self.on_exit: Callable[[str], None] | None = None

    @property
    def output_fds(self) -> tuple[int, int, int]:
        """The three pipes."""
        return self.log_fd, self.stdout_fd, self.stderr_fd

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def lived_s(self) -> float:
        """How long it has run."""
        return time.monotonic() - self.started_s

    def reap(self) -> str:
        """After its pidfd polled readable: collect it and say how it ended."""
        code = self._process.wait()
        os.close(self.pidfd)
        return self._end_text or exit_text(code)

    def kill(self, reason: str = "") -> None:
        """End it at once; `reason` says how it ended then."""
        self._end_text = reason
        self._process.kill()

    def dump_stacks(self) -> None:
        """Have it write what its threads do to its standard error, unless it cannot even do that."""
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self.pidfd, STACK_SIGNAL)


def _pins(placement: Placement | None) -> list[str]:
    """The words before a module's name that pin its process; none where it may run anywhere."""
    pins: list[str] = []
    if placement is not None and placement.cores is not None:
        pins.append(f"--cores={core_list(placement.cores)}")
    if placement is not None and placement.node is not None:
        pins.append(f"--node={placement.node}")
    return ["tis.pinned", *pins] if pins else []


def _pipe() -> tuple[int, int]:
    """A pipe whose reading end never blocks; who writes may be a model, which knows nothing of such pipes."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    return reading, writing


def exit_text(code: int) -> str:
    """How a process ended, in words, from its return code as `subprocess` gives it."""
    if code >= 0:
        return f"exited with code {code}"
    number = -code
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    hint = "; the machine may be out of memory" if number == signal.SIGKILL else ""
    return f"was killed by {name}{hint}"
