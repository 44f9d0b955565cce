"""generate and generate_stream: a flat JSON object in, a flat JSON object or server-sent events out."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.fixtures import StartServer
from tests.harness.models import identity, slow
from tests.harness.observing import statistics, wait_pool_empty
from tests.harness.pace import rounds
from tests.harness.raw_http import Connection, post
from tests.harness.repository import one_cpu
from tests.harness.server import HOST, Server, serving
from tests.harness.waiting import eventually


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("generate")
    models = folder / "models"
    identity("BYTES", [-1]).write(models, "text", extra=one_cpu())
    identity("FP32", ["b", 4]).write(models, "four", max_batch_size=4, extra=one_cpu())
    slow().write(models, "slow", extra=one_cpu(), max_batch_size=1)
    server = Server(models, "--log-verbose=1", log=folder / "log")
    with serving(server):
        yield server


def generate(
    server: Server, model: str, body: Any, call: str = "generate", method: str = "POST", **headers: str
) -> tuple[int, str, str]:
    connection = http.client.HTTPConnection(HOST, server.http_port, timeout=20)
    try:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, f"/v2/models/{model}/{call}", data, names)
        response = connection.getresponse()
        return response.status, response.headers["content-type"], response.read().decode()
    finally:
        connection.close()


def test_outputs_stand_beside_the_models_name_in_the_order_of_their_names(own: Server) -> None:
    expected = '{"OUTPUT0":"hello","id":"x","model_name":"text","model_version":"1"}'
    assert generate(own, "text", {"INPUT0": "hello", "id": "x"}) == (200, "application/json", expected)
    assert generate(own, "text/versions/1", {"INPUT0": "hello", "id": "x"})[2] == expected


def test_one_element_is_a_scalar_and_more_are_a_flat_array(own: Server) -> None:
    for given, text in (("a", '"a"'), (["a"], '"a"'), (["a", "b"], '["a","b"]'), ([], "[]")):
        answer = generate(own, "text", {"INPUT0": given})[2]
        assert answer == f'{{"OUTPUT0":{text},"model_name":"text","model_version":"1"}}'
    assert '"OUTPUT0":[1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0]' in generate(own, "four", {"INPUT0": list(range(1, 9))})[2]


def test_a_stream_is_server_sent_events(own: Server) -> None:
    expected = 'data: {"OUTPUT0":"a","model_name":"text","model_version":"1"}\n\n'
    answer = generate(own, "text", {"parameters": {"INPUT0": "a"}}, "generate_stream")
    assert answer == (200, "text/event-stream; charset=utf-8", expected)


@pytest.mark.parametrize("call", ["generate", "generate_stream"])
def test_what_is_refused_before_it_runs_has_its_usual_status(own: Server, call: str) -> None:
    refusals = [
        ("nope", {}, 404, "Request for unknown model: 'nope' is not found"),
        ("text", b"", 500, "failed to parse the request JSON buffer: The document is empty. at 0"),
        ("text", {"INPUT0": "a", "x": None}, 400, "parameter 'x' has invalid type. It should be either"),
        ("text", {}, 400, "[request id: <id_unknown>] expected 1 inputs but got 0 inputs for model 'text'."),
        ("four", {"INPUT0": [1]}, 400, "The schema can not convert input 'INPUT0' to tensor with proper shape"),
    ]
    for model, body, status, text in refusals:
        found = generate(own, model, body, call)
        assert found[:2] == (status, "application/json")
        assert json.loads(found[2])["error"].startswith(text)
    assert generate(own, "text", b"", call, "GET") == (405, "application/json", '{"error":"Method Not Allowed"}')
    assert generate(own, "text", b"", call, Content_Encoding="gzip") == (
        400,
        "application/json",
        '{"error":"Unsupported content-encoding, only \'identity\' is supported."}',
    )
    wait_pool_empty(own)


@pytest.mark.parametrize("call", ["generate", "generate_stream"])
def test_a_request_whose_client_has_gone_is_not_run(own: Server, call: str) -> None:
    before = statistics(own, "slow")["inference_stats"]["success"]["count"]
    path = f"/v2/models/slow/{call}"

    def request(duration_ms: float) -> bytes:
        body = json.dumps({"ROUNDS": rounds(duration_ms)}).encode()
        return post(path, {"Content-Length": str(len(body))}, body)

    with Connection(own) as running:
        running.send(request(500))
        waiting = [Connection(own) for _ in range(4)]
        for connection in waiting:
            connection.send(request(1))
        for connection in waiting:
            connection.close()
        assert running.receive_some().startswith(b"HTTP/1.1 200")
    wait_pool_empty(own)

    def counted() -> bool:
        return bool(statistics(own, "slow")["inference_stats"]["success"]["count"] == before + 1)

    eventually(counted, "only the request whose client stayed has run")


def test_a_body_beyond_the_limit_is_refused(new_server: StartServer, tmp_path: Path) -> None:
    identity("BYTES", [-1]).write(tmp_path / "models", "text", extra=one_cpu())
    server = new_server(tmp_path / "models", "--http-max-input-size=1000").start()
    status, _, body = generate(server, "text", {"INPUT0": "a" * 1000})
    assert status == 400
    assert "exceeds the maximum allowed input size of 1000 bytes" in body
