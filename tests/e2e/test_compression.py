"""Compressed infer calls: what comes in as gzip or deflate, what goes out by Accept-Encoding, and how large it may be."""

import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import tritonclient.http as client

from tests.harness.fixtures import StartServer
from tests.harness.models import identity
from tests.harness.observing import wait_pool_empty
from tests.harness.raw_http import HEADER_LENGTH, Body, Connection, Response, binary_body, infer_post
from tests.harness.repository import one_cpu
from tests.harness.server import Server

_VALUES: Final = np.arange(100_000, dtype=np.float32)
_UNPACK: Final[dict[str, Callable[[bytes], bytes]]] = {"gzip": gzip.decompress, "deflate": zlib.decompress}


def call(server: Server, body: Body, model: str = "echo", **headers: str) -> Response:
    with Connection(server) as connection:
        return connection.call(infer_post(model, body, **headers))


def packed(body: Body, data: bytes) -> Body:
    return Body(data, body.header_length)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("count", [2, 100_000])
def test_both_directions_may_be_compressed(server: Server, coding: str, count: int) -> None:
    tensor = client.InferInput("INPUT0", [count], "FP32")
    tensor.set_data_from_numpy(_VALUES[:count])
    with client.InferenceServerClient(server.http_address) as face:
        result = face.infer(
            "echo",
            [tensor],
            request_compression_algorithm=coding,
            response_compression_algorithm=coding,
        )
        assert (result.as_numpy("OUTPUT0") == _VALUES[:count]).all()
    wait_pool_empty(server)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_response_says_how_it_is_compressed(server: Server, coding: str) -> None:
    answer = call(server, binary_body({"INPUT0": _VALUES}), Accept_Encoding=f"br, {coding};q=0.5")
    assert (answer.status, answer.headers["content-encoding"]) == (200, coding)
    content = _UNPACK[coding](answer.body)
    head_bytes = int(answer.headers[HEADER_LENGTH.lower()])
    assert json.loads(content[:head_bytes])["outputs"][0]["shape"] == [100_000]
    assert content[head_bytes:] == _VALUES.tobytes()


def test_errors_are_not_compressed(server: Server) -> None:
    for body in (Body(b"{}"), Body(b"{")):
        answer = call(server, body, Accept_Encoding="gzip")
        assert (answer.status, "content-encoding" in answer.headers) == (500, False)


def test_an_unknown_coding_is_refused_and_the_known_ones_are_named(server: Server) -> None:
    answer = call(server, Body(b"x"), Content_Encoding="br")
    assert (answer.status, answer.error) == (501, "Unsupported compression type")
    assert answer.headers["accept-encoding"] == "gzip, deflate"
    assert answer.headers["content-type"] == "text/plain"


@pytest.mark.parametrize("size", [20, 20_000])
def test_broken_compression_is_refused_and_the_connection_goes_on(server: Server, size: int) -> None:
    good = binary_body({"INPUT0": _VALUES})
    broken = gzip.compress(good.data)[: 20 + size]
    with Connection(server) as connection:
        for data in (b"", bytes(size), broken):
            answer = connection.call(infer_post("echo", packed(good, data), Content_Encoding="gzip"))
            assert answer.status == 400, answer
        answer = connection.call(infer_post("echo", packed(good, gzip.compress(good.data)), Content_Encoding="gzip"))
        assert answer.status == 200
    wait_pool_empty(server)


def test_a_client_that_leaves_while_its_answer_is_compressed_leaves_nothing(server: Server) -> None:
    body = binary_body({"INPUT0": np.random.default_rng(1).random(500_000, np.float32)})
    for reset in (False, True) * 3:
        connection = Connection(server)
        connection.send(infer_post("echo", body, Accept_Encoding="gzip"))
        connection.close(reset=reset)
    wait_pool_empty(server)


def test_the_largest_input_is_bounded_but_for_binary_tensors(new_server: StartServer, tmp_path: Path) -> None:
    identity("FP32", [-1]).write(tmp_path / "models", "echo", extra=one_cpu())
    server = new_server(tmp_path / "models", "--http-max-input-size=4096").start()
    large = binary_body({"INPUT0": _VALUES})
    assert call(server, large).status == 200
    entry = {"name": "INPUT0", "datatype": "FP32"}
    too_long = Body(json.dumps({"inputs": [entry | {"shape": [2000], "data": [1] * 2000}]}).encode())
    too_wide = Body(json.dumps({"inputs": [entry | {"shape": [1500], "data": [1] * 1500}]}).replace(" ", "").encode())
    raw = Body(bytes(4100), 0)
    refusals = [
        (call(server, too_long), "request JSON size of "),
        (call(server, too_wide), "JSON input 'INPUT0' has a byte_size (6000 bytes) that exceeds the maximum allowed"),
        (
            call(server, raw),
            "Raw input has a byte_size (4100 bytes) that exceeds the maximum allowed value of 4096 bytes",
        ),
        (
            call(server, packed(large, gzip.compress(large.data)), Content_Encoding="gzip"),
            "Decompressed data size exceeds the maximum allowed value of 4096 bytes.",
        ),
    ]
    for answer, text in refusals:
        assert answer.status == 400
        assert answer.error.startswith(text), answer.error
        assert "Use --http-max-input-size to increase the limit." in answer.error
    wait_pool_empty(server)
