"""The soak test's client: many connections in one thread, each with one request in flight, every answer checked.

Fast, so that the server is what is measured: requests are bytes made from templates, answers are compared as bytes.
"""

import json
import random
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

ANSWER_DEADLINE_S: Final = 30.0
_TURN_S: Final = 0.05
_MOST_ITEMS: Final = 3
#: One request out of so many carries an id of its own.
_WITH_ID_EVERY: Final = 16
_ITEM: Final = struct.Struct("<qq")
_LENGTH: Final = b"content-length: "


@dataclass
class Outcomes:
    """What became of the requests. Every request sent is in exactly one of these, but for those still in flight."""

    sent: int = 0
    right: int = 0
    #: Connections that ended with a request in flight, because their frontend died.
    lost: int = 0
    #: Error responses by status and text.
    refused: Counter[tuple[int, str]] = field(default_factory=Counter)
    #: Answers that are not what was asked for; there must be none.
    wrong: list[str] = field(default_factory=list)
    longest_s: float = 0.0

    @property
    def done(self) -> int:
        """Requests that have come to an end."""
        return self.right + self.lost + self.refused.total() + len(self.wrong)


class _Connection:
    """A connection and the one request that it has in flight."""

    __slots__ = ("buffer", "expected", "request_id", "sent_s", "socket")

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=ANSWER_DEADLINE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.expected = b""
        self.request_id = b""
        self.sent_s = 0.0


class SoakClient:
    """Sends a number of requests to a model that gives INPUT0 (INT64, [-1, 2]) back as OUTPUT0."""

    def __init__(self, address: tuple[str, int], model: str, connections: int, seed: int) -> None:
        self._address = address
        self._model = model
        self._count = connections
        self._random = random.Random(seed)
        self._poll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        self._heads = [self._head(items, with_id=False) for items in range(1, _MOST_ITEMS + 1)]
        self.outcomes: Final = Outcomes()

    def run(self, requests: int, every_turn: Callable[[Outcomes], None]) -> Outcomes:
        """Send them and wait for what becomes of each; `every_turn` is called some times a second.

        Raises:
            TimeoutError: a request was not answered in time.
        """
        outcomes = self.outcomes
        for _ in range(min(self._count, requests)):
            self._send(self._connect())
        next_turn_s = 0.0
        while outcomes.done < outcomes.sent or outcomes.sent < requests:
            for fd, _ in self._poll.poll(_TURN_S):
                connection = self._connections[fd]
                if self._receive(connection) and outcomes.sent < requests:
                    self._send(connection)
            while outcomes.sent < requests and len(self._connections) < self._count:
                self._send(self._connect())
            now_s = time.monotonic()
            if now_s >= next_turn_s:
                next_turn_s = now_s + _TURN_S
                self._check_deadlines(now_s)
                every_turn(outcomes)
        self.close()
        return outcomes

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections.values():
            connection.socket.close()
        self._connections.clear()
        self._poll.close()

    # ---- one request -----------------------------------------------------------------------------------------------

    def _head(self, items: int, *, with_id: bool, request_id: str = "") -> bytes:
        """Everything of a request but its binary tail."""
        size_bytes = items * _ITEM.size
        entry = {
            "name": "INPUT0",
            "datatype": "INT64",
            "shape": [items, 2],
            "parameters": {"binary_data_size": size_bytes},
        }
        document = {"inputs": [entry], "parameters": {"binary_data_output": True}}
        text = json.dumps(({"id": request_id} if with_id else {}) | document).encode()
        return (
            b"POST /v2/models/%s/infer HTTP/1.1\r\nHost: soak\r\nContent-Length: %d\r\n"
            b"Inference-Header-Content-Length: %d\r\n\r\n%s"
        ) % (self._model.encode(), len(text) + size_bytes, len(text), text)

    def _send(self, connection: _Connection) -> None:
        number = self.outcomes.sent
        self.outcomes.sent += 1
        items = self._random.randrange(_MOST_ITEMS) + 1
        connection.expected = b"".join(_ITEM.pack(number, -item) for item in range(items))
        if number % _WITH_ID_EVERY:
            head, connection.request_id = self._heads[items - 1], b""
        else:
            request_id = f"soak-{number}"
            head, connection.request_id = self._head(items, with_id=True, request_id=request_id), request_id.encode()
        connection.sent_s = time.monotonic()
        try:
            connection.socket.sendall(head + connection.expected)
        except OSError:
            self._lost(connection)

    def _receive(self, connection: _Connection) -> bool:
        """Read what has come; True once the answer is whole and noted."""
        try:
            piece = connection.socket.recv(65536)
        except OSError:
            piece = b""
        if not piece:
            self._lost(connection)
            return False
        data = connection.buffer + piece
        body_at = data.find(b"\r\n\r\n") + 4
        length_at = data[:body_at].lower().find(_LENGTH) + len(_LENGTH)
        if body_at < 4 or len(data) < body_at + int(data[length_at : data.index(b"\r", length_at)]):
            connection.buffer = data
            return False
        connection.buffer = b""
        self._note(connection, data, body_at)
        return True

    def _note(self, connection: _Connection, data: bytes, body_at: int) -> None:
        outcomes = self.outcomes
        outcomes.longest_s = max(outcomes.longest_s, time.monotonic() - connection.sent_s)
        status = int(data[9:12])
        named = not connection.request_id or connection.request_id in data
        if status == 200 and named and data.endswith(connection.expected) and data.count(b"HTTP/1.1 ") == 1:
            outcomes.right += 1
        elif status == 200:
            outcomes.wrong.append(f"expected {connection.expected!r} for '{connection.request_id!r}', got {data!r}")
        else:
            outcomes.refused[(status, _without_id(data[body_at:].decode("utf-8", "replace")))] += 1

    def _lost(self, connection: _Connection) -> None:
        self.outcomes.lost += 1
        fd = connection.socket.fileno()
        self._poll.unregister(fd)
        del self._connections[fd]
        connection.socket.close()

    def _connect(self) -> _Connection:
        connection = _Connection(self._address)
        fd = connection.socket.fileno()
        self._connections[fd] = connection
        self._poll.register(fd, select.EPOLLIN)
        return connection

    def _check_deadlines(self, now_s: float) -> None:
        if self.outcomes.done == self.outcomes.sent:
            return
        for connection in self._connections.values():
            waits = connection.expected and now_s - connection.sent_s > ANSWER_DEADLINE_S
            if waits and self.outcomes.done < self.outcomes.sent:
                raise TimeoutError(
                    f"no answer within {ANSWER_DEADLINE_S:g} s: {connection.request_id!r}; {self.outcomes}"
                )


def _without_id(text: str) -> str:
    """An error text without the request's id, so that equal errors count as equal."""
    before, found, after = text.partition("[request id: ")
    return before + after.partition("] ")[2] if found else text
