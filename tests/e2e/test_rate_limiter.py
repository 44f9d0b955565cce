"""`--rate-limit=execution_count`: models share what their instances say they need, and take turns."""

import contextlib
import json
import select
import time
from pathlib import Path

import numpy as np

from tests.harness.fixtures import StartServer
from tests.harness.models import add_sub, slow
from tests.harness.observing import statistics, wait_pool_empty
from tests.harness.pace import rounds
from tests.harness.processes import cpu_ticks
from tests.harness.raw_http import Connection, binary_body, infer_post
from tests.harness.repository import one_cpu
from tests.harness.server import Server
from tests.harness.waiting import eventually

LIMITED = "--rate-limit=execution_count"


def needing(count: int, name: str = "R1", more: str = "") -> str:
    resources = f'resources [ {{ name: "{name}" count: {count} }} ]'
    return f"instance_group [ {{ kind: KIND_CPU count: 1 rate_limiter {{ {resources} {more} }} }} ]\n"


def slow_body(model: str, milliseconds: float) -> bytes:
    return infer_post(model, binary_body({"ROUNDS": np.array([[rounds(milliseconds)]], np.int64)}))


def took_ms_together(server: Server, *models: str, milliseconds: float = 250) -> float:
    """How long a request of each model takes, sent at the same time."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection(server)) for _ in models]
        began_s = time.monotonic()
        for connection, model in zip(connections, models, strict=True):
            connection.send(slow_body(model, milliseconds))
        for connection in connections:
            assert connection.response().status == 200
        return (time.monotonic() - began_s) * 1000


def executed_at_once(server: Server, *models: str) -> bool:
    """Whether a request of one model had to wait for the other's execution; by their times in the queue."""
    before = {model: statistics(server, model)["inference_stats"]["queue"]["ns"] for model in models}
    took_ms_together(server, *models)
    eventually(lambda: all(_done(server, model) for model in models), "both are counted")
    waited_ms = [
        (statistics(server, model)["inference_stats"]["queue"]["ns"] - before[model]) / 1e6 for model in models
    ]
    return bool(max(waited_ms) < 100)


def _done(server: Server, model: str) -> bool:
    return bool(statistics(server, model)["inference_stats"]["success"]["count"])


def write(folder: Path, first: str, second: str) -> Path:
    slow().write(folder, "first", max_batch_size=8, extra=first)
    slow().write(folder, "second", max_batch_size=8, extra=second)
    return folder


def test_models_that_need_the_same_resource_run_one_after_the_other(new_server: StartServer, tmp_path: Path) -> None:
    server = new_server(write(tmp_path / "models", needing(1), needing(1)), LIMITED).start()
    assert not executed_at_once(server, "first", "second")
    wait_pool_empty(server)


def test_models_that_need_other_resources_run_at_once(new_server: StartServer, tmp_path: Path) -> None:
    server = new_server(write(tmp_path / "models", needing(1), needing(1, "R2")), LIMITED).start()
    assert executed_at_once(server, "first", "second")


def test_the_operator_says_how_much_there_is(new_server: StartServer, tmp_path: Path) -> None:
    folder = write(tmp_path / "models", needing(1), needing(1))
    server = new_server(folder, LIMITED, "--rate-limit-resource=R1:2").start()
    assert executed_at_once(server, "first", "second")


def test_limits_are_ignored_unless_the_operator_wants_them(new_server: StartServer, tmp_path: Path) -> None:
    folder = write(tmp_path / "models", needing(1), needing(1))
    server = new_server(folder, "--rate-limit-resource=R1:0").start()
    assert executed_at_once(server, "first", "second")


def test_a_model_whose_instances_could_never_run_does_not_load(new_server: StartServer, tmp_path: Path) -> None:
    folder = write(tmp_path / "models", needing(4), needing(1))
    flags = (LIMITED, "--rate-limit-resource=R1:3", "--exit-on-error=false", "--strict-readiness=false")
    server = new_server(folder, *flags).start()
    assert (
        "| first  | 1       | UNAVAILABLE: Invalid argument: "
        'Resource count for "R1" is limited to 3 which will prevent scheduling of one or more model instances, the minimum '
        "required count is 4"
    ) in server.log()
    assert took_ms_together(server, "second", milliseconds=1) > 0


def test_turns_go_by_executions_times_priority(new_server: StartServer, tmp_path: Path) -> None:
    """While both wait all the time, priority 2 gets half of the other's turns."""
    folder = write(tmp_path / "models", needing(1, more="priority: 1"), needing(1, more="priority: 2"))
    file = tmp_path / "traces"
    tracing = [f"--trace-config={each}" for each in ("level=TIMESTAMPS", "rate=1", f"triton,file={file}")]
    server = new_server(folder, LIMITED, *tracing).start()
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection(server)) for _ in range(61)]
        # Everything is sent while this one runs.
        connections[0].send(slow_body("first", 1500))
        for number, connection in enumerate(connections[1:]):
            connection.send(slow_body(("first", "second")[number % 2], 1))
        for connection in connections:
            assert connection.response().status == 200
    assert server.stop() == 0
    ran = executions(file)[1:]
    assert len(ran) == 60
    assert 9 <= ran[:30].count("second") <= 11


def executions(file: Path) -> list[str]:
    """The models that ran, in the order in which they began, from the traces of a server that has stopped."""
    models: dict[int, str] = {}
    began: list[tuple[int, int]] = []
    for piece in json.loads(file.read_text()):
        if "model_name" in piece:
            models[piece["id"]] = piece["model_name"]
        began += [(each["ns"], piece["id"]) for each in piece.get("timestamps", ()) if each["name"] == "COMPUTE_START"]
    return [models[number] for _, number in sorted(began)]


def test_an_instance_that_is_killed_gives_back_what_it_held(new_server: StartServer, tmp_path: Path) -> None:
    server = new_server(write(tmp_path / "models", needing(1), needing(1)), LIMITED).start()
    with Connection(server) as dying, Connection(server) as waiting:
        victim = server.worker_of("first")
        ticks = cpu_ticks(victim.pid)
        dying.send(slow_body("first", 5000))
        eventually(lambda: cpu_ticks(victim.pid) > ticks + 3, "the instance computes")
        waiting.send(slow_body("second", 1))
        server.kill(victim)
        assert dying.response().status == 503
        assert waiting.response().status == 200
    wait_pool_empty(server)


def test_a_model_without_limits_runs_as_ever_beside_limited_ones(new_server: StartServer, tmp_path: Path) -> None:
    folder = write(tmp_path / "models", needing(1), needing(1))
    add_sub().write(folder, "simple", max_batch_size=8, extra=one_cpu(2))
    server = new_server(folder, LIMITED).start()
    inputs = {name: np.full((1, 16), 3, np.int32) for name in ("INPUT0", "INPUT1")}
    with Connection(server) as busy, Connection(server) as other:
        busy.send(slow_body("first", 3000))
        for _ in range(20):
            assert other.call(infer_post("simple", binary_body(inputs))).status == 200
        assert not select.select([busy], [], [], 0)[0], "the limited one is answered already"
        assert busy.response().status == 200
