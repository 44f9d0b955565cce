"""Sequences through NVIDIA's clients: order, slots, controls, states, idle time, backlog, and a worker that is killed."""

import concurrent.futures
import contextlib
import queue
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from tests.harness.fixtures import StartServer
from tests.harness.observing import batch_counts, settled, statistics, wait_pool_empty
from tests.harness.sequence_models import (
    CONTROLS,
    START,
    SUM_STATE,
    WITNESSED,
    accumulator,
    collector,
    rememberer,
    trusting_accumulator,
    witness,
    write,
)
from tests.harness.server import Server, serving
from tests.harness.waiting import eventually

_DEADLINE_S: Final = 30.0
_IDLE_S: Final = 0.4
_LONG_IDLE: Final = "max_sequence_idle_microseconds: 60000000 "
_TOGETHER: Final = "direct { max_queue_delay_microseconds: 5000000 minimum_slot_utilization: 1 } "
_OF_TYPE: Final = {np.dtype(np.int32): "INT32", np.dtype(np.object_): "BYTES"}


def write_models(folder: Path) -> Path:
    summing = START + SUM_STATE % ""
    write(accumulator(), folder, "sum", _LONG_IDLE + summing)
    write(accumulator(), folder, "sum_twice", _LONG_IDLE + _TOGETHER + summing, max_batch_size=2, count=2)
    write(accumulator(), folder, "sum_oldest", _LONG_IDLE + "oldest { max_candidate_sequences: 6 } " + summing, count=2)
    write(accumulator(), folder, "sum_ordered", _LONG_IDLE + "oldest { preserve_ordering: true } " + summing, count=2)
    write(accumulator(), folder, "sum_shown", _LONG_IDLE + summing, own=2)
    write(accumulator(batched=False), folder, "sum_unbatched", _LONG_IDLE + summing, max_batch_size=0)
    write(witness(), folder, "witness", _LONG_IDLE + CONTROLS)
    write(
        witness(),
        folder,
        "one_slot",
        f"max_sequence_idle_microseconds: {int(_IDLE_S * 1e6)} {CONTROLS}",
        max_batch_size=1,
    )
    write(witness(), folder, "patient", _LONG_IDLE + CONTROLS, max_batch_size=1)
    zero = 'initial_state { name: "z" data_type: TYPE_INT32 dims: [ 1 ] zero_data: true }'
    from_file = 'initial_state { name: "f" data_type: TYPE_INT32 dims: [ 1 ] data_file: "begin" }'
    write(trusting_accumulator(), folder, "from_zero", _LONG_IDLE + SUM_STATE % zero)
    write(trusting_accumulator(), folder, "from_file", _LONG_IDLE + SUM_STATE % from_file)
    (folder / "from_file" / "initial_state").mkdir()
    (folder / "from_file" / "initial_state" / "begin").write_bytes(np.array([1000], np.int32).tobytes())
    growing = (
        'state [ { input_name: "ALL_IN" output_name: "ALL_OUT" data_type: TYPE_INT32 dims: [ -1 ] %s'
        "use_same_buffer_for_input_output: true use_growable_memory: true } ]"
    )
    write(collector(), folder, "collect", _LONG_IDLE + growing % zero)
    write(collector(), folder, "collect_together", _LONG_IDLE + _TOGETHER + growing % zero, max_batch_size=2)
    last = 'state [ { input_name: "LAST_IN" output_name: "LAST_OUT" data_type: TYPE_STRING dims: [ 1 ] } ]'
    write(rememberer(), folder, "remember", _LONG_IDLE + "oldest { } " + last)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("sequences")
    own = Server(write_models(folder / "models"), "--log-verbose=1", log=folder / "log")
    with serving(own):
        yield own
        wait_pool_empty(own)


class Client:
    """A client of either protocol; a call is a step of a sequence."""

    def __init__(self, protocol: str, server: Server) -> None:
        if protocol == "http":
            self._module = tritonclient.http
            self._client = tritonclient.http.InferenceServerClient(
                server.http_address, network_timeout=_DEADLINE_S, connection_timeout=_DEADLINE_S
            )
        else:
            self._module = tritonclient.grpc
            self._client = tritonclient.grpc.InferenceServerClient(server.grpc_address)

    def step(self, model: str, value: int | bytes, sequence: int | str = 0, flags: str = "", **more: Any) -> Any:
        """The answer to a request with one element. Flags: "start", "end" or both."""
        return self._client.infer(
            model,
            [tensor(self._module, value, batched=model != "sum_unbatched")],
            sequence_id=sequence,
            sequence_start="start" in flags,
            sequence_end="end" in flags,
            **more,
        )

    def close(self) -> None:
        self._client.close()


def tensor(module: Any, value: int | bytes, *, batched: bool = True) -> Any:
    array: npt.NDArray[Any] = np.array([value], np.object_ if isinstance(value, bytes) else np.int32)
    if batched:
        array = array.reshape(1, 1)
    made = module.InferInput("INPUT", list(array.shape), _OF_TYPE[array.dtype])
    made.set_data_from_numpy(array)
    return made


@pytest.fixture(params=["http", "grpc"])
def client(request: pytest.FixtureRequest, server: Server) -> Iterator[Client]:
    made = Client(request.param, server)
    yield made
    made.close()


def number(answer: Any, output: str = "SUM") -> int:
    return int(answer.as_numpy(output).item())


def witnessed(answer: Any) -> dict[str, int]:
    (row,) = answer.as_numpy("OUTPUT").tolist()
    return dict(zip(WITNESSED, row, strict=True))


def refused(client: Client, model: str, sequence: int | str = 0, flags: str = "", **more: Any) -> tuple[str, str]:
    with pytest.raises(InferenceServerException) as caught:
        client.step(model, 1, sequence, flags, **more)
    return str(caught.value.status()).removeprefix("StatusCode."), caught.value.message()


# ---- rules -------------------------------------------------------------------------------------------------------------


def test_requests_that_are_no_part_of_a_sequence_are_refused_in_tritons_words(client: Client) -> None:
    bad = ("400", "INVALID_ARGUMENT")
    status, text = refused(client, "sum", request_id="mine")
    assert status in bad
    assert text == "inference request to model 'sum' must specify a non-zero or non-empty correlation ID"
    status, text = refused(client, "sum", 77, "end")
    assert status in bad
    assert text == (
        "inference request for sequence 77 to model 'sum' must specify the START flag on the first request of the sequence"
    )
    status, text = refused(client, "witness", "text", "start", request_id="mine")
    assert status in bad
    assert text == (
        "[request id: mine] sequence batching control 'CORRID' data-type is 'BYTES', but model 'witness' expects 'UINT64'"
    )


def test_a_request_of_several_items_is_refused(server: Server) -> None:
    with contextlib.closing(tritonclient.http.InferenceServerClient(server.http_address)) as client:
        two = tritonclient.http.InferInput("INPUT", [2, 1], "INT32")
        two.set_data_from_numpy(np.ones((2, 1), np.int32))
        with pytest.raises(InferenceServerException, match="must specify batch-size 1 due to requirements"):
            client.infer("sum", [two], sequence_id=1, sequence_start=True)


def test_clients_see_neither_controls_nor_states_among_a_models_tensors(server: Server) -> None:
    with contextlib.closing(tritonclient.http.InferenceServerClient(server.http_address)) as client:
        metadata = client.get_model_metadata("sum")
        assert [each["name"] for each in metadata["inputs"]] == ["INPUT"]
        assert [each["name"] for each in metadata["outputs"]] == ["SUM"]
        assert "sequence" in client.get_server_metadata()["extensions"]


# ---- states ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["sum", "sum_oldest", "sum_ordered", "sum_unbatched"])
def test_a_sequence_adds_up_what_it_is_sent(client: Client, model: str) -> None:
    answers = [client.step(model, 10, 1, "start"), client.step(model, 20, 1), client.step(model, 30, 1, "end")]
    assert [number(answer) for answer in answers] == [10, 30, 60]
    assert number(client.step(model, 5, 1, "start end")) == 5


@pytest.mark.parametrize("model", ["sum", "sum_oldest"])
def test_sequences_with_numbers_and_texts_as_ids_do_not_meet(client: Client, model: str) -> None:
    ids: tuple[int | str, ...] = (1, "1", 2**63 - 1, "a longer name")
    for factor in (1, 10, 100):
        flags = {1: "start", 100: "end"}.get(factor, "")
        for at, sequence in enumerate(ids, 1):
            expected = at * {1: 1, 10: 11, 100: 111}[factor]
            assert number(client.step(model, at * factor, sequence, flags)) == expected


def test_a_start_begins_anew_in_the_midst_of_a_sequence(client: Client) -> None:
    assert [number(client.step("from_zero", 5, 3, flags)) for flags in ("start", "", "start", "end")] == [5, 10, 5, 10]


def test_a_state_begins_with_zeros_or_with_a_file(client: Client) -> None:
    assert [number(client.step("from_zero", 7, 4, flags)) for flags in ("start", "end")] == [7, 14]
    assert [number(client.step("from_file", 7, 4, flags)) for flags in ("start", "end")] == [1007, 1014]


def test_a_state_is_answered_where_the_config_lists_it_and_the_client_wants_it(server: Server) -> None:
    with contextlib.closing(tritonclient.http.InferenceServerClient(server.http_address)) as client:
        ask = partial(client.infer, "sum_shown", [tensor(tritonclient.http, 3)], sequence_id=5)
        both = ask(sequence_start=True)
        assert (number(both), number(both, "SUM_OUT")) == (3, 3)
        one = ask(outputs=[tritonclient.http.InferRequestedOutput("SUM")], sequence_end=True)
        assert number(one) == 6
        assert one.as_numpy("SUM_OUT") is None
        with pytest.raises(InferenceServerException, match="unexpected inference output 'SUM_OUT' for model 'sum'"):
            client.infer(
                "sum", [tensor(tritonclient.http, 3)], outputs=[tritonclient.http.InferRequestedOutput("SUM_OUT")]
            )


def test_states_may_grow_and_may_be_strings(client: Client) -> None:
    answers = [client.step("collect", value, 6, "start" * (value == 1)) for value in (1, 2, 3)]
    assert [answer.as_numpy("ALL").tolist() for answer in answers] == [[[0, 1]], [[0, 1, 2]], [[0, 1, 2, 3]]]
    client.step("collect", 4, 6, "end")
    steps = [("start", b"one"), ("", "zwölf".encode()), ("end", b"")]
    answers = [client.step("remember", value, 7, flags) for flags, value in steps]
    assert [answer.as_numpy("BEFORE").item() for answer in answers] == [b"", b"one", "zwölf".encode()]


def test_states_of_different_lengths_share_an_instance(server: Server) -> None:
    with contextlib.ExitStack() as stack, concurrent.futures.ThreadPoolExecutor(2) as pool:
        clients = [stack.enter_context(contextlib.closing(Client("grpc", server))) for _ in range(2)]

        def together(*calls: tuple[int, int, str]) -> list[Any]:
            steps = [
                pool.submit(each.step, "collect_together", value, sequence, flags)
                for each, (value, sequence, flags) in zip(clients, calls, strict=True)
            ]
            return [step.result().as_numpy("ALL").tolist()[0] for step in steps]

        assert together((1, 1, "start"), (2, 2, "start")) == [[0, 1], [0, 2]]
        assert together((3, 1, ""), (4, 2, "start")) == [[0, 1, 3], [0, 4]]
        assert together((5, 1, "end"), (6, 2, "end")) == [[0, 1, 3, 5], [0, 4, 6]]


# ---- controls and batches ----------------------------------------------------------------------------------------------


def test_controls_say_start_end_ready_and_the_id(client: Client) -> None:
    alone = {"ready": 1, "correlation": 99, "items": 1, "ready_items": 1}
    assert witnessed(client.step("witness", 1, 99, "start")) == alone | {"start": 1, "end": -1}
    assert witnessed(client.step("witness", 1, 99)) == alone | {"start": 0, "end": -1}
    assert witnessed(client.step("witness", 1, 99, "end")) == alone | {"start": 0, "end": 2}
    assert witnessed(client.step("witness", 1, 99, "start end")) == alone | {"start": 1, "end": 2}


def test_fillers_keep_a_sequence_in_its_place_and_count_for_the_size_only(server: Server) -> None:
    before = statistics(server, "witness")
    with contextlib.closing(Client("http", server)) as client:
        for sequence in (1, 2, 3):
            client.step("witness", 1, sequence, "start")
        third = witnessed(client.step("witness", 1, 3))
        assert (third["items"], third["ready_items"], third["correlation"]) == (3, 1, 3)
        for sequence in (1, 2, 3):
            client.step("witness", 1, sequence, "end")
    stats = settled(server, "witness", before["inference_stats"]["success"]["count"] + 7)
    assert stats["inference_count"] == before["inference_count"] + 7
    assert stats["execution_count"] == before["execution_count"] + 7
    counts, earlier = batch_counts(stats), batch_counts(before)
    assert {size: counts[size] - earlier.get(size, 0) for size in counts} == {1: 2, 2: 2, 3: 3}


def test_sequences_on_two_instances_run_in_batches(server: Server) -> None:
    with contextlib.ExitStack() as stack, concurrent.futures.ThreadPoolExecutor(4) as pool:
        clients = [
            stack.enter_context(contextlib.closing(Client(protocol, server))) for protocol in ("http", "grpc") * 2
        ]

        def whole(client: Client, sequence: int) -> list[int]:
            flags = ["start", *[""] * 8, "end"]
            return [number(client.step("sum_twice", sequence * 100 + at, sequence, flags[at])) for at in range(10)]

        sums = [pool.submit(whole, client, at + 1) for at, client in enumerate(clients)]
        for at, each in enumerate(sums, 1):
            assert each.result(_DEADLINE_S) == np.cumsum([at * 100 + step for step in range(10)]).tolist()
    stats = settled(server, "sum_twice", 40)
    assert stats["execution_count"] == 20, "each with the two slots of its instance"


def test_streams_carry_many_sequences_at_once(server: Server) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with tritonclient.grpc.InferenceServerClient(server.grpc_address) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        for value in range(1, 8):
            for sequence in (1, "one", 2, 3):
                client.async_stream_infer(
                    "sum_oldest",
                    [tensor(tritonclient.grpc, value)],
                    request_id=f"{sequence}/{value}",
                    sequence_id=sequence,
                    sequence_start=value == 1,
                    sequence_end=value == 7,
                )
        got: dict[str, int] = {}
        for _ in range(28):
            result, error = answers.get(timeout=_DEADLINE_S)
            assert error is None
            got[result.get_response().id] = number(result)
        client.stop_stream()
    assert got == {
        f"{sequence}/{value}": value * (value + 1) // 2 for value in range(1, 8) for sequence in (1, "one", 2, 3)
    }


# ---- waiting and ends --------------------------------------------------------------------------------------------------


def test_a_sequence_waits_until_a_slot_has_idled(client: Client) -> None:
    client.step("one_slot", 1, 1, "start")
    idle_since_s = time.monotonic()
    assert witnessed(client.step("one_slot", 1, 2, "start end"))["correlation"] == 2
    assert _IDLE_S - 0.1 < time.monotonic() - idle_since_s < _IDLE_S + 2
    assert "must specify the START flag" in refused(client, "one_slot", 1)[1]


def test_a_sequence_that_would_wait_longer_than_its_timeout_is_refused(client: Client) -> None:
    client.step("patient", 1, 1, "start")
    status, text = refused(client, "patient", 2, "start", timeout=100_000, request_id="mine")
    assert (status in ("503", "UNAVAILABLE"), text) == (True, "timeout of the corresponding sequence has been expired")
    assert "must specify the START flag" in refused(client, "patient", 2)[1]
    client.step("patient", 1, 1, "end")


def test_a_client_that_goes_while_its_sequence_waits_takes_the_whole_sequence_along(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        first, other = (stack.enter_context(contextlib.closing(Client("grpc", server))) for _ in range(2))
        first.step("patient", 1, 1, "start")
        with pytest.raises(InferenceServerException):
            other.step("patient", 1, 2, "start", client_timeout=0.3)
        failed = eventually(
            lambda: statistics(server, "patient")["inference_stats"]["fail"]["count"] or None,
            "the request is cancelled",
        )
        assert failed
        assert "must specify the START flag" in refused(other, "patient", 2)[1]
        first.step("patient", 1, 1, "end")
        assert witnessed(other.step("patient", 1, 3, "start end"))["correlation"] == 3


def test_the_sequences_of_a_killed_worker_must_begin_anew(server: Server) -> None:
    with contextlib.closing(Client("http", server)) as client:
        assert number(client.step("sum", 1, 1, "start")) == 1
        server.worker_of("sum").kill()
        # A request that comes before the news of the death fails with it.
        eventually(lambda: "must specify the START flag" in refused(client, "sum", 1)[1], "the sequence has ended")
        assert [number(client.step("sum", 5, 1, flags)) for flags in ("start", "end")] == [5, 10]


# ---- loading -----------------------------------------------------------------------------------------------------------


def test_models_whose_states_or_controls_cannot_be_had_do_not_load(new_server: StartServer, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    state = 'initial_state { name: "f" data_type: TYPE_INT32 dims: [ 1 ] data_file: "%s" }'
    reasons = {}
    for name, file in (("short", "begin"), ("missing", "nothing"), ("outside", "../config.pbtxt")):
        write(trusting_accumulator(), folder, name, SUM_STATE % state % file)
        (folder / name / "initial_state").mkdir()
        (folder / name / "initial_state" / "begin").write_bytes(b"\0\0\0")
    reasons["short"] = "initial_state setting expects 4 bytes, but the data provided from begin only has 3 bytes."
    reasons["missing"] = "failed to open text file for read"
    reasons["outside"] = "file '../config.pbtxt' of an initial state lies outside of"
    write(accumulator(), folder, "no_control", SUM_STATE % "" + START.replace('"START"', '"BEGIN"'))
    reasons["no_control"] = "configuration specified sequence control 'BEGIN', but model does not provide that input"
    write(accumulator(), folder, "no_state", START)
    reasons["no_state"] = "configuration expects 2 inputs, model provides 3"
    other = START.replace("int32_false_true", "fp32_false_true")
    write(accumulator(), folder, "other_type", SUM_STATE % "" + other)
    reasons["other_type"] = (
        "the model expects data-type TYPE_INT32 but the model configuration specifies data-type TYPE_FP32"
    )
    server = new_server(folder, "--exit-on-error=false").start()
    for name, reason in reasons.items():
        assert reason in server.wait_for_log(rf"failed to load '{name}'.*\n?.*")[0], name
