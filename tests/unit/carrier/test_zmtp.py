"""ZeroMQ's wire protocol, each end against libzmq's and against the other, and against peers that speak something else."""

import select
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from tis.carrier.zmtp import PullConnection, PullSocket, PushSocket, ZmtpError
from tis.errors import Code, TisError

PATIENCE_S = 10.0
#: At the edges of the two forms of a frame, and larger than what one read takes.
SIZES = [0, 1, 254, 255, 256, 257, 65_535, 65_536, 1 << 18, (1 << 18) + 1, 3_000_000]


@pytest.fixture
def path() -> Iterator[Path]:
    """Short, since the path of a socket may have 107 bytes at most."""
    directory = Path(tempfile.mkdtemp(prefix="tis-test-"))
    yield directory / "requests"
    shutil.rmtree(directory)


@pytest.fixture
def pull(path: Path) -> Iterator[PullSocket]:
    made = PullSocket(path)
    yield made
    made.close()


@pytest.fixture
def push(pull: PullSocket, path: Path) -> Iterator[PushSocket]:
    made = PushSocket(path)
    made.connect()
    yield made
    made.disconnect()


@pytest.fixture
def libzmq() -> Iterator[Callable[[int], "zmq.Socket[bytes]"]]:
    """Makes sockets of libzmq."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    made = []

    def make(kind: int) -> "zmq.Socket[bytes]":
        made.append(context.socket(kind))
        return made[-1]

    yield make
    for each in made:
        each.close(linger=0)
    context.term()


def wait_readable(*fds: int) -> list[int]:
    readable = select.select(fds, [], [], PATIENCE_S)[0]
    assert readable, "nothing came"
    return readable


def accepted(pull: PullSocket) -> int:
    wait_readable(pull.fileno())
    fd = pull.accept()
    assert fd is not None
    return fd


def pump(push: PushSocket, pull: PullSocket, fd: int, count: int) -> list[bytes]:
    """Let both ends do what they can until so many messages are there."""
    received: list[bytes] = []
    while len(received) < count:
        writers = [push.fileno()] if push.blocked else []
        readable, writable, _ = select.select([fd, push.fileno()], writers, [], PATIENCE_S)
        assert readable or writable
        if fd in readable:
            received += pull.receive(fd)
        if push.fileno() in readable:
            assert push.heard()
        if writable:
            push.resume()
    return received


def body(number: int, size_bytes: int) -> bytes:
    return bytes([number % 256]) * size_bytes


# ---- against libzmq ------------------------------------------------------------------------------------------------


def test_what_libzmq_pushes_is_pulled_whole_and_in_order(
    pull: PullSocket, path: Path, libzmq: Callable[[int], "zmq.Socket[bytes]"]
) -> None:
    sender = libzmq(zmq.PUSH)
    sender.connect(f"ipc://{path}")
    for number, size_bytes in enumerate(SIZES):
        sender.send(body(number, size_bytes))
    fd = accepted(pull)
    received: list[bytes] = []
    while len(received) < len(SIZES):
        wait_readable(fd)
        received += pull.receive(fd)
    assert received == [body(number, size_bytes) for number, size_bytes in enumerate(SIZES)]


def test_libzmq_pulls_what_is_pushed_whole_and_in_order(
    path: Path, libzmq: Callable[[int], "zmq.Socket[bytes]"]
) -> None:
    receiver = libzmq(zmq.PULL)
    receiver.bind(f"ipc://{path}")
    push = PushSocket(path)
    push.connect()
    for number, size_bytes in enumerate(SIZES):
        push.send(body(number, size_bytes))
    wait_readable(push.fileno())
    received: list[bytes] = []
    while len(received) < len(SIZES):
        if select.select([push.fileno()], [], [], 0)[0]:
            assert push.heard()
        if push.blocked and select.select([], [push.fileno()], [], 0)[1]:
            push.resume()
        if receiver.poll(10):
            received.append(receiver.recv())
    assert received == [body(number, size_bytes) for number, size_bytes in enumerate(SIZES)]
    push.disconnect()


def test_the_parts_of_a_multipart_message_arrive_as_one(
    pull: PullSocket, path: Path, libzmq: Callable[[int], "zmq.Socket[bytes]"]
) -> None:
    sender = libzmq(zmq.PUSH)
    sender.connect(f"ipc://{path}")
    sender.send_multipart([b"a", b"", b"b" * 300])
    sender.send(b"next")
    fd = accepted(pull)
    received: list[bytes] = []
    while len(received) < 2:
        wait_readable(fd)
        received += pull.receive(fd)
    assert received == [b"a" + b"b" * 300, b"next"]


# ---- against each other --------------------------------------------------------------------------------------------


def test_messages_sent_before_the_handshake_follow_it(push: PushSocket, pull: PullSocket) -> None:
    push.send(b"early")
    assert not push.blocked
    fd = accepted(pull)
    assert pump(push, pull, fd, 1) == [b"early"]
    push.send(b"late")
    assert pump(push, pull, fd, 1) == [b"late"]


def test_a_slow_receiver_loses_nothing_and_gets_everything_in_order(push: PushSocket, pull: PullSocket) -> None:
    fd = accepted(pull)
    push.send(b"first")
    assert pump(push, pull, fd, 1) == [b"first"]
    sent: list[bytes] = []
    while not push.blocked:
        sent.append(body(len(sent), 10_000))
        push.send(sent[-1])
    for _ in range(100):
        sent.append(body(len(sent), 10_000))
        push.send(sent[-1])
    assert pump(push, pull, fd, len(sent)) == sent
    assert not push.blocked


def test_a_receiver_too_far_behind_makes_the_sender_refuse_instead_of_filling_its_memory(
    push: PushSocket, pull: PullSocket
) -> None:
    accepted(pull)

    def send_and_send() -> None:
        for _ in range(100):
            push.send(bytes(1 << 20))

    with pytest.raises(TisError) as caught:
        send_and_send()
    assert caught.value.code is Code.UNAVAILABLE
    assert "too far behind" in caught.value.message


def test_several_senders_are_told_apart_and_one_that_goes_harms_no_other(pull: PullSocket, path: Path) -> None:
    pushes = [PushSocket(path) for _ in range(3)]
    fds = []
    for push in pushes:
        push.connect()
        fds.append(accepted(pull))
        pull.receive(fds[-1])
    for number, push in enumerate(pushes):
        wait_readable(push.fileno())
        assert push.heard()
        push.send(b"%d" % number)
    pushes[1].disconnect()
    assert [pull.receive(fd) for fd in fds] == [[b"0"], [b"1"], [b"2"]]
    assert pull.receive(fds[1]) == []
    pushes[2].send(b"more")
    assert pull.receive(fds[2]) == [b"more"]
    for push in pushes:
        push.disconnect()


def test_what_a_sender_said_before_it_went_is_still_received(push: PushSocket, pull: PullSocket) -> None:
    fd = accepted(pull)
    wait_readable(push.fileno())
    assert push.heard()
    for number in range(10):
        push.send(b"%d" % number)
    push.disconnect()
    assert pull.receive(fd) == [b"%d" % number for number in range(10)]


# ---- ends that are not there ---------------------------------------------------------------------------------------


def test_without_a_receiver_nothing_can_be_sent(path: Path) -> None:
    push = PushSocket(path)
    for attempt in (push.connect, lambda: push.send(b"x")):
        with pytest.raises(TisError) as caught:
            attempt()
        assert caught.value.code is Code.UNAVAILABLE
    assert push.fileno() == -1
    assert not push.blocked


def test_a_receiver_that_goes_is_noticed_and_the_next_one_can_be_had(
    push: PushSocket, pull: PullSocket, path: Path
) -> None:
    fd = accepted(pull)
    push.send(b"x")
    assert pump(push, pull, fd, 1) == [b"x"]
    pull.close()
    wait_readable(push.fileno())
    assert not push.heard()
    with pytest.raises(TisError):
        push.send(b"y")
    again = PullSocket(path)
    push.connect()
    fd = accepted(again)
    push.send(b"z")
    assert pump(push, again, fd, 1) == [b"z"]
    again.close()


def test_sending_into_a_connection_that_broke_unnoticed_is_an_error(push: PushSocket, pull: PullSocket) -> None:
    fd = accepted(pull)
    push.send(b"x")
    assert pump(push, pull, fd, 1) == [b"x"]
    pull.close()
    with pytest.raises(TisError):
        push.send(b"y")
    assert push.fileno() == -1


def test_a_socket_that_a_killed_server_left_is_taken_over_and_removed_at_the_end(path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    pull = PullSocket(path)
    push = PushSocket(path)
    push.connect()
    push.disconnect()
    pull.close()
    assert not path.exists()


# ---- ends that speak something else --------------------------------------------------------------------------------

GREETING = b"\xff" + b"\0" * 8 + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + b"\0" * 32
READY = b"\x04\x1a\x05READY\x0bSocket-Type\0\0\0\x04PUSH"


def received(pieces: list[bytes]) -> list[bytes]:
    """What a connection makes of bytes that come in pieces."""
    ours, theirs = socket.socketpair()
    connection = PullConnection(ours)
    room = memoryview(bytearray(1 << 16))
    messages: list[bytes] = []
    try:
        for piece in pieces:
            theirs.sendall(piece)
            arrived, alive = connection.receive(room)
            assert alive
            messages += arrived
    finally:
        connection.close()
        theirs.close()
    return messages


def test_bytes_that_come_one_at_a_time_are_put_together() -> None:
    stream = (
        GREETING
        + READY
        + b"\0\x03abc"
        + b"\0\0"
        + b"\x02"
        + (300).to_bytes(8, "big")
        + b"x" * 300
        + b"\x01\x01a\0\x01b"
    )
    assert received([bytes([each]) for each in stream]) == [b"abc", b"", b"x" * 300, b"ab"]


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=600), max_size=8), st.data())
def test_however_a_stream_is_cut_the_same_messages_arrive(messages: list[bytes], data: st.DataObject) -> None:
    stream = GREETING + READY
    for message in messages:
        size = len(message)
        stream += (bytes([0, size]) if size <= 255 else b"\x02" + size.to_bytes(8, "big")) + message
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    ends = [*cuts, len(stream)]
    assert received([stream[a:b] for a, b in zip([0, *cuts], ends, strict=True) if a < b]) == messages


@pytest.mark.parametrize(
    "stream",
    [
        b"GET / HTTP/1.1\r\nHost: somewhere\r\nUser-Agent: a browser, by mistake\r\n\r\n",
        GREETING.replace(b"\x03\x01NULL", b"\x03\x01PLAIN")[:64],
        GREETING.replace(b"\x7f\x03\x01", b"\x7f\x01\x00"),
        GREETING + READY + b"\x02" + (1 << 60).to_bytes(8, "big"),
    ],
)
def test_a_sender_that_does_not_speak_the_protocol_is_cut_off(pull: PullSocket, path: Path, stream: bytes) -> None:
    with pytest.raises(ZmtpError):
        received([stream])
    stranger = socket.socket(socket.AF_UNIX)
    stranger.connect(str(path))
    fd = accepted(pull)
    stranger.sendall(stream)
    assert pull.receive(fd) == []
    assert pull.receive(fd) == []
    stranger.settimeout(PATIENCE_S)
    while stranger.recv(1000):
        pass
    stranger.close()


def test_a_stranger_that_leaves_before_it_is_accepted_harms_nobody(
    push: PushSocket, pull: PullSocket, path: Path
) -> None:
    fd = accepted(pull)
    stranger = socket.socket(socket.AF_UNIX)
    stranger.connect(str(path))
    stranger.close()
    wait_readable(pull.fileno())
    gone = pull.accept()
    if gone is not None:
        assert pull.receive(gone) == []
    push.send(b"x")
    assert pump(push, pull, fd, 1) == [b"x"]
