"""The server under a service manager: it says when it is ready, how it is and that it lives, and takes over open ports."""

import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from tests.harness.fixtures import StartServer
from tests.harness.manager import Manager
from tests.harness.models import identity
from tests.harness.observing import logged_at_s
from tests.harness.raw_http import Connection
from tests.harness.repository import one_cpu
from tests.harness.server import HOST, Server
from tests.harness.traffic import echo_call, is_echo
from tests.harness.waiting import eventually


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    identity("FP32", [-1]).write(tmp_path / "models", "echo", extra=one_cpu())
    return tmp_path / "models"


@pytest.fixture
def manager() -> Iterator[Manager]:
    with Manager() as made:
        yield made


def get(port: int, path: str) -> bytes:
    """The answer to a GET on a connection of its own."""
    with socket.create_connection((HOST, port), timeout=60) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def grpc_live(port: int) -> str:
    """The status of a call on a channel of its own."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"{HOST}:{port}", options=options) as channel:
        try:
            channel.unary_unary("/inference.GRPCInferenceService/ServerLive")(b"", timeout=60)
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"
        return "OK"


# ---- notifications -----------------------------------------------------------------------------------------------------


def test_ready_is_said_when_the_server_serves_and_a_stop_when_it_begins(
    new_server: StartServer, repository: Path, manager: Manager
) -> None:
    server = manager.prepare(new_server(repository, "--exit-timeout-secs=7")).start()
    manager.wait_for("READY=1")
    assert server.get("/v2/health/ready")[0] == 200
    said = list(manager.said)
    (ready,) = [message for message in said if "READY=1" in message]
    assert ready == ["READY=1", "STATUS=serving, models ready: 1/1"]
    before = said[: said.index(ready)]
    assert ["EXTEND_TIMEOUT_USEC=30000000"] in before
    assert ["STATUS=starting, models ready: 0/1"] in before
    assert server.stop() == 0
    assert ["STOPPING=1", "STATUS=stopping, models ready: 1/1", "EXTEND_TIMEOUT_USEC=17000000"] in list(manager.said)


def test_a_server_that_cannot_load_its_models_never_says_that_it_is_ready(
    new_server: StartServer, repository: Path, manager: Manager
) -> None:
    (repository / "echo" / "1" / "model.onnx").write_bytes(b"nonsense")
    server = manager.prepare(new_server(repository)).launch()
    assert server.wait_ended() == 1
    assert manager.count("READY=1") == 0
    assert manager.count("STOPPING=1") == 1


def test_what_is_ready_is_told_when_it_changes(new_server: StartServer, repository: Path, manager: Manager) -> None:
    identity("FP32", [-1]).write(repository, "broken", extra=one_cpu())
    (repository / "broken" / "1" / "model.onnx").write_bytes(b"nonsense")
    manager.prepare(new_server(repository, "--exit-on-error=false")).start()
    manager.wait_for("READY=1")
    assert manager.count("STATUS=serving, models ready: 1/2") == 1


def test_the_children_do_not_know_of_the_manager(new_server: StartServer, repository: Path, manager: Manager) -> None:
    port = manager.listen("http")
    server = manager.prepare(new_server(repository, f"--http-port={port}"), watchdog_s=30).start()
    for child in [*server.workers(), *server.frontends(), server.scheduler()]:
        environment = Path(f"/proc/{child.pid}/environ").read_bytes()
        assert b"NOTIFY_SOCKET" not in environment
        assert b"LISTEN_" not in environment
        assert b"WATCHDOG_" not in environment


# ---- the watchdog ------------------------------------------------------------------------------------------------------


def test_the_watchdog_is_fed_while_everybody_answers(
    new_server: StartServer, repository: Path, manager: Manager
) -> None:
    manager.prepare(new_server(repository), watchdog_s=0.4).start()
    manager.wait_for("READY=1")
    manager.wait_for("WATCHDOG=1", manager.count("WATCHDOG=1") + 5)


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["scheduler", "frontend"])
def test_the_watchdog_is_not_fed_while_the_scheduler_or_a_frontend_hangs(
    new_server: StartServer, repository: Path, manager: Manager, victim: str
) -> None:
    server = manager.prepare(new_server(repository), watchdog_s=2.0).start()
    manager.wait_for("READY=1")
    process = server.scheduler() if victim == "scheduler" else server.frontends()[0]
    eventually(lambda: server.get("/v2/health/ready")[0] == 200, "the server answers")
    process.kill(signal.SIGSTOP)
    server.wait_for_log("does not answer: the watchdog of systemd is not fed")
    killed = rf"\(pid {process.pid}\) was killed: no sign of life"
    server.wait_for_log(killed)
    silent_s, killed_s = (logged_at_s(server, each) for each in ("the watchdog of systemd is not fed", killed))
    assert manager.between("WATCHDOG=1", silent_s, killed_s) == 0
    # Its successor answers.
    manager.wait_for("WATCHDOG=1", manager.count("WATCHDOG=1") + 2)


def test_a_frontend_that_is_restarted_is_no_reason_to_starve_the_watchdog(
    new_server: StartServer, repository: Path, manager: Manager
) -> None:
    server = manager.prepare(new_server(repository), watchdog_s=0.4).start()
    manager.wait_for("READY=1")
    server.kill(server.frontends()[0])
    manager.wait_for("WATCHDOG=1", manager.count("WATCHDOG=1") + 5)
    assert "does not answer" not in server.log()


# ---- reloading ---------------------------------------------------------------------------------------------------------


def test_a_reload_is_told_with_the_time_and_its_end(
    new_server: StartServer, repository: Path, manager: Manager
) -> None:
    server = manager.prepare(new_server(repository)).start()
    manager.wait_for("READY=1")
    began_us = time.monotonic_ns() // 1000
    server.signal(signal.SIGHUP)
    manager.wait_for("READY=1", 2)
    (reloading,) = [message for message in list(manager.said) if "RELOADING=1" in message]
    name, _, value = reloading[1].partition("=")
    assert name == "MONOTONIC_USEC"
    assert began_us <= int(value) <= time.monotonic_ns() // 1000
    server.wait_ready()


def test_a_reload_opens_the_log_file_anew_in_every_process(
    new_server: StartServer, repository: Path, tmp_path: Path
) -> None:
    file = tmp_path / "tis.log"
    server = new_server(repository, f"--log-file={file}").launch()
    eventually(lambda: file.exists() and "Started HTTPService" in file.read_text(), "the server has started", 60.0)
    file.rename(tmp_path / "tis.log.1")
    server.signal(signal.SIGHUP)
    # Beats are logged at this level, by the supervisor; the file is there again when it has opened it.
    eventually(lambda: file.exists() and file.stat().st_size > 0, "the log goes on in a new file")

    def moved() -> bool:
        open_files = [
            entry.readlink()
            for pid in server.processes()
            for entry in Path(f"/proc/{pid}/fd").iterdir()
            if entry.exists()
        ]
        return tmp_path / "tis.log.1" not in open_files and open_files.count(file) >= 4

    eventually(moved, "nobody has the old file open")
    assert server.stop() == 0


# ---- sockets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [True, False], ids=["by name", "by port"])
def test_ports_that_are_passed_are_served(
    new_server: StartServer, repository: Path, manager: Manager, named: bool
) -> None:
    http = manager.listen("http" if named else "tis.socket")
    metrics = manager.listen("metrics" if named else "tis.socket")
    rpc = manager.listen("grpc" if named else "tis.socket")
    flags = [] if named else [f"--http-port={http}", f"--grpc-port={rpc}"]
    server = manager.prepare(new_server(repository, *flags, f"--metrics-port={metrics}", "--frontends=2")).start()
    assert (server.http_port, server.grpc_port) == (http, rpc)
    assert grpc_live(rpc) == "OK"
    with Connection(server) as connection:
        assert is_echo(connection.call(echo_call(1)), 1)
    assert b"nv_inference_request_success" in get(metrics, "/metrics")


def test_with_a_socket_for_each_frontend_all_of_them_serve(
    new_server: StartServer, repository: Path, manager: Manager
) -> None:
    port = manager.listen("http", share=True)
    manager.listen("http", port, share=True)
    server = manager.prepare(new_server(repository, "--frontends=2")).start()
    for value in range(40):
        with Connection(server) as connection:
            assert is_echo(connection.call(echo_call(value)), value)


def http_live(port: int) -> str:
    """The first line of an answer on a connection of its own."""
    return get(port, "/v2/health/live").split(b"\r\n", 1)[0].decode() or "nothing"


class Visitors:
    """Clients that come one after another, each on a connection of its own, and note how they fared."""

    def __init__(self, port: int, visit: Callable[[int], str] = http_live) -> None:
        self._port = port
        self._visit = visit
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.outcomes: Counter[str] = Counter()
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.outcomes[self._visit(self._port)] += 1
            except OSError as error:
                self.outcomes[type(error).__name__] += 1


def test_a_restart_refuses_no_connection(new_server: StartServer, repository: Path, manager: Manager) -> None:
    port = manager.listen("http")
    flags = ("--frontends=2",)
    first = manager.prepare(new_server(repository, *flags)).start()
    visitors = Visitors(port)
    try:
        eventually(lambda: visitors.outcomes["HTTP/1.1 200 OK"] > 50, "visitors are served")
        assert first.stop() == 0
        served = visitors.outcomes["HTTP/1.1 200 OK"]
        second = manager.prepare(new_server(repository, *flags)).start()
        eventually(lambda: visitors.outcomes["HTTP/1.1 200 OK"] > served + 50, "visitors are served again")
    finally:
        visitors.close()
    # A request on a connection that had been accepted before the stop is told of it; nobody else notices.
    assert set(visitors.outcomes) <= {"HTTP/1.1 200 OK", "HTTP/1.1 503 Service Unavailable"}, visitors.outcomes
    assert visitors.outcomes["HTTP/1.1 503 Service Unavailable"] <= 2, visitors.outcomes
    assert second.stop() == 0


def test_a_restart_refuses_no_grpc_connection(new_server: StartServer, repository: Path, manager: Manager) -> None:
    port = manager.listen("grpc")
    flags = ("--frontends=2",)
    first = manager.prepare(new_server(repository, *flags)).start()
    visitors = Visitors(port, grpc_live)
    try:
        eventually(lambda: visitors.outcomes["OK"] > 20, "visitors are served")
        assert first.stop() == 0
        served = visitors.outcomes["OK"]
        second = manager.prepare(new_server(repository, *flags)).start()
        eventually(lambda: visitors.outcomes["OK"] > served + 20, "visitors are served again")
    finally:
        visitors.close()
    others = {text: count for text, count in visitors.outcomes.items() if text != "OK"}
    # Who had connected before the stop is told of it; nobody else notices.
    assert sum(others.values()) <= 2, others
    assert all("shutting down" in text or "exiting" in text for text in others), others
    assert second.stop() == 0


def test_a_frontend_that_is_restarted_refuses_no_grpc_connection(new_server: StartServer, repository: Path) -> None:
    server = new_server(repository, "--frontends=1").start()
    visitors = Visitors(server.grpc_port, grpc_live)
    try:
        eventually(lambda: visitors.outcomes["OK"] > 20, "visitors are served")
        server.kill(server.frontends()[0])
        served = visitors.outcomes["OK"]
        eventually(lambda: visitors.outcomes["OK"] > served + 20, "visitors are served again")
    finally:
        visitors.close()
    # Those that the dead process had accepted; who comes afterwards waits for the next one.
    assert sum(count for text, count in visitors.outcomes.items() if text != "OK") <= 1, visitors.outcomes


@pytest.mark.parametrize(
    ("name", "flags", "text"),
    [
        (
            "grpc",
            ("--grpc-server=grpcio",),
            "systemd passes a listening socket for gRPC, which --grpc-server=grpcio can",
        ),
        ("tis.socket", (), "its port is none of --http-port=0, --grpc-port=0"),
        ("http", ("--allow-http=false",), "--allow-http is false"),
    ],
)
def test_a_socket_that_cannot_be_served_stops_the_start_with_the_reason(
    new_server: StartServer, repository: Path, manager: Manager, name: str, flags: tuple[str, ...], text: str
) -> None:
    manager.listen(name)
    server: Server = manager.prepare(new_server(repository, *flags)).launch()
    assert server.wait_ended() == 1
    assert text in server.log()


def test_more_sockets_than_frontends_stop_the_start_since_nobody_would_serve_them(
    new_server: StartServer, repository: Path, manager: Manager
) -> None:
    port = manager.listen("http", share=True)
    manager.listen("http", port, share=True)
    server = manager.prepare(new_server(repository)).launch()
    assert server.wait_ended() == 1
    assert "start the server with --frontends=2" in server.log()
