"""The physical limits of the machine, beside which a server's figures are read: memory, sockets, ONNX Runtime itself.

Each is measured for a fraction of a second. None of them is about this server: no request can be answered faster than two
processes wake each other, no tensor arrives faster than memory is copied, no model runs faster than in a bare loop.
"""

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from .bare_loop import run_bare
from .errors import BenchError
from .models import LARGE, SMALL, Model, write_onnx

_COPY_BYTES: Final = LARGE.elements * 4
#: Together with their copies far more than the caches hold.
_COLD_BUFFERS: Final = 200
_MESSAGE: Final = b"x" * 256
_SECONDS: Final = 0.2
#: Answers what it hears until it hears nothing: an empty datagram, or the end of a connection.
_ECHO: Final = """\
import socket, sys
peer = socket.socket(fileno=int(sys.argv[1]))
peer.send(b"ready")
while data := peer.recv(4096):
    peer.send(data)
"""


@dataclass(frozen=True)
class Limit:
    """One figure: how often a second, and how long one takes."""

    name: str
    per_s: float
    p50_us: float
    #: For copies, else 0.
    gb_per_s: float = 0.0

    def __str__(self) -> str:
        volume = f", {self.gb_per_s:.1f} GB/s" if self.gb_per_s else ""
        return f"{self.name}: {self.per_s:,.0f}/s, p50 {self.p50_us:.1f} µs{volume}"


def measure_limits() -> list[Limit]:
    """All of them, in two or three seconds; without ONNX Runtime, those that need it are left out."""
    limits = [copy("copy of 600 KB, warm", 1), copy("copy of 600 KB, cold", _COLD_BUFFERS)]
    limits += [echo_datagram(), echo_tcp()]
    try:
        return [*limits, bare(SMALL, "16 floats"), bare(LARGE, "600 KB")]
    except (BenchError, ImportError) as error:
        print(f"warning: no bare loop among the limits: {error}", file=sys.stderr)
        return limits


def copy(name: str, buffers: int) -> Limit:
    """Copy between so many pairs of buffers in turn, whose pages are all there."""
    sources = np.ones((buffers, _COPY_BYTES), np.uint8)
    targets = np.ones((buffers, _COPY_BYTES), np.uint8)  # not zeros: those get their pages when they are written
    turn = 0

    def once() -> None:
        nonlocal turn
        targets[turn] = sources[turn]
        turn = (turn + 1) % buffers

    per_s, p50_us = repeated(once)
    return Limit(name, per_s, p50_us, _COPY_BYTES / p50_us / 1e3)


def echo_datagram() -> Limit:
    """There and back between two processes that sleep until they hear, over Unix datagram sockets."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    return echo("echo of 256 bytes, Unix datagrams", ours, theirs)


def echo_tcp() -> Limit:
    """The same over TCP on the loopback interface."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ours = socket.create_connection(listening.getsockname())
        theirs, _ = listening.accept()
    for each in (ours, theirs):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return echo("echo of 256 bytes, TCP loopback", ours, theirs)


def echo(name: str, ours: socket.socket, theirs: socket.socket) -> Limit:
    """Give one end to a process of its own and talk to it; closes both."""
    with closing(ours):
        with closing(theirs):
            fd = theirs.fileno()
            process = subprocess.Popen([sys.executable, "-I", "-S", "-c", _ECHO, str(fd)], pass_fds=[fd])
        try:
            ours.settimeout(10)
            ours.recv(4096)  # it is ready
            ours.settimeout(None)

            def once() -> None:
                ours.send(_MESSAGE)
                ours.recv(4096)

            per_s, p50_us = repeated(once)
            if ours.type == socket.SOCK_DGRAM:
                ours.send(b"")
            else:
                ours.shutdown(socket.SHUT_WR)
            process.wait(10)
        finally:
            process.kill()
            process.wait()
    return Limit(name, per_s, p50_us)


def bare(model: Model, what: str) -> Limit:
    """An identity in a bare loop of ONNX Runtime on one core."""
    with tempfile.TemporaryDirectory(prefix="tis-bench-") as name:
        path = Path(name) / "model.onnx"
        write_onnx(path, model, batched=True)
        found = run_bare(path, [model.elements], seconds=_SECONDS, one_core=True)
    return Limit(f"ONNX Runtime, identity of {what}, one core", found.runs_per_s, found.p50_ms * 1e3)


def repeated(once: Callable[[], None]) -> tuple[float, float]:
    """Do it again and again: times a second, and the median in microseconds. The first tenth is for the warmth."""
    end = time.perf_counter() + _SECONDS / 10
    while time.perf_counter() < end:
        once()
    lengths_ns: list[int] = []
    began_ns = before_ns = time.perf_counter_ns()
    while before_ns - began_ns < _SECONDS * 1e9:
        once()
        now_ns = time.perf_counter_ns()
        lengths_ns.append(now_ns - before_ns)
        before_ns = now_ns
    return len(lengths_ns) / ((before_ns - began_ns) / 1e9), median(lengths_ns) / 1e3
