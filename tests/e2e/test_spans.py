"""Traces as spans of OpenTelemetry, taken by a collector, in the form in which Triton 2.51 sends them."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http

from tests.harness.collector import Collector, attributes
from tests.harness.fixtures import StartServer
from tests.harness.models import identity
from tests.harness.raw_http import Connection, post
from tests.harness.repository import one_cpu
from tests.harness.server import Server
from tests.harness.waiting import eventually

_CLIENTS: Final = {"http": tritonclient.http, "grpc": tritonclient.grpc}
_FACE_EVENTS: Final = {
    "http": ["HTTP_RECV_START", "HTTP_RECV_END", "INFER_RESPONSE_COMPLETE", "HTTP_SEND_START", "HTTP_SEND_END"],
    "grpc": ["GRPC_WAITREAD_START", "GRPC_WAITREAD_END", "INFER_RESPONSE_COMPLETE", "GRPC_SEND_START", "GRPC_SEND_END"],
}
_TRACE_ID: Final = "0af7651916cd43dd8448eb211c80319c"
_SPAN_ID: Final = "b7ad6b7169203331"
#: A client's own span, which it does not record itself: Triton exports what belongs to it all the same.
_CONTEXT: Final = {"traceparent": f"00-{_TRACE_ID}-{_SPAN_ID}-00", "tracestate": "k=v"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture
def models(tmp_path: Path) -> Path:
    identity("FP32", [-1]).write(tmp_path / "models", "echo", extra=one_cpu())
    return tmp_path / "models"


def started(new_server: StartServer, models: Path, url: str, *settings: str) -> Server:
    common = (
        "mode=opentelemetry",
        "level=TIMESTAMPS",
        f"opentelemetry,url={url}",
        "opentelemetry,bsp_schedule_delay=50",
    )
    server = new_server(models, *(f"--trace-config={setting}" for setting in (*common, *settings))).start()
    server.wait_ready()
    return server


def infer(server: Server, face: str, request_id: str, headers: dict[str, str] | None = None) -> None:
    library = _CLIENTS[face]
    client = library.InferenceServerClient(server.http_address if face == "http" else server.grpc_address)
    tensor = library.InferInput("INPUT0", [2], "FP32")
    tensor.set_data_from_numpy(np.zeros(2, np.float32))
    # The client adds headers of its own to what it gets.
    client.infer("echo", [tensor], request_id=request_id, headers=dict(headers or {}))
    client.close()


def named(collector: Collector, name: str) -> list[Any]:
    return [span for span in collector.spans() if span.name == name]


def traced_ids(collector: Collector) -> list[str]:
    return [attributes(span)["triton.request_id"] for span in named(collector, "echo")]


@pytest.mark.parametrize("face", ["http", "grpc"])
def test_a_request_is_three_spans_of_tritons_names_and_events(
    new_server: StartServer, models: Path, collector: Collector, face: str
) -> None:
    server = started(new_server, models, collector.url, "rate=1", "opentelemetry,resource=deployment=here=now")
    infer(server, face, "one")
    eventually(lambda: len(collector.spans()) == 3, "the spans have come")
    (compute,), (model,), (root,) = (named(collector, name) for name in ("compute", "echo", "InferRequest"))
    assert [event.name for event in root.events] == _FACE_EVENTS[face]
    assert [event.name for event in model.events] == ["REQUEST_START", "QUEUE_START", "REQUEST_END"]
    assert [event.name for event in compute.events] == [
        *("COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END")
    ]
    assert (root.parent_span_id, model.parent_span_id, compute.parent_span_id) == (b"", root.span_id, model.span_id)
    assert len({span.trace_id for span in (root, model, compute)}) == 1
    assert {span.kind for span in (root, model, compute)} == {2}
    assert attributes(model) == {
        "triton.model_name": "echo",
        "triton.model_version": 1,
        "triton.trace_id": 1,
        "triton.trace_parent_id": 0,
        "triton.request_id": "one",
    }
    assert not root.attributes
    assert not compute.attributes
    assert root.start_time_unix_nano <= model.start_time_unix_nano <= compute.start_time_unix_nano
    assert compute.end_time_unix_nano <= model.end_time_unix_nano <= root.end_time_unix_nano
    assert collector.resource().items() >= {"service.name": "triton-inference-server", "deployment": "here=now"}.items()
    assert collector.requests[0].resource_spans[0].scope_spans[0].scope.name == "triton-server"
    assert server.stop() == 0


@pytest.mark.parametrize("face", ["http", "grpc"])
def test_a_request_of_a_clients_trace_is_traced_as_part_of_it_whatever_the_rate(
    new_server: StartServer, models: Path, collector: Collector, face: str
) -> None:
    server = started(new_server, models, collector.url, "rate=0")
    infer(server, face, "alone")
    infer(server, face, "garbled", {"traceparent": "00-garbled"})
    infer(server, face, "joined", _CONTEXT)
    eventually(lambda: len(collector.spans()) == 3, "the spans have come")
    (root,) = named(collector, "InferRequest")
    assert root.parent_span_id.hex() == _SPAN_ID
    assert {(span.trace_id.hex(), span.trace_state) for span in collector.spans()} == {(_TRACE_ID, "k=v")}
    assert server.stop() == 0
    assert traced_ids(collector) == ["joined"]


def test_generate_belongs_to_a_clients_trace_as_well(
    new_server: StartServer, models: Path, collector: Collector
) -> None:
    server = started(new_server, models, collector.url, "rate=0")
    body = b'{"id":"generated","INPUT0":[1.0]}'
    headers = {"Content-Length": str(len(body)), **_CONTEXT}
    with Connection(server) as connection:
        assert connection.call(post("/v2/models/echo/generate", headers, body)).status == 200
    eventually(lambda: traced_ids(collector) == ["generated"], "the spans have come")
    assert server.stop() == 0


def test_a_count_ends_the_spans_and_shows_what_is_left(
    new_server: StartServer, models: Path, collector: Collector
) -> None:
    server = started(new_server, models, collector.url, "rate=1", "count=3")
    for name in "abcde":
        infer(server, "http", name)
    eventually(lambda: settings(server)["trace_count"] == "0", "the count is used up")
    infer(server, "http", "joined", _CONTEXT)
    assert server.stop() == 0
    assert traced_ids(collector) == ["a", "b", "c", "joined"]


def test_the_settings_of_this_mode_are_shown_and_those_of_files_are_not(
    new_server: StartServer, models: Path, collector: Collector
) -> None:
    server = started(new_server, models, collector.url, "opentelemetry,resource=a=b", "triton,file=/nowhere/t")
    shown = {
        "trace_level": ["TIMESTAMPS"],
        "trace_rate": "1000",
        "trace_count": "-1",
        "trace_mode": "opentelemetry",
        "url": collector.url,
        "bsp_schedule_delay": "50",
        "resource": "a=b",
        "bsp_max_queue_size": "2048",
        "bsp_max_export_batch_size": "512",
    }
    assert settings(server) == shown
    client = tritonclient.grpc.InferenceServerClient(server.grpc_address)
    over_grpc = client.update_trace_settings("echo", {"log_frequency": "3", "trace_rate": "7"}, as_json=True)[
        "settings"
    ]
    client.close()
    assert {name: value["value"] for name, value in over_grpc.items()} == {
        name: value if isinstance(value, list) else [value] for name, value in (shown | {"trace_rate": "7"}).items()
    }
    assert server.stop() == 0


def test_spans_that_wait_at_the_end_still_leave(new_server: StartServer, models: Path, collector: Collector) -> None:
    server = started(new_server, models, collector.url, "rate=1", "opentelemetry,bsp_schedule_delay=600000")
    infer(server, "http", "last")
    assert server.stop() == 0
    assert traced_ids(collector) == ["last"]


def test_a_collector_that_does_not_answer_harms_no_request_and_no_end(new_server: StartServer, models: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces"
        server = started(new_server, models, url, "rate=1", "opentelemetry,bsp_max_queue_size=512")
        for number in range(300):
            infer(server, "http", str(number))
        assert server.stop() == 0


def settings(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(server.get("/v2/trace/setting")[1])
    return found
