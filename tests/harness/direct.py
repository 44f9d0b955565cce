"""Direct ZeroMQ clients of tests: the bare protocol, with nothing between the test and what the server says."""

import selectors
import socket
import threading
from pathlib import Path
from typing import Any, Final

import msgpack
import numpy as np
import zmq

from tests.harness.server import Server

DEADLINE_MS: Final = 20_000

Keys = tuple[bytes, bytes, bytes]


def address_of(server: Server) -> str:
    """What direct clients of a server connect to; it was started with `zmq_flag`."""
    found = server.wait_for_log(r"Started ZeroMQService at (\S+?)\"?\n")
    return found[1]


def zmq_flag(folder: Path) -> str:
    """A socket in a folder whose path is short."""
    return f"--zmq-address=ipc://{folder}/direct"


class DirectClient:
    """A DEALER and a context of its own."""

    def __init__(self, address: str, *, greet: bool = True, keys: Keys | None = None, heartbeat_ms: int = 0) -> None:
        """`keys`: its own public and secret one, and the server's public one."""
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVTIMEO, DEADLINE_MS)
        if heartbeat_ms:
            self._socket.heartbeat_ivl = self._socket.heartbeat_timeout = heartbeat_ms
        if keys is not None:
            self._socket.curve_publickey, self._socket.curve_secretkey, self._socket.curve_serverkey = keys
        self._socket.connect(address)
        if greet:
            welcome, _ = self.ask({"type": "hello", "version": 1})
            assert welcome["type"] == "welcome", welcome
            self.welcome = welcome

    def send(self, head: Any, *frames: bytes) -> None:
        """A message; a head of bytes goes as it is."""
        self._socket.send_multipart([head if isinstance(head, bytes) else msgpack.packb(head), *frames])

    def receive(self) -> tuple[dict[str, Any], list[bytes]]:
        """The next message."""
        head, *frames = self._socket.recv_multipart()
        return msgpack.unpackb(head), frames

    def ask(self, head: Any, *frames: bytes) -> tuple[dict[str, Any], list[bytes]]:
        """A message and the next one that comes."""
        self.send(head, *frames)
        return self.receive()

    def hears_nothing(self, for_ms: int = 100) -> bool:
        """True where nothing comes for a while."""
        return not self._socket.poll(for_ms)

    def refusal(self, head: Any, *frames: bytes) -> tuple[str, str]:
        """The code and text of the error that a message gets."""
        answer, _ = self.ask(head, *frames)
        assert answer["type"] == "error", answer
        return answer["code"], answer["text"]

    def ends(self) -> "zmq.Socket[bytes]":
        """Where the ends of its connection are told of."""
        return self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)

    def close(self) -> None:
        """Disconnect."""
        self._socket.close()
        self._context.term()

    def __enter__(self) -> "DirectClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def infer(number: int, model: str, array: "np.ndarray[Any, Any]", datatype: str, **more: Any) -> dict[str, Any]:
    """An `infer` of INPUT0, whose bytes are in the head."""
    tensor = {"name": "INPUT0", "datatype": datatype, "shape": list(array.shape), "data": array.tobytes()}
    return {"type": "infer", "id": number, "model": model, "inputs": [tensor], **more}


class Relay(threading.Thread):
    """Hands the bytes of one connection on, in both directions, and keeps them."""

    def __init__(self, listening: socket.socket, onward: tuple[str, int], heard: bytearray) -> None:
        super().__init__(daemon=True)
        self._listening, self._onward, self._heard = listening, onward, heard
        self.start()

    def run(self) -> None:
        """Until either side ends."""
        theirs, _ = self._listening.accept()
        with theirs, socket.create_connection(self._onward) as ours, selectors.DefaultSelector() as ready:
            ready.register(theirs, selectors.EVENT_READ, ours)
            ready.register(ours, selectors.EVENT_READ, theirs)
            while True:
                for key, _ in ready.select():
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not data:
                        return
                    self._heard += data
                    key.data.sendall(data)
