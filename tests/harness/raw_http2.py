"""A peer that writes HTTP/2 frames by hand, to servers that must live through whatever it writes."""

import contextlib
import socket
import struct
from types import TracebackType
from typing import Final, Self

from tests.harness.server import HOST, Server
from tis_frontend.http2 import frames as f
from tis_frontend.http2.headers import Fields, trailer_block

INFER: Final = b"/inference.GRPCInferenceService/ModelInfer"
STREAM: Final = b"/inference.GRPCInferenceService/ModelStreamInfer"
LIVE: Final = b"/inference.GRPCInferenceService/ServerLive"


def request_block(path: bytes, *more: tuple[bytes, bytes]) -> bytes:
    """The header block of a call."""
    fields: Fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"here")]
    return trailer_block([*fields, (b"te", b"trailers"), (b"content-type", b"application/grpc"), *more])


def message(data: bytes) -> bytes:
    """A message as it travels."""
    return b"\0" + struct.pack(">I", len(data)) + data


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame of any kind."""
    return f.head(len(payload), kind, flags, stream) + payload


class RawPeer:
    """A connection."""

    def __init__(self, server: Server, *, greets: bool = True, receive_buffer_bytes: int = 0) -> None:
        """`receive_buffer_bytes`: how little the kernel takes for a peer that does not read."""
        self.socket = socket.socket()
        if receive_buffer_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.settimeout(20)
        self.socket.connect((HOST, server.grpc_port))
        self._rest = b""
        if greets:
            self.send(f.PREFACE + f.settings({f.INITIAL_WINDOW_SIZE: 1 << 24}) + f.window_update(0, 1 << 24))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Write bytes."""
        self.socket.sendall(data)

    def flood(self, data: bytes, times: int) -> None:
        """Write bytes again and again, until the server has had enough of it."""
        with contextlib.suppress(OSError):
            for _ in range(times):
                self.socket.sendall(data)

    def call(self, stream: int, path: bytes, data: bytes | None = None, *, ends: bool = True) -> None:
        """Begin a call, with a message."""
        flags = f.END_HEADERS | (f.END_STREAM if ends and data is None else 0)
        sent = frame(f.HEADERS, flags, stream, request_block(path))
        if data is not None:
            sent += frame(f.DATA, f.END_STREAM if ends else 0, stream, message(data))
        self.send(sent)

    def next(self) -> tuple[int, int, int, bytes] | None:
        """The kind, flags, stream and payload of the next frame; None where the connection has ended."""
        while len(self._rest) < f.HEADER_BYTES or len(self._rest) < f.HEADER_BYTES + self._size():
            try:
                more = self.socket.recv(1 << 16)
            except ConnectionError:
                return None
            if not more:
                return None
            self._rest += more
        _, _, kind, flags, stream = f.HEAD.unpack_from(self._rest)
        end = f.HEADER_BYTES + self._size()
        payload, self._rest = self._rest[f.HEADER_BYTES : end], self._rest[end:]
        return kind, flags, stream & f.MOST_WINDOW_BYTES, payload

    def _size(self) -> int:
        return int.from_bytes(self._rest[:3], "big")

    def goaway(self) -> tuple[f.Error, bytes]:
        """The code and text of the last GOAWAY before the connection ends, which it must."""
        found: tuple[f.Error, bytes] | None = None
        while (each := self.next()) is not None:
            if each[0] == f.GOAWAY:
                found = f.Error(f.WORD.unpack_from(each[3], 4)[0]), each[3][8:]
        assert found is not None, "the connection has ended without a GOAWAY"
        return found

    def trailers(self, stream: int) -> bytes:
        """The last header block of a stream; what comes of others is passed over."""
        while (each := self.next()) is not None:
            kind, flags, number, payload = each
            if number == stream and kind == f.RST_STREAM:
                raise AssertionError(f"the stream was reset: {payload!r}")
            if number == stream and kind == f.HEADERS and flags & f.END_STREAM:
                return payload
        raise AssertionError("the connection has ended")
