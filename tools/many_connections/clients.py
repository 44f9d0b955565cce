"""Small clients of HTTP and gRPC, so that one process can be thousands of them."""

import asyncio
import json
from abc import ABC, abstractmethod
from typing import Final, cast

import numpy as np
from tritonclient.grpc import service_pb2 as pb

from tests.harness.raw_http import binary_body, infer_post
from tests.harness.raw_http2 import INFER, frame, message, request_block
from tis_frontend.http2 import frames as f

MODEL: Final = "echo"
_ELEMENTS: Final = 16
_GREETING: Final = f.PREFACE + f.settings({}) + f.SETTINGS_ACK


def tensor(number: int) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    """What a client sends and must get back."""
    return np.full(_ELEMENTS, number, np.float32)


class Client(asyncio.Protocol, ABC):
    """A connection with a request at a time."""

    def __init__(self, number: int) -> None:
        self.number: Final = number
        self.is_lost = False
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The server has accepted, or its kernel has."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _error: Exception | None) -> None:
        """It is over."""
        self.is_lost = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError(f"the server has closed connection {self.number}"))

    def data_received(self, data: bytes) -> None:
        """Something of the answer."""
        self._received += data
        answer = self.take(self._received)
        if answer is not None and self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    async def is_right(self) -> bool:
        """Send a request; whether the answer is what was sent."""
        if self.is_lost or self._transport is None:
            raise ConnectionError(f"the server has closed connection {self.number}")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(self.request())
        return await self._answer == tensor(self.number).tobytes()

    def close(self) -> None:
        """Go."""
        if self._transport is not None:
            self._transport.close()

    @abstractmethod
    def request(self) -> bytes:
        """The bytes of the next request."""

    @abstractmethod
    def take(self, received: bytearray) -> bytes | None:
        """The tensor of an answer that is complete, taken out of what was received; an empty one for an error."""


class HttpClient(Client):
    """HTTP/1.1."""

    def request(self) -> bytes:
        """A POST with binary data."""
        return infer_post(MODEL, binary_body({"INPUT0": tensor(self.number)}))

    def take(self, received: bytearray) -> bytes | None:
        """The body behind its JSON."""
        head, end, body = bytes(received).partition(b"\r\n\r\n")
        if not end:
            return None
        headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        size = int(headers[b"content-length"])
        if len(body) < size:
            return None
        received.clear()
        if not head.startswith(b"HTTP/1.1 200 "):
            return b""
        json_bytes = int(headers[b"inference-header-content-length"])
        json.loads(body[:json_bytes])
        return body[json_bytes:size]


class GrpcClient(Client):
    """HTTP/2, as far as that needs."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self._stream = -1
        self._message = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        super().connection_made(transport)
        cast("asyncio.Transport", transport).write(_GREETING)

    def request(self) -> bytes:
        """A call of ModelInfer."""
        self._stream += 2
        self._message = b""
        asked = pb.ModelInferRequest(model_name=MODEL)
        asked.inputs.add(name="INPUT0", datatype="FP32", shape=[_ELEMENTS])
        asked.raw_input_contents.append(tensor(self.number).tobytes())
        return frame(f.HEADERS, f.END_HEADERS, self._stream, request_block(INFER)) + frame(
            f.DATA, f.END_STREAM, self._stream, message(asked.SerializeToString())
        )

    def take(self, received: bytearray) -> bytes | None:
        """The output of the response, once its trailers are there."""
        while len(received) >= f.HEADER_BYTES:
            size = int.from_bytes(received[:3], "big")
            if len(received) < f.HEADER_BYTES + size:
                return None
            kind, flags = received[3], received[4]
            payload = bytes(received[f.HEADER_BYTES : f.HEADER_BYTES + size])
            del received[: f.HEADER_BYTES + size]
            if kind == f.DATA:
                self._message += payload
            elif kind == f.HEADERS and flags & f.END_STREAM:
                if b"grpc-status\x010" not in payload:
                    return b""
                (output,) = pb.ModelInferResponse.FromString(self._message[5:]).raw_output_contents
                return bytes(output)
        return None
