"""Metrics: Triton's families, one truth over all processes, the same events as in the statistics."""

import http.client
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc

from tests.harness.fixtures import StartServer
from tests.harness.models import identity, slow
from tests.harness.observing import settled, statistics
from tests.harness.processes import computing
from tests.harness.raw_http import Connection
from tests.harness.repository import BATCHING, one_cpu
from tests.harness.scrape import Scrape, scrape
from tests.harness.server import HOST, Server, serving
from tests.harness.traffic import echo_call, slow_call
from tests.harness.waiting import eventually

TAGS = 'metric_tags { key: "team" value: "a \\"b\\"" } metric_tags { key: "Area" value: "x" }\n'
COUNTERS = (
    "nv_inference_request_success",
    "nv_inference_request_failure",
    "nv_inference_count",
    "nv_inference_exec_count",
    "nv_inference_request_duration_us",
    "nv_inference_queue_duration_us",
    "nv_inference_compute_input_duration_us",
    "nv_inference_compute_infer_duration_us",
    "nv_inference_compute_output_duration_us",
)
REASONS = ("OTHER", "CANCELED", "REJECTED", "BACKEND")


def write_models(folder: Path) -> Path:
    identity("FP32", [-1]).write(folder, "echo", extra=one_cpu(2) + TAGS)
    identity("FP32", ["b", -1]).write(folder, "twin", max_batch_size=4, extra=one_cpu() + BATCHING)
    slow().write(folder, "slow", max_batch_size=1, extra=one_cpu())
    return folder


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with two frontends, two instances of `echo`, and every distribution."""
    folder = tmp_path_factory.mktemp("metrics")
    server = Server(
        write_models(folder / "models"),
        "--log-verbose=1",
        "--frontends=2",
        "--metrics-port=0",
        "--metrics-interval-ms=50",
        "--metrics-config=summary_latencies=true",
        "--metrics-config=summary_quantiles=0.5:0.05,0.99:0.001",
        "--metrics-config=histogram_latencies=true",
        log=folder / "log",
    )
    with serving(server):
        yield server


def ask(server: Server, method: str, path: str) -> tuple[int, str, bytes]:
    """Status, content type and body of a request to the metrics service."""
    connection = http.client.HTTPConnection(HOST, server.metrics_port, timeout=10)
    try:
        connection.request(method, path, headers={"Connection": "close"})
        response = connection.getresponse()
        return response.status, response.headers["content-type"], response.read()
    finally:
        connection.close()


def test_every_series_of_a_model_is_there_before_its_first_request(new_server: StartServer, tmp_path: Path) -> None:
    server = new_server(write_models(tmp_path / "models"), "--metrics-port=0").start()
    server.wait_ready()
    seen = scrape(server)
    for model in ("echo", "slow", "twin"):
        for family in COUNTERS:
            if family.endswith("failure"):
                assert [seen.value(family, model=model, reason=reason) for reason in REASONS] == [0, 0, 0, 0]
            else:
                assert seen.value(family, model=model) == 0
        assert seen.value("nv_inference_pending_request_count", model=model) == 0
        assert seen.value("nv_model_load_duration_secs", model=model) > 0
    assert not [family for family in seen.types if "summary" in family or "histogram" in family]


def test_explanations_and_labels_are_tritons(measured: Server) -> None:
    status, content_type, body = ask(measured, "GET", "/metrics")
    assert (status, content_type) == (200, "text/plain; charset=utf-8")
    lines = body.decode().splitlines()
    expected = (Path(__file__).parent / "golden" / "metrics.txt").read_text().splitlines()
    assert [line for line in expected if line not in lines] == []
    assert any(
        line.startswith('nv_inference_count{_Area="x",_team="a \\"b\\"",model="echo",version="1"} ') for line in lines
    )


def test_only_get_of_metrics_is_answered(measured: Server) -> None:
    for method in ("POST", "PUT", "DELETE", "HEAD", "PATCH"):
        status, content_type, body = ask(measured, method, "/metrics")
        assert (status, content_type) == (405, "text/plain")
        assert body == (b"" if method == "HEAD" else b'{"error":"Method Not Allowed"}')
    assert ask(measured, "GET", "/metric")[0] == 404
    assert ask(measured, "GET", "/metrics/")[0] == ask(measured, "GET", "/metrics?x=1")[0] == 200


def _ignored(result: object, error: object) -> None:
    """What becomes of a call that is given up."""


def agree(server: Server, model: str) -> Scrape:
    """Metrics that count what the statistics count."""
    stats = statistics(server, model)
    seen = scrape(server)
    inference = stats["inference_stats"]
    assert seen.value("nv_inference_request_success", model=model) == inference["success"]["count"]
    failed = sum(seen.value("nv_inference_request_failure", model=model, reason=reason) for reason in REASONS)
    assert failed == inference["fail"]["count"]
    assert seen.value("nv_inference_count", model=model) == stats["inference_count"]
    assert seen.value("nv_inference_exec_count", model=model) == stats["execution_count"]
    for family, field in (
        ("request", "success"),
        *((each, each) for each in ("queue", "compute_input", "compute_infer", "compute_output")),
    ):
        assert seen.value(f"nv_inference_{family}_duration_us", model=model) == inference[field]["ns"] // 1000
        count = seen.value(f"nv_inference_{family}_summary_us_count", model=model)
        assert count == inference[field]["count"]
    return seen


def test_metrics_and_statistics_count_the_same_requests_over_all_frontends_and_instances(measured: Server) -> None:
    before = statistics(measured, "echo")["inference_stats"]["success"]["count"]

    def traffic(first: int) -> None:
        with Connection(measured) as connection:
            for value in range(first, first + 25):
                assert connection.call(echo_call(value)).status == 200

    clients = [threading.Thread(target=traffic, args=(100 * number,)) for number in range(6)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(60)
    settled(measured, "echo", before + 150)
    seen = agree(measured, "echo")
    assert seen.value("nv_inference_request_summary_us", model="echo", quantile="0.5") > 0
    assert seen.value("nv_inference_first_response_histogram_ms_bucket", model="echo", le="+Inf") == before + 150
    assert seen.value("nv_inference_first_response_histogram_ms_count", model="echo") == before + 150


def test_a_request_whose_client_gave_up_while_it_waited_is_a_cancelled_one(measured: Server) -> None:
    before = scrape(measured).value("nv_inference_request_failure", model="slow", reason="CANCELED")
    client = tritonclient.grpc.InferenceServerClient(measured.grpc_address)
    waits = tritonclient.grpc.InferInput("ROUNDS", [1, 1], "INT64")
    waits.set_data_from_numpy(np.array([[1]], np.int64))
    with Connection(measured) as busy:
        with computing(measured.worker_of("slow")):
            busy.send(slow_call(1500))
        # One of them may stand at the door of the instance already, and runs.
        calls = [client.async_infer("slow", [waits], callback=_ignored) for _ in range(3)]
        eventually(lambda: scrape(measured).value("nv_inference_pending_request_count", model="slow") >= 2, "two wait")
        for call in calls:
            call.cancel()
        eventually(
            lambda: scrape(measured).value("nv_inference_request_failure", model="slow", reason="CANCELED") > before,
            "a request is counted as cancelled",
        )
        assert busy.response().status == 200
    client.close()
    eventually(lambda: scrape(measured).value("nv_inference_pending_request_count", model="slow") == 0, "none waits")
    agree(measured, "slow")


def test_counters_survive_the_death_of_a_worker_and_of_a_frontend(measured: Server) -> None:
    seen = scrape(measured)
    success = seen.value("nv_inference_request_success", model="echo")
    backend = seen.value("nv_inference_request_failure", model="slow", reason="BACKEND")
    with Connection(measured) as connection:
        connection.send(slow_call(30_000))
        eventually(lambda: measured.workers(), "there are workers")
        measured.kill(measured.worker_of("slow"))
        assert connection.response().status == 503
    measured.kill(measured.frontends()[0])
    eventually(lambda: len(measured.frontends()) == 2, "the frontend is back")
    measured.wait_ready()
    seen = agree(measured, "slow")
    assert seen.value("nv_inference_request_failure", model="slow", reason="BACKEND") == backend + 1
    assert seen.value("nv_inference_request_success", model="echo") >= success
    assert seen.value("tis_process_restarts", kind="worker") >= 1
    assert seen.value("tis_process_restarts", kind="frontend") >= 1
    assert seen.value("tis_process_restarts", kind="scheduler") == 0


def test_the_machine_and_the_pool_are_told(measured: Server) -> None:
    eventually(lambda: scrape(measured).value("nv_cpu_utilization") > 0, "the processor has been busy")
    seen = scrape(measured)
    assert 0 <= seen.value("nv_cpu_utilization") <= 1
    assert 0 < seen.value("nv_cpu_memory_used_bytes") < seen.value("nv_cpu_memory_total_bytes")
    granted = [value for (name, _), value in seen.samples.items() if name == "tis_pool_granted_bytes"]
    assert len(granted) == 2 + 4
    assert 0 < sum(granted) <= seen.value("tis_pool_bytes")


def test_metrics_can_leave_out_what_the_operator_does_not_want(new_server: StartServer, tmp_path: Path) -> None:
    server = new_server(
        write_models(tmp_path / "models"),
        "--metrics-port=0",
        "--allow-cpu-metrics=false",
        "--allow-gpu-metrics=off",
        "--metrics-config=counter_latencies=false",
    ).start()
    server.wait_ready()
    with Connection(server) as connection:
        assert connection.call(echo_call(1)).status == 200
    settled(server, "echo", 1)
    seen = scrape(server)
    assert seen.value("nv_inference_request_success", model="echo") == 1
    assert not [family for family in seen.types if "duration_us" in family or "_cpu_" in family or "_gpu_" in family]


def test_a_metrics_port_that_is_taken_ends_the_start(new_server: StartServer, measured: Server, tmp_path: Path) -> None:
    second = new_server(write_models(tmp_path / "models"), f"--metrics-port={measured.metrics_port}").launch()
    assert second.wait_ended() == 1
    assert f"Socket '0.0.0.0:{measured.metrics_port}' of the Metrics service cannot be used" in second.log()


def test_statistics_keep_their_shape(measured: Server) -> None:
    status, body = measured.get("/v2/models/twin/stats")
    assert status == 200
    [stats] = json.loads(body)["model_stats"]
    assert stats["response_stats"] == {}


def test_a_scraper_that_keeps_its_connection_does_not_hold_up_the_stop(new_server: StartServer, tmp_path: Path) -> None:
    server = new_server(write_models(tmp_path / "models"), "--metrics-port=0").start()
    server.wait_ready()
    connection = http.client.HTTPConnection(HOST, server.metrics_port, timeout=10)
    connection.request("GET", "/metrics")
    assert connection.getresponse().read()
    server.signal(signal.SIGTERM)
    assert server.wait_ended(5.0) == 0
    connection.close()


def test_metrics_are_told_again_after_the_scheduler_died(new_server: StartServer, tmp_path: Path) -> None:
    server = new_server(write_models(tmp_path / "models"), "--metrics-port=0").start()
    server.wait_ready()
    server.kill(server.scheduler())
    server.wait_ready()
    seen = scrape(server)
    assert seen.value("nv_inference_request_success", model="echo") == 0
    assert seen.value("tis_process_restarts", kind="scheduler") == 1
