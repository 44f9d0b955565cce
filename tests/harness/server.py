"""A real server, started as an operator starts it and stopped with the proof that nothing of it stays behind."""

import http.client
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.harness.processes import ServerProcess, children_of, is_held, session_pids
from tests.harness.shared_memory import PREFIX
from tests.harness.waiting import DEADLINE_S, eventually

HOST: Final = "127.0.0.1"
#: Many models on a machine that has much else to do may take minutes; that they are quick is asserted elsewhere.
#: The transport of gRPC where a test does not say: all tests that speak gRPC pass on either.
GRPC_SERVER: Final = os.environ.get("TIS_TEST_GRPC_SERVER", "native")
READY_DEADLINE_S: Final = 240.0
STOP_DEADLINE_S: Final = 40.0
_SHM: Final = Path("/dev/shm")
#: What objects in shared memory begin with that are the reference's, or those of tests, which may run beside each other.
_NOT_OURS: Final = ("triton_python_backend_shm_region_", PREFIX)


class Server:
    """`tis serve` with its own runtime directory, on ports of its choice; of a repository, or of a file of functions."""

    def __init__(self, repository: Path, *flags: str, log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.repository = repository
        self.flags = list(flags)
        self.log_path = log
        self.environment = dict(environment or {})
        #: Short, since the paths of Unix sockets have a limit of about a hundred characters.
        self.runtime_parent = Path(tempfile.mkdtemp(prefix="tt-"))
        self.http_port = 0
        self.grpc_port = 0
        #: Known where `--metrics-port` is among the flags; else metrics are off.
        self.metrics_port = 0
        #: What is put before the command, and descriptors that it inherits.
        self.prefix: list[str] = []
        self.pass_fds: tuple[int, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self._shm_before = _shm_names()

    # ---- starting --------------------------------------------------------------------------------------------------

    def launch(self, address_space_bytes: int | None = None) -> "Server":
        """Start the process and wait for nothing."""
        limited: list[str] = []
        if address_space_bytes is not None:
            limited = ["sh", "-c", f'ulimit -v {address_space_bytes // 1024}; exec "$@"', "sh"]
        chosen = {flag.split("=", 1)[0] for flag in self.flags}
        defaults = {
            "--http-port": "--http-port=0",
            "--grpc-port": "--grpc-port=0",
            "--allow-metrics": "--allow-metrics=false",
            "--frontends": "--frontends=1",
        }
        if GRPC_SERVER != "native":
            defaults["--grpc-server"] = f"--grpc-server={GRPC_SERVER}"
        if "--metrics-port" in chosen:
            del defaults["--allow-metrics"]
        own = [text for name, text in defaults.items() if name not in chosen]
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *self.prefix,
                    *limited,
                    *(sys.executable, "-P", "-m", "tis", "serve"),
                    *(
                        (str(self.repository),)
                        if self.repository.suffix == ".py"
                        else (f"--model-repository={self.repository}",)
                    ),
                    f"--runtime-directory={self.runtime_parent}",
                    *(*own, *self.flags),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                pass_fds=self.pass_fds,
                start_new_session=True,
            )
        return self

    def start(self) -> "Server":
        """Start and wait until the server says that it serves."""
        self.launch()
        self.wait_started()
        return self

    def wait_started(self, deadline_s: float = READY_DEADLINE_S) -> None:
        """Wait for the lines that name the ports."""
        services = [("HTTPService", "http_port"), ("GRPCInferenceService", "grpc_port")]
        if any(flag.startswith("--metrics-port=") for flag in self.flags):
            services.append(("Metrics Service", "metrics_port"))
        for service, attribute in services:
            found = self.wait_for_log(rf"Started {service} at \S+:(\d+)", deadline_s)
            setattr(self, attribute, int(found[1]))

    def wait_ready(self, deadline_s: float = DEADLINE_S) -> None:
        """Wait until the server says that it is ready."""
        eventually(lambda: self.get("/v2/health/ready")[0] == 200, f"the server is ready\n{self.log()}", deadline_s)

    # ---- looking ---------------------------------------------------------------------------------------------------

    @property
    def http_address(self) -> str:
        """What an HTTP client dials."""
        return f"{HOST}:{self.http_port}"

    @property
    def grpc_address(self) -> str:
        """What a gRPC client dials."""
        return f"{HOST}:{self.grpc_port}"

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The supervisor."""
        if self._process is None:
            raise AssertionError("the server has not been started")
        return self._process

    def workers(self) -> list[ServerProcess]:
        """Worker processes, oldest first."""
        return children_of(self.process.pid, "tis_workers")

    def worker_of(self, model: str) -> ServerProcess:
        """The youngest worker of a model; needs --log-verbose=1."""
        pids = re.findall(rf"of model '{re.escape(model)}' version \d+ runs as process (\d+)", self.log())
        return ServerProcess(int(pids[-1]), "tis_workers")

    def frontends(self) -> list[ServerProcess]:
        """Frontend processes, oldest first."""
        return children_of(self.process.pid, "tis_frontend")

    def scheduler(self) -> ServerProcess:
        """The scheduler process."""
        return eventually(lambda: children_of(self.process.pid, "tis.scheduler"), "there is a scheduler")[-1]

    def processes(self) -> list[int]:
        """Every living process of the server, the supervisor included."""
        return session_pids(self.process.pid)

    def log(self) -> str:
        """Everything that the server has printed."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait_for_log(self, pattern: str, deadline_s: float = DEADLINE_S) -> re.Match[str]:
        """The first place in the log that a pattern matches; fails at once where the server has ended without it."""

        def look() -> re.Match[str] | None:
            ended = self.process.poll() is not None
            found = re.search(pattern, self.log())
            if found is None and ended:
                raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log()}")
            return found

        found = eventually(look, f"the log holds {pattern!r}", deadline_s)
        if found is None:
            raise AssertionError(pattern)
        return found

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of a GET; status 0 where nobody answers."""
        connection = http.client.HTTPConnection(HOST, self.http_port, timeout=5)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    # ---- ending ----------------------------------------------------------------------------------------------------

    def kill(self, victim: ServerProcess) -> None:
        """Kill one of its processes and wait until it has noticed."""
        victim.kill()
        self.wait_for_log(rf"\(pid {victim.pid}\) was killed by SIGKILL")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor."""
        self.process.send_signal(number)

    def wait_ended(self, deadline_s: float = STOP_DEADLINE_S) -> int:
        """Wait until the supervisor has ended; gives its exit code."""
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the server still runs after {deadline_s:g} s:\n{self.log()}") from None

    def stop(self) -> int:
        """Stop in order; gives the exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait_ended()

    def close(self) -> None:
        """End what still runs, then fail where the server left a process, a directory or shared memory behind."""
        if self._process is None:
            return
        try:
            self.stop()
        finally:
            killed = self.process.poll() in (None, -signal.SIGKILL)
            self._check_nothing_left(killed)
        assert "Traceback (most recent call last)" not in self.log(), (
            "a process of the server failed in a way of its own"
        )

    def _check_nothing_left(self, killed: bool) -> None:
        try:
            # The kernel ends the children of a killed supervisor; that takes a moment.
            eventually(lambda: not self.processes(), f"no process is left\n{self.log()}", 2.0 if killed else 0.5)
            if not killed:
                # After a SIGKILL the next server removes the directory; there is a test for that.
                left = list(self.runtime_parent.iterdir())
                assert not left, f"left behind in the runtime directory: {left}"
            eventually(lambda: not self._shm_left(), f"nothing is left in /dev/shm: {self._shm_left()}", 20.0)
        finally:
            for pid in self.processes():
                os.kill(pid, signal.SIGKILL)
            self.process.wait()
            shutil.rmtree(self.runtime_parent, ignore_errors=True)

    def _shm_left(self) -> set[str]:
        """Shared memory that has appeared since the start and that no living process holds: strangers hold theirs."""
        appeared = {name for name in _shm_names() - self._shm_before if not name.startswith(_NOT_OURS)}
        return {name for name in appeared if not is_held(_SHM / name)}


def _shm_names() -> set[str]:
    return {entry.name for entry in _SHM.iterdir()}


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """A server from its start to its end, which is in order if what happens inside is."""
    try:
        server.start().wait_ready()
        yield server
        assert server.stop() == 0
    finally:
        print(f"---- log of the server ----\n{server.log()}")
        server.close()
