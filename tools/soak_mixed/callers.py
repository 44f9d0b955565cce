"""Who carries requests to the server: a connection of HTTP, a channel of gRPC, a stream of gRPC."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2

from tests.harness.raw_http import HEADER_LENGTH
from tools.soak_mixed.asks import Ask

_SERVICE: Final = "/inference.GRPCInferenceService"
_END: Final = b"\r\n\r\n"


class LostError(Exception):
    """The connection ended before the answer."""


@dataclass(frozen=True, slots=True)
class Told:
    """An answer: the data of each output in the order of their names, or the code and the text of an error."""

    outputs: tuple[bytes, ...] = ()
    error: str | None = None
    request_id: str = ""
    final: bool = True
    #: Of an error: HTTP's status or the name of gRPC's.
    code: str = ""


class Caller(Protocol):
    """Carries a request at a time. A call that is cancelled gives the request up."""

    async def call(self, ask: Ask, request_id: str) -> Told:
        """The answer to a request.

        Raises:
            LostError: the connection ended before it.
        """

    async def close(self) -> None:
        """Close the connection."""


class HttpCaller:
    """A connection that lives as long as it can; giving a request up closes it. See `Caller`."""

    def __init__(self, host: str, port: int) -> None:
        self._address: Final = (host, port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, ask: Ask, request_id: str) -> Told:
        """As `Caller` says."""
        whole = False
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(*self._address)
            reader, writer = self._streams
            writer.write(http_request(ask, request_id))
            head = await reader.readuntil(_END)
            headers = dict(line.lower().split(b": ", 1) for line in head[: -len(_END)].split(b"\r\n")[1:])
            body = await reader.readexactly(int(headers[b"content-length"]))
            whole = True
        except (OSError, asyncio.IncompleteReadError) as error:
            raise LostError(type(error).__name__) from error
        finally:
            if not whole:
                await self.close()
        length = int(headers.get(HEADER_LENGTH.lower().encode(), len(body)))
        document = json.loads(body[:length])
        if "error" in document:
            return Told(error=document["error"], code=head.split(b" ", 2)[1].decode())
        outputs, at = {}, length
        for entry in document["outputs"]:
            size_bytes = entry["parameters"]["binary_data_size"]
            outputs[entry["name"]] = body[at : at + size_bytes]
            at += size_bytes
        return Told(_by_name(outputs), request_id=document.get("id", ""))

    async def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class GrpcCaller:
    """A channel of its own."""

    def __init__(self, host: str, port: int) -> None:
        # Without the first all channels to one address would share a connection.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        self._channel: Final = grpc.aio.insecure_channel(f"{host}:{port}", options)
        self._infer: Final = self._channel.unary_unary(f"{_SERVICE}/ModelInfer")
        self._stream: Final = self._channel.stream_stream(f"{_SERVICE}/ModelStreamInfer")

    async def call(self, ask: Ask, request_id: str) -> Told:
        """As `Caller` says."""
        try:
            data: bytes = await self._infer(message(ask, request_id).SerializeToString())
        except grpc.aio.AioRpcError as error:
            return _refused(error)
        return _told(service_pb2.ModelInferResponse.FromString(data))

    async def stream(self, asks: list[tuple[Ask, str]]) -> AsyncIterator[Told]:
        """The responses to several requests at once, until the stream ends.

        Raises:
            LostError: the stream has ended with an error.
        """
        call = self._stream()
        try:
            for ask, request_id in asks:
                await call.write(message(ask, request_id).SerializeToString())
            await call.done_writing()
            async for data in call:
                response = service_pb2.ModelStreamInferResponse.FromString(data)
                if response.error_message:
                    yield Told(error=response.error_message, request_id=response.infer_response.id)
                else:
                    yield _told(response.infer_response)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            raise LostError(str(error)) from error
        finally:
            call.cancel()

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()


def message(ask: Ask, request_id: str) -> Any:
    """A request as gRPC has it; one to a decoupled model says that it wants to hear of its end."""
    request = service_pb2.ModelInferRequest(model_name=ask.model, id=request_id)
    request.inputs.add(name=ask.input, datatype=ask.datatype, shape=ask.shape)
    request.raw_input_contents.append(ask.data)
    for name, value in ask.parameters.items():
        parameter = request.parameters[name]
        if isinstance(value, bool):
            parameter.bool_param = value
        elif isinstance(value, int):
            parameter.int64_param = value
        else:
            parameter.string_param = value
    if ask.model == "talking":
        request.parameters["triton_enable_empty_final_response"].bool_param = True
    return request


def http_request(ask: Ask, request_id: str) -> bytes:
    """The bytes of a request over HTTP, tensors as binary data."""
    entry = {
        "name": ask.input,
        "datatype": ask.datatype,
        "shape": ask.shape,
        "parameters": {"binary_data_size": len(ask.data)},
    }
    document = {"inputs": [entry], "parameters": {"binary_data_output": True, **ask.parameters}}
    head = json.dumps(({"id": request_id} if request_id else {}) | document).encode()
    return (
        (
            f"POST /v2/models/{ask.model}/infer HTTP/1.1\r\nHost: soak\r\n"
            f"Content-Length: {len(head) + len(ask.data)}\r\n{HEADER_LENGTH}: {len(head)}\r\n\r\n"
        ).encode()
        + head
        + ask.data
    )


def _told(response: Any) -> Told:
    final = not response.parameters or response.parameters["triton_final_response"].bool_param
    outputs = zip((each.name for each in response.outputs), response.raw_output_contents, strict=True)
    return Told(_by_name(dict(outputs)), request_id=response.id, final=final)


def _by_name(outputs: Mapping[str, bytes]) -> tuple[bytes, ...]:
    return tuple(outputs[name] for name in sorted(outputs))


def _refused(error: Any) -> Told:
    """An error of the server; one of the connection is none of its answers."""
    text = error.details() or ""
    if error.code() is grpc.StatusCode.UNAVAILABLE and _is_transport(text):
        raise LostError(text) from error
    return Told(error=text, code=error.code().name)


def _is_transport(text: str) -> bool:
    return any(part in text for part in ("failed to connect", "Socket closed", "GOAWAY", "reset by peer", "endpoint"))
