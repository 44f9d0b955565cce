"""HTTP as bytes on a socket, for what no client library sends: pipelining, pieces, broken requests."""

import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
from tritonclient.utils import np_to_triton_dtype

from tests.harness.server import HOST, Server

HEADER_LENGTH: Final = "Inference-Header-Content-Length"
_DEADLINE_S: Final = 20.0
_PIECE_BYTES: Final = 1 << 20

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Response:
    """A response as it came. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body's JSON part."""
        return json.loads(self.body[: int(self.headers.get(HEADER_LENGTH.lower(), len(self.body)))])

    @property
    def error(self) -> str:
        """The text of an error response, which is its only content."""
        document = self.json()
        assert list(document) == ["error"], document
        text: str = document["error"]
        return text


@dataclass(frozen=True)
class Body:
    """The body of an infer request and the headers that belong to it."""

    data: bytes
    header_length: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Length headers."""
        own = {"Content-Length": str(len(self.data))}
        return own if self.header_length is None else own | {HEADER_LENGTH: str(self.header_length)}


def binary_body(inputs: Mapping[str, Array], **top: Any) -> Body:
    """Tensors as binary data behind the JSON; all outputs are wanted as binary data, too."""
    blobs = [np.ascontiguousarray(array).tobytes() for array in inputs.values()]
    entries = [
        {
            "name": name,
            "datatype": np_to_triton_dtype(array.dtype),
            "shape": list(array.shape),
            "parameters": {"binary_data_size": len(blob)},
        }
        for (name, array), blob in zip(inputs.items(), blobs, strict=True)
    ]
    head = json.dumps({"inputs": entries, "parameters": {"binary_data_output": True}, **top}).encode()
    return Body(head + b"".join(blobs), len(head))


def json_body(document: Any) -> Body:
    """A body that is JSON and nothing else."""
    return Body(json.dumps(document).encode())


def json_input(name: str, datatype: str, shape: Sequence[int], data: Any) -> dict[str, Any]:
    """An input as it stands in a JSON body."""
    return {"name": name, "datatype": datatype, "shape": list(shape), "data": data}


def post(path: str, headers: Mapping[str, str], body: bytes = b"", version: str = "1.1") -> bytes:
    """The bytes of a POST."""
    lines = [f"POST {path} HTTP/{version}", "Host: test", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def infer_post(model: str, body: Body, **more: str) -> bytes:
    """The bytes of an infer call."""
    return post(
        f"/v2/models/{model}/infer", body.headers | {k.replace("_", "-"): v for k, v in more.items()}, body.data
    )


class Connection:
    """A connection to the server's HTTP port."""

    def __init__(self, server: Server, *, receive_buffer_bytes: int | None = None) -> None:
        self._socket = socket.socket()
        if receive_buffer_bytes is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self._socket.settimeout(_DEADLINE_S)
        try:
            self._socket.connect((HOST, server.http_port))
        except OSError:
            self._socket.close()
            raise
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self._socket.sendall(data)

    def response(self) -> Response:
        """The next response; an interim one (100) counts as one."""
        head, _, _ = self._read_until(b"\r\n\r\n").partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = int(status_line.split(" ", 2)[1])
        body = b"" if status == 100 else self._read_exactly(int(headers.get("content-length", "0")))
        return Response(status, headers, body)

    def fileno(self) -> int:
        """For polling."""
        return self._socket.fileno()

    def call(self, data: bytes) -> Response:
        """Send a request and read its response."""
        self.send(data)
        return self.response()

    def closed_by_server(self) -> bool:
        """Wait for the end of the stream; False where more bytes come instead."""
        try:
            return not self._buffer and not self._socket.recv(1)
        except ConnectionResetError:
            return True

    def receive_some(self) -> bytes:
        """A first piece of whatever comes."""
        return self._socket.recv(1024)

    def close(self, *, reset: bool = False) -> None:
        """Close, or let the kernel reset the connection."""
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._socket.close()

    def _read_until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            self._receive()
        position = self._buffer.index(end) + len(end)
        taken, self._buffer = self._buffer[:position], self._buffer[position:]
        return taken

    def _read_exactly(self, size_bytes: int) -> bytes:
        pieces = [self._buffer]
        have = len(self._buffer)
        while have < size_bytes:
            self._buffer = b""
            self._receive()
            pieces.append(self._buffer)
            have += len(self._buffer)
        whole = b"".join(pieces)
        self._buffer = whole[size_bytes:]
        return whole[:size_bytes]

    def _receive(self) -> None:
        piece = self._socket.recv(_PIECE_BYTES)
        if not piece:
            raise ConnectionError("the server closed the connection")
        self._buffer += piece
