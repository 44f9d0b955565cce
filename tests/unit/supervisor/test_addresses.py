"""A port is taken at start, shared by the server's own processes, and refused to and by everybody else."""

import socket
from collections.abc import Iterator

import pytest

from tis.errors import Code, TisError
from tis.supervisor.addresses import ReservedPort

HOST = "127.0.0.1"


@pytest.fixture
def stranger() -> Iterator[socket.socket]:
    """Another program's socket."""
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((HOST, 0))
        yield made


@pytest.fixture
def reserved() -> Iterator[ReservedPort]:
    made = ReservedPort("HTTP", HOST, 0)
    yield made
    made.close()


def refusal(address: str, port: int) -> str:
    with pytest.raises(TisError) as caught:
        ReservedPort("GRPC", address, port)
    assert caught.value.code is Code.UNAVAILABLE
    return caught.value.message


def test_port_0_takes_a_free_port_and_says_which(reserved: ReservedPort) -> None:
    assert 0 < reserved.port < 65536


def test_a_port_that_another_program_listens_on_is_refused_by_name_address_and_reason(stranger: socket.socket) -> None:
    stranger.listen()
    port = stranger.getsockname()[1]
    assert refusal(HOST, port) == (
        f"Socket '{HOST}:{port}' of the GRPC service cannot be used: Address already in use. Stop the program that uses "
        "it or choose another port"
    )
    assert "Address already in use" in refusal("0.0.0.0", port)


def test_a_program_that_would_share_its_port_with_anybody_does_not_get_shared_with(stranger: socket.socket) -> None:
    stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    stranger.listen()
    assert "Address already in use" in refusal(HOST, stranger.getsockname()[1])


def test_a_second_server_is_refused_though_nothing_listens_yet(reserved: ReservedPort) -> None:
    assert "Address already in use" in refusal(HOST, reserved.port)


def test_a_second_server_is_refused_while_frontends_listen(reserved: ReservedPort) -> None:
    with reserved.listen():
        assert "Address already in use" in refusal(HOST, reserved.port)


def test_an_address_that_is_not_this_machines_is_refused() -> None:
    assert "cannot be used" in refusal("203.0.113.1", 0)


def test_all_frontends_listen_on_the_one_port_and_a_connection_reaches_one_of_them(reserved: ReservedPort) -> None:
    with reserved.listen() as first, reserved.listen() as second:
        assert first.getsockname() == second.getsockname() == (HOST, reserved.port)
        first.setblocking(False)
        second.setblocking(False)
        with socket.create_connection((HOST, reserved.port), timeout=5):
            taken = []
            for each in (first, second):
                try:
                    taken.append(each.accept()[0])
                except BlockingIOError:
                    continue
            assert len(taken) == 1
            taken[0].close()


def test_the_reserved_port_itself_takes_no_connection(reserved: ReservedPort) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, reserved.port), timeout=5)


def test_a_connection_waits_in_a_listening_socket_whose_frontend_is_not_there_yet(reserved: ReservedPort) -> None:
    with reserved.listen() as listening, socket.create_connection((HOST, reserved.port), timeout=5) as client:
        client.sendall(b"hello")
        connected, _ = listening.accept()
        assert connected.recv(5) == b"hello"
        connected.close()


def test_after_it_is_given_up_the_port_can_be_taken_again() -> None:
    first = ReservedPort("HTTP", HOST, 0)
    first.close()
    again = ReservedPort("HTTP", HOST, first.port)
    assert again.port == first.port
    again.close()


def test_connections_of_a_program_that_has_just_ended_do_not_keep_the_port(stranger: socket.socket) -> None:
    stranger.listen()
    port = stranger.getsockname()[1]
    client = socket.create_connection((HOST, port), timeout=5)
    connected, _ = stranger.accept()
    # The side that closes first keeps the address in TIME_WAIT.
    connected.close()
    assert client.recv(1) == b""
    client.close()
    stranger.close()
    reserved = ReservedPort("HTTP", HOST, port)
    reserved.listen().close()
    reserved.close()


def test_an_ipv6_address_works_too() -> None:
    try:
        reserved = ReservedPort("HTTP", "::1", 0)
    except TisError:
        pytest.skip("this machine has no IPv6 loopback address")
    with reserved.listen(), socket.create_connection(("::1", reserved.port), timeout=5):
        pass
    reserved.close()
