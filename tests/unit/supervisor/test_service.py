"""Who counts as answering, what the environment of systemd means, and which sockets are whose."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from tis.errors import TisError
from tis.settings import ServerSettings
from tis.supervisor.activation import inherited_ports
from tis.supervisor.service import SILENCE_S, START_SILENCE_S, Pulse
from tis.supervisor.systemd import Systemd


def child(peer: int, started_s: float = 0.0) -> Any:
    return SimpleNamespace(peer=peer, started_s=started_s)


def test_a_process_that_beats_is_not_silent_and_one_that_has_stopped_is() -> None:
    pulse = Pulse()
    one, two = child(1), child(2)
    pulse.heard(1, 100.0)
    pulse.heard(2, 100.0)
    assert pulse.silent([one, two], 100.0 + SILENCE_S) == []
    pulse.heard(2, 105.0)
    assert pulse.silent([one, two], 100.5 + SILENCE_S) == [one]


def test_a_process_that_starts_has_longer_and_one_that_is_away_is_being_seen_to() -> None:
    pulse = Pulse()
    starting = child(1, 100.0)
    assert pulse.silent([None, starting], 100.0 + START_SILENCE_S) == []
    assert pulse.silent([None, starting], 100.1 + START_SILENCE_S) == [starting]


def test_the_variables_of_systemd_are_taken_out() -> None:
    environment = {
        "NOTIFY_SOCKET": "/run/x",
        "WATCHDOG_USEC": "2500000",
        "WATCHDOG_PID": str(os.getpid()),
        "LISTEN_PID": "1",
        "LISTEN_FDS": "2",
        "LISTEN_FDNAMES": "a:b",
        "HOME": "/",
    }
    systemd = Systemd(environment)
    assert environment == {"HOME": "/"}
    assert systemd.listens
    assert systemd.watchdog_s == 2.5
    # They were meant for another process.
    assert systemd.sockets == []


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"NOTIFY_SOCKET": "relative", "WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"},
    ],
)
def test_without_a_manager_nothing_is_said(environment: dict[str, str]) -> None:
    systemd = Systemd(environment)
    assert not systemd.listens
    assert systemd.watchdog_s == 0
    systemd.notify("READY=1")


def test_an_abstract_address_is_notified() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0tis-test-{os.getpid()}")
        Systemd({"NOTIFY_SOCKET": f"@tis-test-{os.getpid()}"}).notify("READY=1", "STATUS=x")
        assert manager.recv(100) == b"READY=1\nSTATUS=x"


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        made = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        yield made


def passing(*given: tuple[str, socket.socket]) -> Systemd:
    systemd = Systemd()
    systemd.sockets.extend(given)
    return systemd


def test_frontends_take_the_sockets_of_a_service_in_turn(sockets: list[socket.socket]) -> None:
    http = inherited_ports(passing(*[("http", each) for each in sockets]), ServerSettings(), 3)["http"]
    ports = [each.getsockname()[1] for each in sockets]
    listening = [http.listen() for _ in range(3)]
    assert [each.getsockname()[1] for each in listening] == [ports[0], ports[1], ports[0]]
    for each in listening:
        each.close()
    assert (http.address, http.port) == ("127.0.0.1", ports[0])


def test_a_socket_without_a_services_name_goes_by_its_port(sockets: list[socket.socket]) -> None:
    first, second = [each.getsockname()[1] for each in sockets]
    settings = ServerSettings(http_port=second, metrics_port=first)
    found = inherited_ports(passing(*[("tis.socket", each) for each in sockets]), settings, 1)
    assert {service: port.port for service, port in found.items()} == {"http": second, "metrics": first}


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_what_is_no_listening_tcp_socket_is_refused(kind: int) -> None:
    with socket.socket(socket.AF_INET, kind) as given, pytest.raises(TisError, match="cannot be served"):
        inherited_ports(passing(("http", given)), ServerSettings(), 1)
