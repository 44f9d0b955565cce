"""Decoupled models: no, one or many responses to a request, over streams and generate; refused where one answer is due."""

import contextlib
import http.client
import json
import queue
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from tests.harness.faces import Call, GrpcFace, HttpFace, refusal
from tests.harness.fixtures import StartServer
from tests.harness.models import identity
from tests.harness.native_models import MANY_RESPONSES, parameter, write_repeat, write_square
from tests.harness.observing import settled, statistics, wait_pool_empty
from tests.harness.repository import BATCHING, one_cpu
from tests.harness.server import HOST, Server, serving
from tests.harness.waiting import eventually

_DEADLINE_S: Final = 30.0
_FINAL: Final = "triton_final_response"


def write_models(models: Path) -> Path:
    write_repeat(models)
    write_square(models)
    write_square(models, "failing", extra=parameter("CUSTOM_FAIL_COUNT", 1))
    write_square(models, "batching", extra=BATCHING, max_batch_size=8)
    identity("FP32", [-1]).write(models, "onnx", extra=one_cpu() + MANY_RESPONSES)
    return models


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """For tests that harm nothing."""
    folder = tmp_path_factory.mktemp("decoupled")
    server = Server(write_models(folder / "models"), "--log-verbose=1", log=folder / "log")
    with serving(server):
        yield server


@contextlib.contextmanager
def succeeding(server: Server, model: str, requests: int) -> Iterator[None]:
    """So many requests are counted as successes after what happens inside."""
    before = statistics(server, model)["inference_stats"]["success"]["count"]
    yield
    settled(server, model, before + requests)


class Stream:
    """A stream of NVIDIA's client, and what came of it."""

    def __init__(self, server: Server) -> None:
        self.client = tritonclient.grpc.InferenceServerClient(server.grpc_address)
        self._answers: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
        self.client.start_stream(lambda result, error: self._answers.put((result, error)))

    def send(self, model: str, inputs: dict[str, Any], request_id: str = "", **more: Any) -> None:
        given = []
        for name, array in inputs.items():
            datatype = {"int32": "INT32", "uint32": "UINT32", "float32": "FP32"}[array.dtype.name]
            given.append(tritonclient.grpc.InferInput(name, list(array.shape), datatype))
            given[-1].set_data_from_numpy(array)
        self.client.async_stream_infer(model, given, request_id=request_id, **more)

    def square(self, number: int, request_id: str = "", model: str = "square", **more: Any) -> None:
        shape = (1, 1) if model == "batching" else (1,)
        self.send(model, {"IN": np.full(shape, number, np.int32)}, request_id, **more)

    def repeat(self, elements: Sequence[int], delays_ms: Sequence[int], request_id: str = "", **more: Any) -> None:
        given = np.array(elements, np.int32), np.array(delays_ms, np.uint32), np.zeros(1, np.uint32)
        self.send("repeat", dict(zip(("IN", "DELAY", "WAIT"), given, strict=True)), request_id, **more)

    def next(self) -> Any:
        """The next response; raises its error."""
        result, error = self._answers.get(timeout=_DEADLINE_S)
        if error is not None:
            raise error
        return result

    def close(self, *, cancel: bool = False) -> None:
        self.client.stop_stream(cancel_requests=cancel)
        self.client.close()


@contextlib.contextmanager
def opened(server: Server) -> Iterator[Stream]:
    stream = Stream(server)
    try:
        yield stream
    finally:
        stream.close(cancel=True)


def is_final(result: Any) -> bool:
    found: bool = result.get_response().parameters[_FINAL].bool_param
    return found


def generate(server: Server, model: str, body: Any, call: str = "generate") -> tuple[int, str]:
    connection = http.client.HTTPConnection(HOST, server.http_port, timeout=_DEADLINE_S)
    try:
        connection.request("POST", f"/v2/models/{model}/{call}", json.dumps(body).encode())
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


# ---- where one answer is due ---------------------------------------------------------------------------------------


def test_calls_with_one_answer_are_refused(own: Server) -> None:
    call = Call("square", {"IN": np.ones(1, np.int32)}, request_id="7")
    with contextlib.closing(HttpFace(own)) as over_http, contextlib.closing(GrpcFace(own)) as over_grpc:
        refused = refusal(over_http, call)
        assert (refused.status, refused.text) == (
            "501",
            "HTTP end point doesn't support models with decoupled transaction policy",
        )
        refused = refusal(over_grpc, call)
        assert (refused.status, refused.text) == (
            "UNIMPLEMENTED",
            "ModelInfer RPC doesn't support models with decoupled transaction policy",
        )
    assert statistics(own, "square")["inference_stats"]["fail"]["count"] == 0


def test_generate_gives_the_response_where_there_is_exactly_one(own: Server) -> None:
    not_one = {
        "error": "generate expects model to produce exactly 1 response, use generate stream for model that generates "
        "various number of responses"
    }
    one = {"OUT": 1, "model_name": "square", "model_version": "1"}
    with succeeding(own, "square", 3):
        for number, expected in ((0, not_one), (2, not_one), (1, one)):
            status, body = generate(own, "square", {"IN": number})
            assert (status, json.loads(body)) == (200, expected)
    wait_pool_empty(own)


# ---- streams -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, 5, 400])
def test_a_stream_of_events_has_every_response(own: Server, number: int) -> None:
    status, body = generate(own, "square", {"IN": number}, "generate_stream")
    event = f'data: {{"OUT":{number},"model_name":"square","model_version":"1"}}\n\n'
    assert (status, body) == (200, event * number)


def test_a_request_has_as_many_responses_as_its_model_gives(own: Server) -> None:
    with succeeding(own, "square", 7), opened(own) as stream:
        for number in (0, 1, 3):
            stream.square(number, str(number), enable_empty_final_response=True)
            for _ in range(number):
                result = stream.next()
                assert (result.as_numpy("OUT").tolist(), is_final(result)) == ([number], False)
            last = stream.next()
            response = last.get_response()
            assert (response.id, response.model_name, len(response.outputs), is_final(last)) == (
                str(number),
                "square",
                0,
                True,
            )
        # Without the wish for it, the end of a request is not told: the next response belongs to the next request.
        for number in (0, 2, 0, 1):
            stream.square(number, str(number))
        assert [stream.next().get_response().id for _ in range(3)] == ["2", "2", "1"]
    wait_pool_empty(own)


def test_responses_leave_as_they_are_made(own: Server) -> None:
    with opened(own) as stream:
        begun_s = time.monotonic()
        stream.repeat([4, 5], [0, 3000])
        first = stream.next()
        assert time.monotonic() - begun_s < 2.5
        assert (first.as_numpy("OUT").tolist(), first.as_numpy("IDX").tolist()) == ([4], [0])
        second = stream.next()
        assert time.monotonic() - begun_s >= 3.0
        assert (second.as_numpy("OUT").tolist(), second.as_numpy("IDX").tolist()) == ([5], [1])


def test_an_error_is_a_response_like_any_other(own: Server) -> None:
    # A request whose responses hold errors has succeeded; one that ends with an error has not.
    failed = statistics(own, "repeat")["inference_stats"]["fail"]["count"]
    with succeeding(own, "failing", 1), opened(own) as stream:
        stream.square(2, "a", "failing", enable_empty_final_response=True)
        assert not is_final(stream.next())
        with pytest.raises(InferenceServerException, match="simulated failure"):
            stream.next()
        assert is_final(stream.next())
        # One that ends its request does not end the stream.
        stream.repeat([1, 2], [0], "b")
        with pytest.raises(
            InferenceServerException, match=r"expected IN and DELAY shape to match, got \[2\] and \[1\]"
        ):
            stream.next()
        stream.square(1, "c")
        assert stream.next().get_response().id == "c"
    eventually(
        lambda: statistics(own, "repeat")["inference_stats"]["fail"]["count"] == failed + 1, "the failure is counted"
    )


def test_the_one_response_of_a_framework_is_the_last(own: Server) -> None:
    with opened(own) as stream:
        stream.send("onnx", {"INPUT0": np.ones(2, np.float32)}, enable_empty_final_response=True)
        result = stream.next()
        assert (result.as_numpy("OUTPUT0").tolist(), is_final(result)) == ([1, 1], True)


@pytest.mark.parametrize("model", ["square", "batching"])
def test_many_requests_at_once_have_all_their_responses(own: Server, model: str) -> None:
    asked = {str(number): number % 13 for number in range(200)}
    with succeeding(own, model, 2 * len(asked)), contextlib.ExitStack() as stack:
        streams = [stack.enter_context(opened(own)) for _ in range(2)]
        for stream in streams:
            for request_id, number in asked.items():
                stream.square(number, request_id, model, enable_empty_final_response=True)
        for stream in streams:
            got: dict[str, list[int]] = {}
            finals: set[str] = set()
            while len(finals) < len(asked):
                result = stream.next()
                response = result.get_response()
                assert response.id not in finals, "nothing follows the final response"
                if is_final(result):
                    finals.add(response.id)
                else:
                    got.setdefault(response.id, []).append(int(result.as_numpy("OUT").ravel()[0]))
            assert got == {request_id: [number] * number for request_id, number in asked.items() if number}
    wait_pool_empty(own)


# ---- ends before the end -------------------------------------------------------------------------------------------


def test_a_stream_cancelled_in_the_midst_leaves_nothing_behind(own: Server) -> None:
    with contextlib.suppress(InferenceServerException):
        stream = Stream(own)
        stream.repeat(list(range(10)), [50] * 10)
        stream.next()
        stream.close(cancel=True)
    with opened(own) as other:
        other.repeat([1], [0], "x")
        assert other.next().get_response().id == "x"
    wait_pool_empty(own)


def test_a_client_that_leaves_a_stream_of_events_leaves_nothing_behind(own: Server) -> None:
    connection = http.client.HTTPConnection(HOST, own.http_port, timeout=_DEADLINE_S)
    body = json.dumps({"IN": list(range(10)), "DELAY": [50] * 10, "WAIT": 0}).encode()
    connection.request("POST", "/v2/models/repeat/generate_stream", body)
    response = connection.getresponse()
    assert response.read(6) == b"data: "
    connection.close()
    response.close()
    assert generate(own, "repeat", {"IN": [7], "DELAY": [0], "WAIT": 0})[0] == 200
    wait_pool_empty(own)


def test_a_killed_worker_ends_its_request_with_an_error_in_the_midst(new_server: StartServer, tmp_path: Path) -> None:
    server = new_server(write_models(tmp_path / "m")).start()
    server.wait_ready()
    worker = server.worker_of("repeat")
    with opened(server) as stream:
        stream.repeat([1, 2], [0, 60_000], "a")
        assert stream.next().as_numpy("OUT").tolist() == [1]
        server.kill(worker)
        with pytest.raises(
            InferenceServerException, match="the instance of model 'repeat' that ran this request has died"
        ):
            stream.next()
        # The stream goes on, and so does the model.
        stream.square(1, "b")
        assert stream.next().get_response().id == "b"
        stream.repeat([3], [0], "c")
        assert stream.next().as_numpy("OUT").tolist() == [3]
    wait_pool_empty(server)


def test_a_request_may_have_thousands_of_responses(new_server: StartServer, tmp_path: Path) -> None:
    write_square(tmp_path / "m")
    server = new_server(tmp_path / "m").start()
    number = 20_000
    with opened(server) as stream:
        stream.square(number, enable_empty_final_response=True)
        for _ in range(number):
            assert stream.next().as_numpy("OUT").tolist() == [number]
        assert is_final(stream.next())
    settled(server, "square", 1)
    wait_pool_empty(server)


def test_an_instance_answers_a_quick_request_while_a_slow_one_waits(own: Server) -> None:
    with opened(own) as stream:
        stream.repeat([1, 2], [0, 20_000], "slow", enable_empty_final_response=True)
        assert stream.next().as_numpy("OUT").tolist() == [1]
        stream.repeat([3], [0], "quick")
        answer = stream.next().get_response()
        assert (answer.id, stream.client.is_server_ready()) == ("quick", True)
