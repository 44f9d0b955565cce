"""A server under test: started, waited for, stopped."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from .errors import BenchError
from .venv import ROOT

HOST = "127.0.0.1"
READY_DEADLINE_S = 300  # the reference may download itself on its first start
STOP_DEADLINE_S = 20
POLL_S = 0.005
LOG_TAIL_BYTES = 2000


@dataclass(frozen=True)
class Endpoint:
    """Where a server listens."""

    http_port: int
    grpc_port: int
    host: str = HOST

    @property
    def grpc_address(self) -> str:
        """What a gRPC client dials."""
        return f"{self.host}:{self.grpc_port}"

    @property
    def http_address(self) -> str:
        """What an HTTP client dials."""
        return f"{self.host}:{self.http_port}"

    def is_ready(self) -> bool:
        """Whether the server says that it can serve."""
        connection = http.client.HTTPConnection(self.host, self.http_port, timeout=5)
        try:
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


@dataclass(frozen=True)
class Running:
    """A server that is ready."""

    endpoint: Endpoint
    pid: int
    ready_after_s: float


@contextmanager
def serving(command: Sequence[str], repository: Path, log: Path) -> Iterator[Running]:
    """Run a server on free ports from ready to stopped. ``command`` lacks only the flags that are added here.

    Metrics are off on both sides: neither is to spend time on what the load does not ask for.
    """
    http_port, grpc_port = free_ports(2)
    endpoint = Endpoint(http_port, grpc_port)
    flags = [
        f"--model-repository={repository}",
        f"--http-port={http_port}",
        f"--grpc-port={grpc_port}",
        "--allow-metrics=false",
    ]
    started = time.monotonic()
    with log.open("ab") as output:
        try:
            process = subprocess.Popen(
                [*command, *flags],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        except OSError as error:
            raise BenchError(f"{command[0]} does not start: {error}") from error
    try:
        wait_until_ready(process, endpoint, log)
        yield Running(endpoint, process.pid, time.monotonic() - started)
    finally:
        stop(process)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on just now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def wait_until_ready(process: subprocess.Popen[bytes], endpoint: Endpoint, log: Path) -> None:
    """Return once the server is ready; raise with the end of its log if it exits first or takes too long."""
    deadline = time.monotonic() + READY_DEADLINE_S
    while not endpoint.is_ready():
        if process.poll() is not None:
            raise BenchError(f"the server exited with status {process.returncode}:\n{tail(log)}")
        if time.monotonic() > deadline:
            raise BenchError(f"the server was not ready after {READY_DEADLINE_S} s:\n{tail(log)}")
        time.sleep(POLL_S)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to end; after the deadline, or if it left children behind, kill its process group."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            print(f"warning: process {process.pid} ignored SIGTERM for {STOP_DEADLINE_S} s", file=sys.stderr)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def end_on_sigterm() -> None:
    """Make SIGTERM end this program as Ctrl+C does: through the code that stops the server."""
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))


def tail(log: Path) -> str:
    """The last lines of a server's log."""
    return log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
