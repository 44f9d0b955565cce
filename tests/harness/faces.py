"""NVIDIA's four clients behind one form, so that a promise is tested once for each of them."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

import numpy.typing as npt
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from google.protobuf.json_format import MessageToDict
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tests.harness.server import Server

Array = npt.NDArray[Any]
_TIMEOUT_S: Final = 60.0

_T = TypeVar("_T")


@dataclass(frozen=True)
class Call:
    """An infer call. `datatypes` is for inputs whose datatype numpy does not know (BF16) or that lie on purpose."""

    model: str
    inputs: Mapping[str, Array]
    outputs: Sequence[str] | None = None
    request_id: str = ""
    version: str = ""
    datatypes: Mapping[str, str] = field(default_factory=dict)
    #: HTTP only: whether tensors travel as binary data or as JSON.
    binary: bool = True

    def datatype(self, name: str) -> str:
        """Protocol datatype of an input."""
        known: str = self.datatypes.get(name) or np_to_triton_dtype(self.inputs[name].dtype)
        return known


@dataclass(frozen=True)
class Answer:
    """The answer to an infer call."""

    outputs: dict[str, Array]
    model: str
    version: str
    request_id: str


@dataclass(frozen=True)
class Refusal:
    """The error that a client got: HTTP status or the name of a gRPC status, and the text."""

    status: str
    text: str


class Face(Protocol):
    """One of the clients."""

    def ask(self, method: str, *arguments: Any) -> Any:
        """The result of a client's method, as plain data."""

    def infer(self, call: Call) -> Answer:
        """Make an infer call."""

    def close(self) -> None:
        """Close the client."""


def refusal(face: Face, call: Call) -> Refusal:
    """The error that a call ends in; fails the test where there is none."""
    try:
        answer = face.infer(call)
    except InferenceServerException as error:
        return Refusal(str(error.status()).removeprefix("StatusCode."), error.message())
    raise AssertionError(f"answered instead of refused: {answer}")


# ---- the four ----------------------------------------------------------------------------------------------------------


class HttpFace:
    """`tritonclient.http`."""

    def __init__(self, server: Server) -> None:
        self._client = tritonclient.http.InferenceServerClient(
            server.http_address, network_timeout=_TIMEOUT_S, connection_timeout=_TIMEOUT_S
        )

    def ask(self, method: str, *arguments: Any) -> Any:
        return getattr(self._client, method)(*arguments)

    def infer(self, call: Call) -> Answer:
        return _answer(self._client.infer(**_arguments(tritonclient.http, call)), call)

    def close(self) -> None:
        self._client.close()


class GrpcFace:
    """`tritonclient.grpc`."""

    def __init__(self, server: Server) -> None:
        self._client = tritonclient.grpc.InferenceServerClient(server.grpc_address)

    def ask(self, method: str, *arguments: Any) -> Any:
        return _plain(getattr(self._client, method)(*arguments))

    def infer(self, call: Call) -> Answer:
        return _answer(self._client.infer(**_arguments(tritonclient.grpc, call), client_timeout=_TIMEOUT_S), call)

    def close(self) -> None:
        self._client.close()


class _AioFace:
    """A client that lives in an event loop of its own, which turns only while a call is made."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()

    def _run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        return self._runner.run(asyncio.wait_for(coroutine, _TIMEOUT_S))


class HttpAioFace(_AioFace):
    """`tritonclient.http.aio`."""

    def __init__(self, server: Server) -> None:
        super().__init__()

        async def build() -> Any:
            return tritonclient.http.aio.InferenceServerClient(server.http_address)

        self._client = self._run(build())

    def ask(self, method: str, *arguments: Any) -> Any:
        return self._run(getattr(self._client, method)(*arguments))

    def infer(self, call: Call) -> Answer:
        return _answer(self._run(self._client.infer(**_arguments(tritonclient.http, call))), call)

    def close(self) -> None:
        self._run(self._client.close())
        self._runner.close()


class GrpcAioFace(_AioFace):
    """`tritonclient.grpc.aio`."""

    def __init__(self, server: Server) -> None:
        super().__init__()

        async def build() -> Any:
            return tritonclient.grpc.aio.InferenceServerClient(server.grpc_address)

        self._client = self._run(build())

    def ask(self, method: str, *arguments: Any) -> Any:
        return _plain(self._run(getattr(self._client, method)(*arguments)))

    def infer(self, call: Call) -> Answer:
        return _answer(self._run(self._client.infer(**_arguments(tritonclient.grpc, call))), call)

    def close(self) -> None:
        self._run(self._client.close())
        self._runner.close()


FACES: Final[dict[str, type[HttpFace] | type[GrpcFace] | type[HttpAioFace] | type[GrpcAioFace]]] = {
    "http": HttpFace,
    "grpc": GrpcFace,
    "http-aio": HttpAioFace,
    "grpc-aio": GrpcAioFace,
}


# ---- forms -------------------------------------------------------------------------------------------------------------


def _arguments(module: Any, call: Call) -> dict[str, Any]:
    over_http = module is tritonclient.http
    inputs = []
    for name, array in call.inputs.items():
        tensor = module.InferInput(name, list(array.shape), call.datatype(name))
        if over_http:
            tensor.set_data_from_numpy(array, binary_data=call.binary)
        else:
            tensor.set_data_from_numpy(array)
        inputs.append(tensor)
    names = call.outputs
    if names is None and over_http and not call.binary:
        raise AssertionError("JSON outputs have to be named")
    if names is None:
        outputs = None
    elif over_http:
        outputs = [module.InferRequestedOutput(name, binary_data=call.binary) for name in names]
    else:
        outputs = [module.InferRequestedOutput(name) for name in names]
    return {
        "model_name": call.model,
        "inputs": inputs,
        "model_version": call.version,
        "outputs": outputs,
        "request_id": call.request_id,
    }


def _answer(result: Any, call: Call) -> Answer:
    response = result.get_response()
    if not isinstance(response, dict):
        response = {
            "id": response.id,
            "model_name": response.model_name,
            "model_version": response.model_version,
            "outputs": [{"name": output.name} for output in response.outputs],
        }
    names = [output["name"] for output in response["outputs"]]
    return Answer(
        {name: result.as_numpy(name) for name in names},
        response["model_name"],
        response["model_version"],
        response.get("id", ""),
    )


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    return MessageToDict(value, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
