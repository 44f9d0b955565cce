"""What every child process of the server does first: its command line, its parent's death, its shared memory."""

import argparse
import contextlib
import ctypes
import faulthandler
import gc
import io
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15
_IOLBF: Final = 1
#: A child that gets this signal writes the stacks of all its threads to its standard error, whatever it is doing.
STACK_SIGNAL: Final = signal.SIGUSR2


@dataclass(frozen=True, slots=True)
class ChildArguments:
    """The command line of a child: who it is and what it inherited. Everything else comes in the supervisor's `Boot`."""

    runtime_dir: Path
    peer: int
    pool_fd: int
    parent_pid: int
    http_fd: int
    metrics_fd: int = -1
    grpc_fd: int = -1
    #: Takes lines of the log, see `tis.log_output`.
    log_fd: int = -1
    zmq_fd: int = -1

    def as_argv(self) -> list[str]:
        """The same as arguments."""
        return [
            f"--runtime-dir={self.runtime_dir}",
            f"--peer={self.peer}",
            f"--pool-fd={self.pool_fd}",
            f"--parent-pid={self.parent_pid}",
            f"--http-fd={self.http_fd}",
            f"--metrics-fd={self.metrics_fd}",
            f"--grpc-fd={self.grpc_fd}",
            f"--log-fd={self.log_fd}",
            f"--zmq-fd={self.zmq_fd}",
        ]


def parse_child_arguments(argv: list[str]) -> ChildArguments:
    """The arguments that `ChildArguments.as_argv` made."""
    parser = argparse.ArgumentParser(description="A part of the tis server; started by `tis serve`, not by hand.")
    parser.add_argument("--runtime-dir", type=Path, required=True)
    parser.add_argument("--peer", type=int, required=True)
    parser.add_argument("--pool-fd", type=int, required=True)
    parser.add_argument("--parent-pid", type=int, required=True)
    parser.add_argument("--http-fd", type=int, default=-1)
    parser.add_argument("--metrics-fd", type=int, default=-1)
    parser.add_argument("--grpc-fd", type=int, default=-1)
    parser.add_argument("--log-fd", type=int, default=-1)
    parser.add_argument("--zmq-fd", type=int, default=-1)
    parsed = parser.parse_args(argv)
    return ChildArguments(
        parsed.runtime_dir,
        parsed.peer,
        parsed.pool_fd,
        parsed.parent_pid,
        parsed.http_fd,
        parsed.metrics_fd,
        parsed.grpc_fd,
        parsed.log_fd,
        parsed.zmq_fd,
    )


def begin_child(title: str) -> ChildArguments:
    """Tie this process's life to its parent's and read its arguments.

    SIGINT is ignored, since a terminal sends Ctrl+C to the whole group and the supervisor alone decides on the order of a
    stop; SIGTERM is left to the caller.
    """
    arguments = parse_child_arguments(sys.argv[1:])
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NAME, f"tis-{title}".encode()[:15], 0, 0, 0)
    if os.getppid() != arguments.parent_pid:
        # The parent died before the line above could tie us to it.
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.stderr is not None:
        faulthandler.register(STACK_SIGNAL, all_threads=True)
    for fd in (arguments.pool_fd, arguments.log_fd):
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.set_inheritable(fd, False)
    _print_by_line(libc)
    return arguments


def _print_by_line(libc: ctypes.CDLL) -> None:
    """What is printed leaves line by line, as on a terminal, so that nothing of it is lost when this process dies."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    with contextlib.suppress(ValueError):
        libc.setvbuf(ctypes.c_void_p.in_dll(libc, "stdout"), None, _IOLBF, 0)


def settle() -> None:
    """Call when start-up is over: what lives now lives for good, so the collector need not look at it again."""
    gc.collect()
    gc.freeze()
