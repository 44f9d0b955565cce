"""Ensembles of real models through NVIDIA's clients; when everything has been answered, nothing of the pool is taken."""

import concurrent.futures
import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.harness.ensembles import Ensemble, Step
from tests.harness.faces import FACES, Call, Face, GrpcFace, HttpFace, refusal
from tests.harness.models import add_sub, gather, identity, slow
from tests.harness.observing import settled, statistics, wait_pool_empty
from tests.harness.pace import rounds
from tests.harness.raw_http import Connection, binary_body, infer_post
from tests.harness.region_client import RegionClient
from tests.harness.repository import BATCHING, one_cpu
from tests.harness.server import Server, serving
from tests.harness.shared_memory import SharedObjects, shared_objects
from tests.harness.waiting import eventually

__all__ = ["shared_objects"]

INT32 = ("INT32", "16")
LEFT = np.arange(16, dtype=np.int32).reshape(1, 16)
RIGHT = np.full((1, 16), 100, np.int32)
PAIR = {"INPUT0": INT32, "INPUT1": INT32}
SAME = {name: name for name in PAIR}


def write_repository(folder: Path) -> Path:
    """Models and the ensembles of them."""
    one = one_cpu()
    add_sub().write(folder, "simple", max_batch_size=8, extra=one + BATCHING)
    identity("FP32", ["n"]).write(folder, "echo", extra=one)
    identity("FP32", ["b", "n"]).write(folder, "rows", max_batch_size=4, extra=one + BATCHING)
    gather().write(folder, "gather", max_batch_size=8, extra=one)
    for name in ("slow", "slow_too"):
        slow().write(folder, name, max_batch_size=8, extra=one)
    chain = (
        Step("simple", SAME, {"OUTPUT0": "sum", "OUTPUT1": "difference"}),
        Step("simple", {"INPUT0": "sum", "INPUT1": "difference"}, {"OUTPUT0": "TWICE0", "OUTPUT1": "TWICE1"}),
    )
    Ensemble(PAIR, {"TWICE0": INT32, "TWICE1": INT32}, chain).write(folder, "chain")
    Ensemble(
        PAIR,
        {"SUM": INT32, "AGAIN": INT32},
        (
            Step("chain", SAME, {"TWICE0": "a", "TWICE1": "b"}),
            Step("simple", {"INPUT0": "a", "INPUT1": "b"}, {"OUTPUT0": "SUM"}),
            Step("simple", {"INPUT0": "SUM", "INPUT1": "a"}, {"OUTPUT1": "AGAIN"}),
        ),
    ).write(folder, "nested")
    rows = ("FP32", "-1")
    through = (
        Step("rows", {"INPUT0": "I"}, {"OUTPUT0": "t"}),
        Step("echo", {"INPUT0": "t"}, {"OUTPUT0": "u"}),
        Step("rows", {"INPUT0": "u"}, {"OUTPUT0": "O"}),
    )
    Ensemble({"I": rows}, {"O": rows}, through, 4).write(folder, "adapted")
    index = ("INT64", "1")
    gathers = (
        Step("gather", {"INDEX": "I"}, {"OUTPUT0": "t"}),
        Step("gather", {"INDEX": "t"}, {"OUTPUT0": "O"}),
    )
    Ensemble({"I": index}, {"O": index}, gathers).write(folder, "gathers")
    both = (Step("slow", {"ROUNDS": "I"}, {"ECHO": "A"}), Step("slow_too", {"ROUNDS": "I"}, {"ECHO": "B"}))
    Ensemble({"I": index}, {"A": index, "B": index}, both).write(folder, "both")
    return folder


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("ensembles")
    server = Server(write_repository(folder / "models"), "--log-verbose=1", log=folder / "log")
    with serving(server):
        yield server
        wait_pool_empty(server)


@pytest.fixture(params=list(FACES))
def client(request: pytest.FixtureRequest, own: Server) -> Iterator[Face]:
    made = FACES[request.param](own)
    yield made
    made.close()


@pytest.fixture(params=["http", "grpc"])
def regions(request: pytest.FixtureRequest, own: Server) -> Iterator[RegionClient]:
    made = RegionClient(FACES[request.param](own))
    yield made
    made.ask("unregister_system_shared_memory")
    made.close()


def test_a_chain_answers_with_the_outputs_of_its_last_step(client: Face) -> None:
    answer = client.infer(Call("chain", {"INPUT0": LEFT, "INPUT1": RIGHT}, request_id="mine"))
    assert (answer.model, answer.version, answer.request_id) == ("chain", "1", "mine")
    assert (answer.outputs["TWICE0"] == 2 * LEFT).all()
    assert (answer.outputs["TWICE1"] == 2 * RIGHT).all()


def test_ensembles_inside_ensembles_and_outputs_of_several_steps(client: Face) -> None:
    answer = client.infer(Call("nested", {"INPUT0": LEFT, "INPUT1": RIGHT}))
    assert (answer.outputs["SUM"] == 2 * LEFT + 2 * RIGHT).all()
    assert (answer.outputs["AGAIN"] == 2 * RIGHT).all()


def test_steps_that_only_other_outputs_need_do_not_run(own: Server) -> None:
    before = statistics(own, "slow_too")["execution_count"]
    with contextlib.closing(HttpFace(own)) as face:
        answer = face.infer(Call("both", {"I": np.array([[3]])}, outputs=["A"]))
    assert list(answer.outputs) == ["A"]
    assert statistics(own, "slow_too")["execution_count"] == before


def test_steps_that_do_not_depend_on_each_other_run_at_the_same_time(own: Server) -> None:
    for stopped, other in (("slow", "slow_too"), ("slow_too", "slow")):
        worker = own.worker_of(stopped)
        before = statistics(own, other)["execution_count"]
        with Connection(own) as connection:
            worker.kill(signal.SIGSTOP)
            try:
                connection.send(infer_post("both", binary_body({"I": np.array([[rounds(1)]])})))
                # Whichever of the two stands still, the other one does not wait for it.
                eventually(lambda: statistics(own, other)["execution_count"] > before, f"{other} runs")  # noqa: B023
            finally:
                worker.kill(signal.SIGCONT)
            assert connection.response().status == 200


def test_a_row_goes_through_a_model_without_batching_and_a_batch_does_not(client: Face) -> None:
    row = np.array([[1, 2, 3]], np.float32)
    assert (client.infer(Call("adapted", {"I": row})).outputs["O"] == row).all()
    error = refusal(client, Call("adapted", {"I": np.zeros((2, 3), np.float32)}, request_id="q"))
    assert error.status in ("400", "INVALID_ARGUMENT")
    assert error.text.startswith("in ensemble 'adapted', [request id: q] unexpected shape for input 'INPUT0'")


def test_large_tensors_go_from_step_to_step(client: Face) -> None:
    for width in (100_000, 100_001, 200_000):
        row = np.random.default_rng(width).random((1, width), dtype=np.float32)
        assert (client.infer(Call("adapted", {"I": row})).outputs["O"] == row).all()


@pytest.mark.parametrize("value", [99, 3])
def test_an_error_of_any_step_is_the_ensembles(client: Face, value: int) -> None:
    error = refusal(client, Call("gathers", {"I": np.array([[value]])}, request_id="q"))
    assert error.status in ("500", "INTERNAL")
    assert error.text.startswith("in ensemble 'gathers', [request id: q] onnx runtime error")


def test_statistics_are_the_ensembles_own_and_count_a_failure_once(own: Server) -> None:
    before = statistics(own, "gathers")
    with contextlib.closing(HttpFace(own)) as face:
        for _ in range(3):
            face.infer(Call("gathers", {"I": np.zeros((2, 1), np.int64)}))
        refusal(face, Call("gathers", {"I": np.array([[99]])}))
    found = settled(own, "gathers", before["inference_stats"]["success"]["count"] + 3)
    assert found["inference_count"] - before["inference_count"] == 6
    assert found["execution_count"] - before["execution_count"] == 3
    assert found["inference_stats"]["fail"]["count"] - before["inference_stats"]["fail"]["count"] == 1
    steps = statistics(own, "gather")["inference_stats"]["compute_infer"]
    assert 0 < found["inference_stats"]["compute_infer"]["ns"] <= steps["ns"]
    assert found["inference_stats"]["compute_infer"]["count"] == found["inference_stats"]["success"]["count"]


def test_tensors_in_clients_memory_are_read_and_written_by_the_steps(
    regions: RegionClient, shared_objects: SharedObjects
) -> None:
    made = shared_objects.make(LEFT.tobytes() + RIGHT.tobytes() + bytes(256))
    regions.ask("register_system_shared_memory", "r", made.key, 384)
    outputs = [regions.wanted("TWICE0", "r", 64, 128), regions.wanted("TWICE1")]
    result = regions.infer("chain", regions.add_sub_inputs("r"), outputs)
    assert made.read(128, 64) == (2 * LEFT).tobytes()
    assert (result.as_numpy("TWICE1") == 2 * RIGHT).all()
    # The output of one step that another one reads as well, and one written over an input that has been read by then.
    outputs = [regions.wanted("SUM", "r", 64, 192), regions.wanted("AGAIN", "r", 64, 0)]
    regions.infer("nested", regions.add_sub_inputs("r"), outputs)
    assert made.read(192, 64) == (2 * LEFT + 2 * RIGHT).tobytes()
    assert made.read(0, 64) == (2 * RIGHT).tobytes()


def test_64_clients_at_once_get_their_own_answers(own: Server) -> None:
    def client(number: int) -> None:
        with contextlib.closing(GrpcFace(own) if number % 2 else HttpFace(own)) as face:
            for turn in range(8):
                left = np.full((1 + number % 3, 16), 1000 * number + turn, np.int32)
                answer = face.infer(Call("nested", {"INPUT0": left, "INPUT1": left * 3}))
                assert (answer.outputs["SUM"] == left * 8).all()
                assert (answer.outputs["AGAIN"] == left * 6).all()

    before = statistics(own, "nested")["inference_stats"]["success"]["count"]
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        for done in [pool.submit(client, number) for number in range(64)]:
            done.result(120)
    settled(own, "nested", before + 64 * 8)
    wait_pool_empty(own)


def test_a_client_that_leaves_in_the_middle_leaves_nothing(own: Server) -> None:
    for _ in range(3):
        connection = Connection(own)
        connection.send(infer_post("both", binary_body({"I": np.array([[rounds(300)]])})))
        connection.close(reset=True)
    wait_pool_empty(own)
    with contextlib.closing(HttpFace(own)) as face:
        assert face.infer(Call("both", {"I": np.array([[1]])})).outputs["B"] == 1
