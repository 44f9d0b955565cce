"""The client's own end of ZeroMQ's wire protocol, against libzmq and against peers that cut, stall and leave."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from tests.harness.waiting import eventually
from tis.client.errors import ConnectionLostError, RefusedError
from tis.client.plain_line import PlainLine

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06ROUTER"
MESSAGES = [
    [b"head"],
    [b"", b"x" * 255, b"y" * 256, b"z" * 20_000],
    [b"h", b"w" * 300_000, b"", b"v" * 70_000],
    [b"u" * 2_000_000],
]


@pytest.fixture
def router() -> Iterator["zmq.Socket[bytes]"]:
    """libzmq's server: it echoes nothing by itself."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as made:
        made.setsockopt(zmq.LINGER, 0)
        made.setsockopt(zmq.RCVTIMEO, 20_000)
        yield made


@pytest.mark.parametrize("scheme", ["ipc", "tcp"])
def test_messages_of_all_sizes_go_to_libzmq_and_come_back(
    router: "zmq.Socket[bytes]", tmp_path: Path, scheme: str
) -> None:
    router.bind("tcp://127.0.0.1:*" if scheme == "tcp" else f"ipc://{tmp_path}/s")
    line = PlainLine(bytes(router.get(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode(), 10)
    for frames in MESSAGES:
        line.send(frames)
        identity, *came = router.recv_multipart()
        assert came == frames
        router.send_multipart([identity, *frames])
        assert line.receive(20) == frames
    assert line.receive(0) is None
    line.close()


def test_heartbeats_of_libzmq_are_answered(router: "zmq.Socket[bytes]", tmp_path: Path) -> None:
    router.setsockopt(zmq.HEARTBEAT_IVL, 100)
    router.setsockopt(zmq.HEARTBEAT_TIMEOUT, 300)
    router.bind(f"ipc://{tmp_path}/s")
    line = PlainLine(f"ipc://{tmp_path}/s", 10)
    line.send([b"hello"])
    identity, _ = router.recv_multipart()
    # Waiting is what answers them; without answers the connection would end within this time.
    assert line.receive(1.0) is None
    router.send_multipart([identity, b"still there"])
    assert line.receive(20) == [b"still there"]
    line.close()


def wire(frames: list[bytes]) -> bytes:
    parts = []
    for at, frame in enumerate(frames):
        more = at < len(frames) - 1
        size = bytes((more, len(frame))) if len(frame) < 256 else bytes((more | 2,)) + len(frame).to_bytes(8, "big")
        parts.append(size + frame)
    return b"".join(parts)


class Peer:
    """A server of a few bytes, in a thread that writes what it is given in pieces."""

    def __init__(self, path: Path) -> None:
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(path))
        self.listening.listen()
        self.line = PlainLine(f"ipc://{path}", 5)
        self.connected = socket.socket(socket.AF_UNIX)
        meeting = threading.Thread(target=self.meet, daemon=True)
        meeting.start()
        self.line.send([b"hello"])
        meeting.join()

    def meet(self, words: bytes = GREETING + READY) -> None:
        """Accept a connection and say the first words."""
        connected, _ = self.listening.accept()
        self.connected.close()
        self.connected = connected
        connected.sendall(words)

    def write(self, data: bytes, piece: int = 1 << 30) -> None:
        def run() -> None:
            for at in range(0, len(data), piece):
                self.connected.sendall(data[at : at + piece])

        threading.Thread(target=run, daemon=True).start()


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    made = Peer(tmp_path / "s")
    yield made
    made.line.close()
    made.connected.close()
    made.listening.close()


@pytest.mark.parametrize("piece", [1, 7, 64, 65, 1000, 1 << 30])
def test_messages_come_whole_however_the_bytes_are_cut(peer: Peer, piece: int) -> None:
    messages = MESSAGES if piece > 64 else MESSAGES[:2]
    peer.write(b"".join(map(wire, messages)), piece)
    for frames in messages:
        assert peer.line.receive(20) == frames


def test_the_end_of_a_connection_is_told_and_the_next_message_connects_anew(peer: Peer) -> None:
    peer.write(wire([b"one"]))
    assert peer.line.receive(20) == [b"one"]
    peer.connected.close()
    with pytest.raises(ConnectionLostError, match="has ended"):
        peer.line.receive(20)
    with pytest.raises(ConnectionLostError, match="has ended"):
        peer.line.receive(None)
    threading.Thread(target=peer.meet, daemon=True).start()
    peer.line.send([b"again"])
    peer.write(wire([b"two"]))
    assert peer.line.receive(20) == [b"two"]


@pytest.mark.parametrize("words", [b"HTTP/1.1 400 Bad Request\r\n\r\n" * 4, GREETING.replace(b"NULL\0", b"CURVE")])
def test_what_is_no_zeromq_is_told(peer: Peer, words: bytes) -> None:
    peer.line.close()
    threading.Thread(target=peer.meet, args=[words], daemon=True).start()
    with pytest.raises(RefusedError, match="does not speak ZeroMQ without keys"):
        peer.line.send([b"x"])


def test_who_never_greets_is_given_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen()
        with pytest.raises(ConnectionLostError, match=r"did not answer within 0\.2 s"):
            PlainLine(f"ipc://{tmp_path}/s", 0.2).send([b"x"])


@pytest.mark.parametrize("piece", [1, 30])
def test_a_greeting_may_come_in_pieces(peer: Peer, piece: int) -> None:
    peer.line.close()

    def meet() -> None:
        peer.meet(b"")
        peer.write(GREETING + READY + wire([b"one"]), piece)

    threading.Thread(target=meet, daemon=True).start()
    peer.line.send([b"x"])
    assert peer.line.receive(20) == [b"one"]


def test_an_end_inside_of_a_message_is_the_end(peer: Peer) -> None:
    peer.connected.sendall(wire([b"x" * 500_000])[:100_000])
    peer.connected.close()
    with pytest.raises(ConnectionLostError):
        peer.line.receive(20)


def test_who_only_writes_is_read_from_by_a_server_that_only_writes_too(peer: Peer) -> None:
    """Both have more to say than fits between them: the client reads while it cannot write."""
    flood = wire([b"f" * 1000]) * 5000
    peer.write(flood)
    heard = bytearray()

    def read() -> None:
        # It reads once all of its own has been taken.
        eventually(lambda: len(peer.line._incoming.messages) > 4000, "the flood has come")
        while len(heard) < 3_000_000:
            heard.extend(peer.connected.recv(1 << 20))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    peer.line.send([b"head", b"z" * 3_000_000])
    reader.join(20)
    assert len(heard) >= 3_000_000


def test_nobody_there_is_told_in_time(tmp_path: Path) -> None:
    line = PlainLine(f"ipc://{tmp_path}/nobody", 0.1)
    with pytest.raises(ConnectionLostError, match="no server is at"):
        line.send([b"x"])
