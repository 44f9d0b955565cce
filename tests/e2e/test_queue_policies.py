"""Priorities, bounds and timeouts of queues on a real server, over HTTP and gRPC, while the only instance is busy."""

import concurrent.futures
import contextlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from tests.harness.models import slow
from tests.harness.observing import settled, statistics, wait_pool_empty
from tests.harness.pace import rounds
from tests.harness.processes import cpu_ticks
from tests.harness.repository import one_cpu
from tests.harness.scrape import scrape
from tests.harness.server import Server, serving
from tests.harness.waiting import eventually

_DEADLINE_S = 60.0
_POLICIES = {
    "rejecting": """dynamic_batching { default_queue_policy {
        timeout_action: REJECT default_timeout_microseconds: 30000000 allow_timeout_override: true max_queue_size: 2 } }""",
    "delaying": """dynamic_batching { default_queue_policy {
        timeout_action: DELAY default_timeout_microseconds: 30000000 allow_timeout_override: true } }""",
    "levels": "dynamic_batching { priority_levels: 3 default_priority_level: 2 }",
    "covering": 'parameters [ { key: "tis.timeout_covers_execution" value { string_value: "true" } } ]',
    "goal": """dynamic_batching { }
        parameters [ { key: "tis.latency_goal_us" value { string_value: "200000" } } ]""",
}
_UNAVAILABLE = {"http": "503", "grpc": "StatusCode.UNAVAILABLE"}


@pytest.fixture(scope="module")
def queues(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a slow model for each policy."""
    folder = tmp_path_factory.mktemp("queues")
    for name, policy in _POLICIES.items():
        most = 8 if name == "goal" else 1
        slow().write(folder / "models", name, max_batch_size=most, extra=one_cpu() + policy)
    server = Server(folder / "models", "--log-verbose=1", "--metrics-port=0", log=folder / "log")
    with serving(server):
        yield server


class Client:
    """Asks a model over one protocol, each request in a thread of its own."""

    def __init__(self, server: Server, kind: str, model: str) -> None:
        self.server, self.kind, self.model = server, kind, model
        #: Requests in the order in which they were answered.
        self.answered: list[str] = []
        self._pool = concurrent.futures.ThreadPoolExecutor(16)

    def ask(self, request_id: str, milliseconds: float, **wishes: Any) -> "concurrent.futures.Future[float]":
        """A request; gives how long it took in seconds. `wishes` are `priority` and `timeout` in microseconds."""
        return self._pool.submit(self._ask, request_id, milliseconds, wishes)

    def _ask(self, request_id: str, milliseconds: float, wishes: dict[str, Any]) -> float:
        module: Any = tritonclient.http if self.kind == "http" else tritonclient.grpc
        if self.kind == "http":
            client = module.InferenceServerClient(self.server.http_address, network_timeout=_DEADLINE_S)
        else:
            client = module.InferenceServerClient(self.server.grpc_address)
        with contextlib.closing(client):
            tensor = module.InferInput("ROUNDS", [1, 1], "INT64")
            tensor.set_data_from_numpy(np.array([[rounds(milliseconds)]]))
            began_s = time.monotonic()
            try:
                client.infer(self.model, [tensor], request_id=request_id, **wishes)
            finally:
                took_s = time.monotonic() - began_s
                self.answered.append(request_id)
            return took_s

    def pending(self) -> int:
        return int(scrape(self.server).value("nv_inference_pending_request_count", model=self.model))

    def waits(self, count: int) -> None:
        """Until so many requests wait."""
        eventually(lambda: self.pending() == count, f"{count} requests wait")

    @contextlib.contextmanager
    def busy(self, milliseconds: float) -> Iterator[None]:
        """While the instance runs a request that takes so long, which is answered at the end."""
        before = {worker.pid: cpu_ticks(worker.pid) for worker in self.server.workers()}
        first = self.ask("busy", milliseconds)
        # More ticks than heartbeats explain.
        eventually(lambda: any(cpu_ticks(pid) > ticks + 3 for pid, ticks in before.items()), "an instance computes")
        self.waits(0)
        yield
        first.result(_DEADLINE_S)

    def refusal(self, asked: "concurrent.futures.Future[float]") -> str:
        """The text of the error that a request ends in."""
        with pytest.raises(InferenceServerException) as caught:
            asked.result(_DEADLINE_S)
        assert caught.value.status() == _UNAVAILABLE[self.kind]
        return str(caught.value.message())

    def counts(self) -> tuple[int, int, float]:
        """Successes and failures, and the failures for the reason REJECTED."""
        stats = statistics(self.server, self.model)["inference_stats"]
        rejected = scrape(self.server).value("nv_inference_request_failure", model=self.model, reason="REJECTED")
        return stats["success"]["count"], stats["fail"]["count"], rejected


@pytest.fixture(params=["http", "grpc"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_a_request_is_rejected_on_time_while_the_instance_is_busy(queues: Server, kind: str) -> None:
    client = Client(queues, kind, "rejecting")
    successes, fails, rejected = client.counts()
    with client.busy(2500):
        began_s = time.monotonic()
        assert client.refusal(client.ask("late", 1, timeout=200_000)) == "Request timeout expired"
        assert 0.2 <= time.monotonic() - began_s < 1.5
        assert client.answered == ["late"], "the instance is busy still"
    settled(queues, "rejecting", successes + 1)
    assert client.counts() == (successes + 1, fails + 1, rejected + 1)


def test_a_request_that_finds_the_queue_full_is_refused_at_once_and_counted_nowhere(queues: Server, kind: str) -> None:
    client = Client(queues, kind, "rejecting")
    successes, fails, rejected = client.counts()
    with client.busy(2000):
        waiting = [client.ask("one", 1), client.ask("two", 1)]
        client.waits(2)
        text = client.refusal(client.ask("three", 1))
        assert text == "[request id: three] Exceeds maximum queue size"
        assert client.answered == ["three"]
    for each in waiting:
        each.result(_DEADLINE_S)
    settled(queues, "rejecting", successes + 3)
    assert client.counts() == (successes + 3, fails, rejected)


def test_requests_of_a_higher_priority_overtake(queues: Server, kind: str) -> None:
    client = Client(queues, kind, "levels")
    with client.busy(2000):
        asked = []
        for number, (name, priority) in enumerate([("low", 3), ("default", 0), ("high", 1), ("unknown", 9)]):
            asked.append(client.ask(name, 150, priority=priority))
            client.waits(number + 1)
    for each in asked:
        each.result(_DEADLINE_S)
    assert client.answered == ["busy", "high", "default", "unknown", "low"]


def test_a_request_that_is_delayed_runs_behind_those_whose_time_is_not_over(queues: Server, kind: str) -> None:
    client = Client(queues, kind, "delaying")
    successes, fails, rejected = client.counts()
    with client.busy(4000):
        delayed = client.ask("delayed", 150, timeout=100_000)
        client.waits(1)
        fresh = client.ask("fresh", 600)
        client.waits(2)
    delayed.result(_DEADLINE_S)
    fresh.result(_DEADLINE_S)
    assert client.answered == ["busy", "fresh", "delayed"]
    settled(queues, "delaying", successes + 3)
    assert client.counts() == (successes + 3, fails, rejected)


def test_a_timeout_that_covers_execution_is_told_while_the_request_runs(queues: Server, kind: str) -> None:
    client = Client(queues, kind, "covering")
    successes, fails, rejected = client.counts()
    began_s = time.monotonic()
    running = client.ask("running", 2500, timeout=300_000)
    assert client.refusal(running) == "Request timeout expired"
    assert 0.3 <= time.monotonic() - began_s < 2.0
    client.ask("next", 1).result(_DEADLINE_S)
    settled(queues, "covering", successes + 1)
    assert client.counts() == (successes + 1, fails + 1, rejected + 1)
    wait_pool_empty(queues)


def test_with_a_goal_for_latency_every_request_is_answered(queues: Server, kind: str) -> None:
    client = Client(queues, kind, "goal")
    before = statistics(queues, "goal")
    asked = [client.ask(str(number), 3) for number in range(80)]
    assert all(each.result(_DEADLINE_S) > 0 for each in asked)
    after = settled(queues, "goal", before["inference_stats"]["success"]["count"] + 80)
    assert after["inference_count"] - before["inference_count"] == 80
