"""The response cache through NVIDIA's clients: what is answered from it, what is not, and what is told of it."""

import concurrent.futures
import contextlib
import json
import select
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.http

from tests.harness.faces import Call, Face, GrpcFace, HttpFace, refusal
from tests.harness.fixtures import StartServer
from tests.harness.models import add_sub, gather, identity, slow
from tests.harness.observing import statistics, wait_pool_empty
from tests.harness.pace import rounds
from tests.harness.processes import cpu_ticks
from tests.harness.raw_http import Connection, binary_body, infer_post
from tests.harness.region_client import RegionClient
from tests.harness.repository import BATCHING, one_cpu
from tests.harness.scrape import scrape
from tests.harness.server import Server, serving
from tests.harness.shared_memory import SharedObjects, shared_objects
from tests.harness.waiting import eventually

__all__ = ["shared_objects"]

CACHED = "response_cache { enable: true }\n"
MIB = 1 << 20
SUMMARIES = ("--metrics-port=0", "--metrics-config=summary_latencies=true")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with a local cache, for all that do not harm it. Each test has its own data."""
    folder = tmp_path_factory.mktemp("cached")
    models = folder / "models"
    add_sub().write(models, "simple", max_batch_size=8, extra=one_cpu() + BATCHING + CACHED)
    add_sub().write(models, "uncached", max_batch_size=8, extra=one_cpu() + BATCHING)
    identity("FP32", [-1, -1]).write(models, "shapes", extra=one_cpu() + CACHED)
    identity("BYTES", [-1]).write(models, "strings", extra=one_cpu() + CACHED)
    gather().write(models, "gather", max_batch_size=8, extra=one_cpu() + CACHED)
    made = Server(
        models, "--log-verbose=1", f"--cache-config=local,size={64 * MIB}", "--metrics-port=0", log=folder / "log"
    )
    with serving(made):
        yield made
        wait_pool_empty(made)


def pair(value: int, items: int = 1) -> dict[str, npt.NDArray[Any]]:
    return {"INPUT0": np.full((items, 16), value, np.int32), "INPUT1": np.full((items, 16), 2, np.int32)}


def looked_up(server: Server, model: str) -> tuple[int, int]:
    """Hits and misses so far."""
    stats = statistics(server, model)["inference_stats"]
    return stats["cache_hit"]["count"], stats["cache_miss"]["count"]


class Watch:
    """Hits and misses of a model while a block runs."""

    def __init__(self, server: Server, model: str) -> None:
        self._server, self._model = server, model
        self._before = looked_up(server, model)

    def seen(self) -> tuple[int, int]:
        now = looked_up(self._server, self._model)
        return now[0] - self._before[0], now[1] - self._before[1]


@pytest.mark.parametrize(("kind", "value"), [(HttpFace, 1001), (GrpcFace, 1002)])
def test_a_request_that_was_answered_before_is_answered_again_without_running(
    server: Server, kind: Any, value: int
) -> None:
    before = statistics(server, "simple")
    with contextlib.closing(kind(server)) as face:
        data = pair(value)
        answers = [face.infer(Call("simple", data, request_id=str(number))) for number in range(4)]
    for number, answer in enumerate(answers):
        assert (answer.request_id, answer.model, answer.version) == (str(number), "simple", "1")
        assert (answer.outputs["OUTPUT0"] == data["INPUT0"] + 2).all()
        assert (answer.outputs["OUTPUT1"] == data["INPUT0"] - 2).all()
    after = statistics(server, "simple")

    def grown(name: str) -> int:
        return int(after["inference_stats"][name]["count"] - before["inference_stats"][name]["count"])

    counts = {name: grown(name) for name in ("success", "queue", "cache_hit", "cache_miss", "compute_infer", "fail")}
    assert counts == {"success": 4, "queue": 4, "cache_hit": 3, "cache_miss": 1, "compute_infer": 1, "fail": 0}
    assert after["inference_count"] - before["inference_count"] == 1
    assert after["execution_count"] - before["execution_count"] == 1


def test_both_protocols_share_what_was_answered(server: Server) -> None:
    watch = Watch(server, "simple")
    with contextlib.closing(HttpFace(server)) as http, contextlib.closing(GrpcFace(server)) as grpc:
        assert http.infer(Call("simple", pair(21))).outputs["OUTPUT0"][0, 0] == 23
        assert grpc.infer(Call("simple", pair(21))).outputs["OUTPUT0"][0, 0] == 23
        # As JSON it is the same request.
        assert http.infer(Call("simple", pair(21), ("OUTPUT0", "OUTPUT1"), binary=False)).outputs["OUTPUT0"][0, 0] == 23
    assert watch.seen() == (2, 1)


def test_what_a_model_may_make_its_answer_of_tells_requests_apart(server: Server) -> None:
    watch = Watch(server, "simple")
    client = tritonclient.http.InferenceServerClient(server.http_address)
    with contextlib.closing(client):

        def ask(value: int = 31, **more: Any) -> Any:
            inputs = []
            for name, array in pair(value).items():
                inputs.append(tritonclient.http.InferInput(name, list(array.shape), "INT32"))
                inputs[-1].set_data_from_numpy(array)
            return client.infer("simple", inputs, **more)

        wanted = [tritonclient.http.InferRequestedOutput("OUTPUT1")]
        ask()
        assert watch.seen() == (0, 1)
        others: list[dict[str, Any]] = [{"value": 32}, {"parameters": {"p": 1}}, {"parameters": {"p": True}}]
        for number, more in enumerate(others):
            ask(**more)
            assert watch.seen() == (0, 2 + number), more
        assert [each["name"] for each in ask(outputs=wanted).get_response()["outputs"]] == ["OUTPUT1"]
        assert watch.seen() == (0, 5)
        # These are no part of what is asked.
        same: list[dict[str, Any]] = [
            {"request_id": "x"},
            {"priority": 5},
            {"timeout": 10_000_000},
            {"outputs": wanted},
        ]
        for more in same:
            ask(**more)
        assert watch.seen() == (4, 5)


def test_the_same_bytes_in_another_shape_are_another_request(server: Server) -> None:
    watch = Watch(server, "shapes")
    with contextlib.closing(HttpFace(server)) as face:
        for shape in ((2, 3), (3, 2), (1, 6), (2, 3)):
            sent = np.arange(6, dtype=np.float32).reshape(shape)
            assert face.infer(Call("shapes", {"INPUT0": sent})).outputs["OUTPUT0"].shape == shape
    assert watch.seen() == (1, 3)


def test_strings_and_empty_tensors_are_cached(server: Server) -> None:
    with contextlib.closing(GrpcFace(server)) as face:
        for sent in (np.array([b"a", b"", "ü".encode()], np.object_), np.empty(0, np.object_)):
            watch = Watch(server, "strings")
            answers = [face.infer(Call("strings", {"INPUT0": sent})).outputs["OUTPUT0"] for _ in range(3)]
            assert all(answer.tolist() == sent.tolist() for answer in answers)
            assert watch.seen() == (2, 1)


def test_an_error_is_not_cached(server: Server) -> None:
    watch = Watch(server, "gather")
    with contextlib.closing(HttpFace(server)) as face:
        wrong = Call("gather", {"INDEX": np.array([[99]])})
        assert "onnx runtime error" in refusal(face, wrong).text
        assert "onnx runtime error" in refusal(face, wrong).text
    assert watch.seen() == (0, 2)


def test_a_model_is_cached_only_if_it_asks_for_it(server: Server) -> None:
    with contextlib.closing(HttpFace(server)) as face:
        for _ in range(3):
            face.infer(Call("uncached", pair(1)))
    assert looked_up(server, "uncached") == (0, 0)


def test_what_lies_in_clients_own_memory_is_not_cached(server: Server, shared_objects: SharedObjects) -> None:
    """Neither inputs, which may change at any time, nor outputs, which are to be written there."""
    watch = Watch(server, "simple")
    with contextlib.closing(RegionClient(GrpcFace(server))) as client:
        data = pair(71)
        region = shared_objects.make(data["INPUT0"].tobytes() + data["INPUT1"].tobytes())
        output = shared_objects.make(bytes(64))
        client.ask("register_system_shared_memory", "in", region.key, 128)
        client.ask("register_system_shared_memory", "out", output.key, 64)
        placed = [
            client.placed("INPUT0", [1, 16], "INT32", "in", 64),
            client.placed("INPUT1", [1, 16], "INT32", "in", 64, 64),
        ]
        sent = [client.sent(name, array, "INT32") for name, array in data.items()]
        for inputs, value in ((placed, 73), (sent, 73)):
            for _ in range(2):
                output.write(bytes(64))
                client.infer("simple", inputs, [client.wanted("OUTPUT0", "out", 64)])
                assert (np.frombuffer(output.read(), np.int32) == value).all()
        client.ask("unregister_system_shared_memory", "in")
        client.ask("unregister_system_shared_memory", "out")
    assert watch.seen() == (0, 0)


def test_many_clients_at_once_get_their_own_answers_and_nothing_is_left_of_them(server: Server) -> None:
    watch = Watch(server, "simple")

    def client(number: int) -> None:
        face: Face = HttpFace(server) if number % 2 else GrpcFace(server)
        with contextlib.closing(face):
            for turn in range(30):
                value = 5000 + (number * 7 + turn) % 10
                answer = face.infer(Call("simple", pair(value, 1 + value % 3), request_id=f"{number}/{turn}"))
                assert answer.request_id == f"{number}/{turn}"
                assert (answer.outputs["OUTPUT0"] == value + 2).all()

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        for done in [pool.submit(client, number) for number in range(32)]:
            done.result(60)
    hits, misses = watch.seen()
    assert hits + misses == 32 * 30
    # Those that came while the first was still running, or while the pool had no room, ran too.
    assert misses < 500
    wait_pool_empty(server)


def test_answers_that_need_more_of_the_pool_than_there_was_get_more(server: Server) -> None:
    sent = np.arange(6 * MIB // 4, dtype=np.float32).reshape(1, -1)
    with contextlib.closing(GrpcFace(server)) as face:

        def hit() -> bool:
            watch = Watch(server, "shapes")
            assert (face.infer(Call("shapes", {"INPUT0": sent})).outputs["OUTPUT0"] == sent).all()
            return watch.seen() == (1, 0)

        assert not hit()
        eventually(hit, "there is room for an answer of 6 MiB")
    wait_pool_empty(server)


def test_metrics_tell_of_models_and_of_the_cache(server: Server) -> None:
    with contextlib.closing(HttpFace(server)) as face:
        for _ in range(3):
            face.infer(Call("simple", pair(91)))
    hits, misses = looked_up(server, "simple")
    seen = scrape(server)
    assert seen.value("nv_cache_num_hits_per_model", model="simple", version="1") == hits
    assert seen.value("nv_cache_num_misses_per_model", model="simple", version="1") == misses
    assert seen.value("nv_cache_hit_duration_per_model", model="simple") > 0
    assert seen.value("nv_cache_miss_duration_per_model", model="simple") > 0
    assert seen.types["nv_cache_num_hits_per_model"] == "counter"
    assert not [labels for (name, labels) in seen.samples if "per_model" in name and ("model", "uncached") in labels]
    assert 0 < seen.value("nv_cache_util") < 1
    assert seen.value("nv_cache_num_entries") > 0
    assert seen.value("nv_cache_num_lookups") == seen.value("nv_cache_num_hits") + seen.value("nv_cache_num_misses")
    assert seen.types["nv_cache_util"] == "gauge"
    assert "nv_cache_hit_summary_per_model" not in seen.types


# ---- servers of their own ------------------------------------------------------------------------------------------


def test_without_the_flag_nothing_is_cached(new_server: StartServer, tmp_path: Path) -> None:
    add_sub().write(tmp_path / "models", "simple", max_batch_size=8, extra=one_cpu() + CACHED)
    server = new_server(tmp_path / "models", "--metrics-port=0").start()
    with contextlib.closing(HttpFace(server)) as face:
        for _ in range(2):
            face.infer(Call("simple", pair(1)))
    assert looked_up(server, "simple") == (0, 0)
    assert not [name for name in scrape(server).types if name.startswith("nv_cache")]


def test_a_small_cache_forgets_what_was_not_asked_for_longest(new_server: StartServer, tmp_path: Path) -> None:
    identity("FP32", [-1]).write(tmp_path / "models", "echo", extra=one_cpu() + CACHED)
    server = new_server(tmp_path / "models", "--response-cache-byte-size=30000", *SUMMARIES).start()
    assert "Warning: '--response-cache-byte-size' has been deprecated!" in server.log()
    watch = Watch(server, "echo")
    with contextlib.closing(GrpcFace(server)) as face:

        def ask(value: int, elements: int = 2000) -> None:
            sent = np.full(elements, value, np.float32)
            assert (face.infer(Call("echo", {"INPUT0": sent})).outputs["OUTPUT0"] == sent).all()

        for value in (1, 2, 3, 1, 4, 1, 2):
            ask(value)
        # 1 stays in use; the fourth drove 2 out.
        assert watch.seen() == (2, 5)
        for _ in range(2):
            ask(9, 8000)
        assert watch.seen() == (2, 7)
    seen = scrape(server)
    assert seen.value("nv_cache_num_entries") == 3
    assert seen.value("nv_cache_num_evictions") == 2
    assert 0.8 < seen.value("nv_cache_util") <= 1.0
    assert seen.value("nv_cache_hit_summary_per_model_count", model="echo") == 2
    assert seen.value("nv_cache_miss_summary_per_model_count", model="echo") == 7
    assert seen.value("nv_inference_request_summary_us_count", model="echo") == 9
    wait_pool_empty(server)


def test_a_worker_that_is_killed_during_a_miss_fails_that_request_and_spoils_nothing(
    new_server: StartServer, tmp_path: Path
) -> None:
    slow().write(tmp_path / "models", "slow", max_batch_size=8, extra=one_cpu() + CACHED)
    server = new_server(tmp_path / "models", f"--cache-config=local,size={MIB}").start()

    def body(milliseconds: float) -> bytes:
        return infer_post("slow", binary_body({"ROUNDS": np.array([[rounds(milliseconds)]], np.int64)}))

    with Connection(server) as kept, Connection(server) as dying:
        first = kept.call(body(2)).body
        victim = server.worker_of("slow")
        ticks = cpu_ticks(victim.pid)
        dying.send(body(5000))
        eventually(lambda: cpu_ticks(victim.pid) > ticks + 3, "the instance computes")
        server.kill(victim)
        assert dying.response().status == 503
        assert kept.call(body(2)).body == first
        assert kept.call(body(3)).status == 200
    assert looked_up(server, "slow") == (1, 3)
    wait_pool_empty(server)


def test_a_hit_needs_no_instance_and_no_place_in_the_queue(new_server: StartServer, tmp_path: Path) -> None:
    slow().write(tmp_path / "models", "slow", max_batch_size=8, extra=one_cpu() + CACHED)
    server = new_server(tmp_path / "models", f"--cache-config=local,size={MIB}").start()

    def body(milliseconds: float) -> bytes:
        return infer_post("slow", binary_body({"ROUNDS": np.array([[rounds(milliseconds)]], np.int64)}))

    with Connection(server) as known, Connection(server) as busy:
        assert known.call(body(1)).status == 200
        victim = server.worker_of("slow")
        ticks = cpu_ticks(victim.pid)
        busy.send(body(3000))
        eventually(lambda: cpu_ticks(victim.pid) > ticks + 3, "the instance computes")
        assert known.call(body(1)).status == 200
        assert not select.select([busy], [], [], 0)[0], "the one that runs is answered already"
        assert busy.response().status == 200


def test_a_client_that_leaves_during_a_miss_leaves_nothing_behind(new_server: StartServer, tmp_path: Path) -> None:
    slow().write(tmp_path / "models", "slow", max_batch_size=8, extra=one_cpu() + CACHED)
    server = new_server(tmp_path / "models", f"--cache-config=local,size={MIB}").start()
    body = infer_post("slow", binary_body({"ROUNDS": np.array([[rounds(300)]], np.int64)}))
    for _ in range(3):
        with Connection(server) as leaving:
            leaving.send(body)
    wait_pool_empty(server)


def test_a_trace_of_a_miss_has_the_times_of_its_execution_and_that_of_a_hit_has_none(
    new_server: StartServer, tmp_path: Path
) -> None:
    batching = "dynamic_batching { preserve_ordering: true }\n"
    add_sub().write(tmp_path / "models", "simple", max_batch_size=8, extra=one_cpu() + CACHED + batching)
    file = tmp_path / "traces"
    tracing = ("level=TIMESTAMPS", "rate=1", f"triton,file={file}")
    flags = [f"--trace-config={each}" for each in tracing]
    server = new_server(tmp_path / "models", f"--cache-config=local,size={MIB}", *flags).start()
    with contextlib.closing(HttpFace(server)) as face:
        for _ in range(2):
            face.infer(Call("simple", pair(1)))
    assert server.stop() == 0
    written = json.loads(file.read_text())
    computed = {
        each["id"] for each in written for stamp in each.get("timestamps", ()) if stamp["name"] == "COMPUTE_START"
    }
    assert len({each["id"] for each in written}) == 2
    assert len(computed) == 1


def test_a_server_whose_cache_cannot_be_had_does_not_start(new_server: StartServer, tmp_path: Path) -> None:
    add_sub().write(tmp_path / "models", "simple", max_batch_size=8, extra=one_cpu())
    server = new_server(tmp_path / "models", "--cache-config=local,foo=1").launch()
    assert server.wait_ended() == 1
    assert (
        "error: creating server: Invalid argument - Failed to initialize LocalCache: it has no setting 'foo'; it has size"
    ) in server.log()
