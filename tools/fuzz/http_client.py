"""The fuzzer over HTTP: keep-alive connections with pipelined requests, every answer looked at."""

import json
import random
import socket
import struct
from collections.abc import Callable
from typing import Final

from tools.fuzz.http_requests import HttpRequests
from tools.fuzz.seeds import GOOD_EVERY, UNFORESEEN
from tools.fuzz.seen import Seen

_DEADLINE_S: Final = 30.0
_CONNECTIONS: Final = 8
_MOST_IN_A_BURST: Final = 12
_STATUSES: Final = {200, 400, 404, 405, 500, 501}
_RESET: Final = struct.pack("ii", 1, 0)


class _Line:
    """A connection, what has been sent on it and what is expected."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=_DEADLINE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        #: For each request in flight what was sent, and the end of its answer where that is known.
        self.expected: list[tuple[bytes, bytes | None]] = []

    def answer(self) -> tuple[int, bytes, bytes] | None:
        """Status, headers and body of the next answer; None where the connection has ended before it began.

        Raises:
            ValueError: what came is no HTTP response.
        """
        while True:
            end = self.buffer.find(b"\r\n\r\n") + 4
            if end >= 4:
                break
            if not self._more():
                if self.buffer:
                    raise ValueError(f"an answer breaks off: {self.buffer!r}")
                return None
        head = self.buffer[:end].lower()
        if not head.startswith(b"http/1.1 "):
            raise ValueError(f"no HTTP response: {self.buffer!r}")
        status = int(head[9:12])
        if status == 100:
            self.buffer = self.buffer[end:]
            return self.answer()
        at = head.find(b"\r\ncontent-length: ")
        if at < 0:
            raise ValueError(f"an answer without length: {self.buffer!r}")
        whole = end + int(head[at + 18 : head.index(b"\r", at + 18)])
        while len(self.buffer) < whole:
            if not self._more():
                raise ValueError(f"an answer breaks off: {self.buffer!r}")
        body, self.buffer = self.buffer[end:whole], self.buffer[whole:]
        return status, head, body

    def _more(self) -> bool:
        try:
            piece = self.socket.recv(1 << 18)
        except ConnectionError:
            return False
        self.buffer += piece
        return bool(piece)


class HttpFuzzer:
    """Keep-alive connections with pipelined requests, good and broken ones."""

    def __init__(self, address: tuple[str, int], seed: int) -> None:
        self._address = address
        self._random = random.Random(seed)
        self._requests = HttpRequests(self._random)
        self._lines: list[_Line] = []
        self.seen: Final = Seen()

    def run(self, requests: int, every_turn: Callable[[], None] = lambda: None) -> Seen:
        """Send so many broken requests."""
        while self.seen.broken < requests:
            while len(self._lines) < _CONNECTIONS:
                self._lines.append(_Line(self._address))
            for line in self._lines:
                self._burst(line)
            for line in list(self._lines):
                try:
                    going_on = self._finish(line)
                except (ValueError, TimeoutError, json.JSONDecodeError) as error:
                    sent = [request for request, _ in line.expected]
                    self.seen.problem(f"{type(error).__name__}: {error}; sent {sent!r}")
                    going_on = False
                if not going_on:
                    line.socket.close()
                    self._lines.remove(line)
            every_turn()
        for line in self._lines:
            line.socket.close()
        return self.seen

    def _burst(self, line: _Line) -> None:
        line.expected.clear()
        for _ in range(self._random.randrange(1, _MOST_IN_A_BURST + 1)):
            if self._random.randrange(GOOD_EVERY):
                self.seen.broken += 1
                line.expected.append((self._requests.broken(), None))
            else:
                self.seen.good += 1
                line.expected.append(self._requests.good())
        self._send(line, b"".join(request for request, _ in line.expected))

    def _finish(self, line: _Line) -> bool:
        """Read the answers of a burst; then now and then end the connection in some unfriendly way."""
        if self._random.randrange(40) == 0:
            return self._leave(line)
        while line.expected:
            request, expected = line.expected[0]
            answer = line.answer()
            if answer is None:
                # Uvicorn ends a connection that it cannot make sense of; a good request must not meet that.
                raise ValueError("the connection was closed")
            self._look(request, expected, *answer)
            line.expected.pop(0)
        if self._random.randrange(6):
            return True
        return self._unframed(line)

    def _leave(self, line: _Line) -> bool:
        """Go away with requests in flight, and perhaps with one half sent."""
        if self._random.randrange(2):
            self._send(line, self._requests.unframed())
            self.seen.broken += 1
        if self._random.randrange(2):
            line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.seen.outcomes["http left"] += len(line.expected)
        return False

    def _unframed(self, line: _Line) -> bool:
        request = self._requests.unframed()
        line.expected.append((request, None))
        self.seen.broken += 1
        self._send(line, request)
        try:
            line.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.seen.outcomes["http closed"] += 1
            return False
        while (answer := line.answer()) is not None:
            status, _, body = answer
            self.seen.outcomes[f"http {status}"] += 1
            self._check_status(request, status, body)
        self.seen.outcomes["http closed"] += 1
        return False

    def _send(self, line: _Line, data: bytes) -> None:
        try:
            line.socket.sendall(data)
        except ConnectionError:
            self.seen.outcomes["http not taken"] += 1

    def _look(self, request: bytes, expected: bytes | None, status: int, head: bytes, body: bytes) -> None:
        self.seen.outcomes[f"http {status}"] += 1
        if expected is not None:
            if status != 200 or not body.endswith(expected):
                self.seen.problem(f"a good request got {status} {body!r}")
            return
        self._check_status(request, status, body)
        if b"\r\ncontent-encoding: " in head:
            return
        if status != 200 and b"/infer HTTP" in request:
            document = json.loads(body)
            if list(document) != ["error"] or not document["error"]:
                self.seen.problem(f"{request!r} got {status} {body!r}")
        elif status == 200:
            at = head.find(b"\r\ninference-header-content-length: ")
            text = body if at < 0 else body[: int(head[at + 35 : head.index(b"\r", at + 35)])]
            json.loads(text)

    def _check_status(self, request: bytes, status: int, body: bytes) -> None:
        if status not in _STATUSES or (status == 500 and any(each.encode() in body for each in UNFORESEEN)):
            self.seen.problem(f"{request!r} got {status} {body!r}")
