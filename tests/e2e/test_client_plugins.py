"""Plugins of NVIDIA's clients: what they put into the headers of each request is what the server sees."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.http.auth import BasicAuth
from tritonclient.utils import InferenceServerException

from tests.harness.models import identity
from tests.harness.repository import one_cpu
from tests.harness.server import Server, serving

GRPC_HEADER = "triton-grpc-protocol-door"


@pytest.fixture(scope="module")
def restricted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose inference and metadata ask for a header."""
    folder: Path = tmp_path_factory.mktemp("plugins")
    identity("FP32", ["b", 4]).write(folder / "models", "m", max_batch_size=4, extra=one_cpu())
    server = Server(
        folder / "models",
        "--http-restricted-api=inference,metadata:Door=open",
        "--grpc-restricted-protocol=inference,metadata:door=open",
        log=folder / "log",
    )
    with serving(server):
        yield server


def _http(server: Server) -> Any:
    return tritonclient.http.InferenceServerClient(server.http_address)


def _grpc(server: Server) -> Any:
    return tritonclient.grpc.InferenceServerClient(server.grpc_address)


@pytest.fixture(
    params=[(_http, tritonclient.http, "Door"), (_grpc, tritonclient.grpc, GRPC_HEADER)], ids=["http", "grpc"]
)
def face(request: pytest.FixtureRequest, restricted: Server) -> Iterator[tuple[Any, Any, str]]:
    """A client, its module and the header that opens the server for it."""
    connect: Callable[[Server], Any]
    connect, module, header = request.param
    client = connect(restricted)
    yield client, module, header
    client.close()


def plugin(module: Any, name: str, value: str) -> Any:
    """A plugin that adds a header to every request."""

    class Adder(module.InferenceServerClientPlugin):  # type: ignore[misc]
        def __init__(self) -> None:
            self.calls = 0

        def __call__(self, request: Any) -> None:
            self.calls += 1
            request.headers[name] = value

    return Adder()


def infer(client: Any, module: Any) -> Any:
    array = np.arange(4, dtype=np.float32).reshape(1, 4)
    tensor = module.InferInput("INPUT0", [1, 4], "FP32")
    tensor.set_data_from_numpy(array)
    answer = client.infer("m", [tensor]).as_numpy("OUTPUT0")
    assert np.array_equal(answer, array)


def test_a_plugin_opens_what_asks_for_its_header(face: tuple[Any, Any, str]) -> None:
    client, module, header = face
    with pytest.raises(InferenceServerException, match="restricted"):
        infer(client, module)
    adder = plugin(module, header, "open")
    client.register_plugin(adder)
    assert client.plugin() is adder
    infer(client, module)
    assert client.get_model_metadata("m")
    assert adder.calls == 2


def test_a_plugin_that_has_gone_or_says_the_wrong_word_opens_nothing(face: tuple[Any, Any, str]) -> None:
    client, module, header = face
    client.register_plugin(plugin(module, header, "shut"))
    with pytest.raises(InferenceServerException, match="restricted"):
        infer(client, module)
    client.unregister_plugin()
    client.register_plugin(plugin(module, header, "open"))
    infer(client, module)
    client.unregister_plugin()
    with pytest.raises(InferenceServerException, match="restricted"):
        client.get_model_metadata("m")


def test_basic_auth_passes_a_server_that_asks_for_it(tmp_path: Path) -> None:
    identity("FP32", ["b", 4]).write(tmp_path / "models", "m", max_batch_size=4, extra=one_cpu())
    server = Server(
        tmp_path / "models",
        "--http-restricted-api=inference:authorization=Basic bWU6c2VjcmV0",
        log=tmp_path / "log",
    )
    try:
        server.start().wait_ready()
        client = _http(server)
        client.register_plugin(BasicAuth("me", "secret"))
        infer(client, tritonclient.http)
        client.close()
    finally:
        server.close()
