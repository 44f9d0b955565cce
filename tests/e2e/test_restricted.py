"""Parts of the interface that ask for a header: closed without it, open with it, and the rest is free."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from tests.harness.models import identity
from tests.harness.raw_http import Connection, Response, binary_body, infer_post
from tests.harness.repository import one_cpu
from tests.harness.server import Server, serving

HTTP_TEXT = "This API is restricted, expecting header 'Door'"
GRPC_TEXT = "This protocol is restricted, expecting header 'triton-grpc-protocol-Door'"
BODY = binary_body({"INPUT0": np.ones((1, 4), np.float32)})


@pytest.fixture(scope="module")
def restricted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("restricted")
    identity("FP32", ["b", 4]).write(folder / "models", "m", max_batch_size=4, extra=one_cpu())
    server = Server(
        folder / "models",
        "--http-restricted-api=inference,statistics:Door=open",
        "--http-restricted-api=logging:Other=yes",
        "--grpc-restricted-protocol=inference,statistics,health:Door=open",
        log=folder / "log",
    )
    with serving(server):
        yield server


def call(server: Server, data: bytes) -> Response:
    with Connection(server) as connection:
        return connection.call(data)


def get(server: Server, path: str, *headers: str, method: str = "GET") -> Response:
    return call(server, "\r\n".join([f"{method} {path} HTTP/1.1", "Host: t", *headers, "", ""]).encode())


def test_inference_over_http_is_closed_without_the_header(restricted: Server) -> None:
    for headers in ({}, {"Door": "shut"}, {"Door": ""}, {"Other": "yes"}):
        answer = call(restricted, infer_post("m", BODY, **headers))
        assert (answer.status, answer.error, answer.headers["content-type"]) == (403, HTTP_TEXT, "text/plain")


def test_inference_over_http_is_open_with_the_header(restricted: Server) -> None:
    for name in ("Door", "door"):
        assert call(restricted, infer_post("m", BODY, **{name: "open"})).status == 200


def test_a_connection_goes_on_after_a_refusal(restricted: Server) -> None:
    with Connection(restricted) as connection:
        connection.send(infer_post("m", BODY) + infer_post("m", BODY, Door="open") + infer_post("m", BODY))
        assert [connection.response().status for _ in range(3)] == [403, 200, 403]


def test_the_restriction_comes_before_the_verb_and_before_the_model(restricted: Server) -> None:
    for path, method in [
        ("/v2/models/m/infer", "GET"),
        ("/v2/models/nobody/stats", "GET"),
        ("/v2/models/stats", "PUT"),
    ]:
        assert get(restricted, path, method=method).status == 403
    assert get(restricted, "/v2/models/m/infer", "Door: open").status == 405
    assert get(restricted, "/v2/models/nobody/stats", "Door: open").status == 400


def test_each_group_has_its_own_header(restricted: Server) -> None:
    assert get(restricted, "/v2/logging", "Door: open").status == 403
    assert get(restricted, "/v2/logging", "Other: yes").status == 200


def test_what_is_not_named_is_free(restricted: Server) -> None:
    for path in ("/v2", "/v2/health/ready", "/v2/models/m", "/v2/models/m/ready", "/v2/models/m/config"):
        assert get(restricted, path).status == 200


def test_grpc_calls_are_closed_without_the_metadata_and_open_with_it(restricted: Server) -> None:
    client = tritonclient.grpc.InferenceServerClient(restricted.grpc_address)
    tensor = tritonclient.grpc.InferInput("INPUT0", [1, 4], "FP32")
    tensor.set_data_from_numpy(np.ones((1, 4), np.float32))
    calls: list[tuple[Any, tuple[Any, ...]]] = [
        (client.infer, ("m", [tensor])),
        (client.get_inference_statistics, ()),
        (client.is_server_live, ()),
        (client.is_model_ready, ("m",)),
    ]
    for method, arguments in calls:
        for headers in ({}, {"triton-grpc-protocol-door": "shut"}, {"door": "open"}):
            with pytest.raises(InferenceServerException) as raised:
                method(*arguments, headers=headers)
            assert (raised.value.status(), raised.value.message()) == ("StatusCode.UNAVAILABLE", GRPC_TEXT)
        assert method(*arguments, headers={"triton-grpc-protocol-door": "open"})
    assert client.get_server_metadata().name == "triton"
    client.close()


def test_a_stream_is_closed_without_the_metadata(restricted: Server) -> None:
    with grpc.insecure_channel(restricted.grpc_address) as channel:
        stream = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        with pytest.raises(grpc.RpcError) as raised:
            list(stream(iter(()), timeout=20))
    assert raised.value.details() == GRPC_TEXT
