"""Streams through NVIDIA's clients and bare gRPC: order, errors inside the stream, ends, and nothing left behind."""

import asyncio
import contextlib
import queue
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

from tests.harness.fixtures import StartServer
from tests.harness.models import identity, slow
from tests.harness.observing import pool_use, statistics, wait_pool_empty
from tests.harness.pace import rounds
from tests.harness.raw_http import Connection
from tests.harness.repository import one_cpu
from tests.harness.server import Server
from tests.harness.waiting import eventually

_METHOD: Final = "/inference.GRPCInferenceService/ModelStreamInfer"
_DEADLINE_S: Final = 60.0


@pytest.fixture
def own_server(new_server: StartServer, tmp_path: Path) -> Server:
    repository = tmp_path / "models"
    identity("FP32", [-1]).write(repository, "echo", extra=one_cpu())
    slow().write(repository, "slow", extra=one_cpu(), max_batch_size=1)
    return new_server(repository).start()


def echo(request_id: str, values: "np.typing.NDArray[np.float32] | None" = None, **fields: Any) -> Any:
    array = np.ones(3, np.float32) if values is None else values
    message = service_pb2.ModelInferRequest(model_name="echo", id=request_id, **fields)
    message.inputs.add(name="INPUT0", datatype="FP32", shape=array.shape)
    message.raw_input_contents.append(array.tobytes())
    return message


def slow_one(request_id: str, duration_ms: float) -> Any:
    message = service_pb2.ModelInferRequest(model_name="slow", id=request_id)
    message.inputs.add(name="ROUNDS", datatype="INT64", shape=[1, 1])
    message.raw_input_contents.append(np.array([[rounds(duration_ms)]], np.int64).tobytes())
    return message


_READY = b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\n\r\n"


class Stream:
    """A stream over bare gRPC."""

    def __init__(
        self, server: Server, metadata: tuple[tuple[str, str], ...] = (), timeout_s: float = _DEADLINE_S
    ) -> None:
        self.channel = grpc.insecure_channel(server.grpc_address, options=[("grpc.max_receive_message_length", -1)])
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        call = self.channel.stream_stream(
            _METHOD,
            request_serializer=lambda message: message if isinstance(message, bytes) else message.SerializeToString(),
            response_deserializer=service_pb2.ModelStreamInferResponse.FromString,
        )
        self.call = call(iter(self._requests.get, None), metadata=metadata, timeout=timeout_s)

    def send(self, *messages: Any) -> "Stream":
        for message in messages:
            self._requests.put(message)
        return self

    def half_close(self) -> "Stream":
        self._requests.put(None)
        return self

    def next(self) -> Any:
        return next(self.call)

    def close(self) -> None:
        self._requests.put(None)
        self.call.cancel()
        self.channel.close()


@contextlib.contextmanager
def opened(server: Server, *metadata: tuple[str, str], timeout_s: float = _DEADLINE_S) -> Iterator[Stream]:
    stream = Stream(server, metadata, timeout_s)
    try:
        yield stream
    finally:
        stream.close()


def tensor(values: "np.typing.NDArray[np.float32]") -> Any:
    made = tritonclient.grpc.InferInput("INPUT0", list(values.shape), "FP32")
    made.set_data_from_numpy(values)
    return made


# ---- NVIDIA's clients ----------------------------------------------------------------------------------------------


def test_every_request_of_a_stream_is_answered_in_order(server: Server) -> None:
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    client = tritonclient.grpc.InferenceServerClient(server.grpc_address)
    with contextlib.closing(client):
        client.start_stream(lambda result, error: answers.put((result, error)))
        for number in range(500):
            sent = np.full(number % 7 + 1, number, np.float32)
            client.async_stream_infer("echo", [tensor(sent)], request_id=str(number))
        for number in range(500):
            result, error = answers.get(timeout=_DEADLINE_S)
            assert error is None
            response = result.get_response()
            assert response.id == str(number)
            assert response.parameters["triton_final_response"].bool_param
            assert result.as_numpy("OUTPUT0").tolist() == [number] * (number % 7 + 1)
        client.stop_stream()


def test_an_error_reaches_the_callback_and_the_stream_goes_on(server: Server) -> None:
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    client = tritonclient.grpc.InferenceServerClient(server.grpc_address)
    with contextlib.closing(client):
        client.start_stream(lambda result, error: answers.put((result, error)))
        client.async_stream_infer("nobody", [tensor(np.ones(1, np.float32))])
        client.async_stream_infer("echo", [tensor(np.ones(1, np.float32))], request_id="after")
        _, error = answers.get(timeout=_DEADLINE_S)
        assert isinstance(error, InferenceServerException)
        assert error.message() == "Request for unknown model: 'nobody' is not found"
        result, error = answers.get(timeout=_DEADLINE_S)
        assert (error, result.get_response().id) == (None, "after")
        client.stop_stream()


def test_the_asyncio_client_streams(server: Server) -> None:
    async def requests() -> AsyncIterator[dict[str, Any]]:
        for number in range(50):
            values = np.full(2, number, np.float32)
            yield {"model_name": "echo", "inputs": [tensor(values)], "request_id": str(number)}

    async def run() -> list[str]:
        ids = []
        async with tritonclient.grpc.aio.InferenceServerClient(server.grpc_address) as client:
            async for result, error in client.stream_infer(requests()):
                assert error is None
                ids.append(result.get_response().id)
        return ids

    assert asyncio.run(asyncio.wait_for(run(), _DEADLINE_S)) == [str(number) for number in range(50)]


def test_the_callback_form_of_a_single_call_answers(server: Server) -> None:
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    client = tritonclient.grpc.InferenceServerClient(server.grpc_address)
    with contextlib.closing(client):
        for number in range(20):
            values = np.full(4, number, np.float32)
            client.async_infer("echo", [tensor(values)], lambda result, error: answers.put((result, error)))
        got = [answers.get(timeout=_DEADLINE_S) for _ in range(20)]
    assert [error for _, error in got] == [None] * 20
    assert sorted(result.as_numpy("OUTPUT0")[0] for result, _ in got) == list(range(20))


def test_a_call_that_takes_longer_than_its_client_waits_is_told_so(own_server: Server) -> None:
    client = tritonclient.grpc.InferenceServerClient(own_server.grpc_address)
    long = tritonclient.grpc.InferInput("ROUNDS", [1, 1], "INT64")
    long.set_data_from_numpy(np.array([[rounds(500)]], np.int64))
    with contextlib.closing(client):
        with pytest.raises(InferenceServerException) as caught:
            client.infer("slow", [long], client_timeout=0.1)
        assert str(caught.value.status()) == "StatusCode.DEADLINE_EXCEEDED"
    wait_pool_empty(own_server)


# ---- the wire ------------------------------------------------------------------------------------------------------


def test_a_stream_without_requests_ends_well(server: Server) -> None:
    with opened(server) as stream:
        assert list(stream.half_close().call) == []
        assert stream.call.code() is grpc.StatusCode.OK


def test_requests_are_in_flight_together(own_server: Server) -> None:
    with opened(own_server) as stream:
        stream.send(*(slow_one(str(number), 500) for number in range(5)))
        eventually(lambda: any(pending >= 2 for _, pending in pool_use(own_server).values()), "several are in flight")
        assert [stream.next().infer_response.id for _ in range(5)] == list("01234")


def test_a_fast_request_waits_for_the_slow_one_before_it(own_server: Server) -> None:
    with opened(own_server) as stream:
        stream.send(slow_one("slow", 300), echo("fast"), echo("bad", model_version="x")).half_close()
        assert [response.infer_response.id for response in stream.call] == ["slow", "fast", "bad"]
        assert stream.call.code() is grpc.StatusCode.OK


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (echo("e", model_version="9"), "Request for unknown model: 'echo' version 9 is not found"),
        (
            service_pb2.ModelInferRequest(model_name="echo", id="e"),
            "[request id: e] expected 1 inputs but got 0 inputs for model 'echo'. Got input(s) [], but missing required "
            "input(s) ['INPUT0']. Please provide all required input(s).",
        ),
        (
            echo("e", parameters={"timeout": service_pb2.InferParameter(bool_param=True)}),
            "invalid value type for 'timeout' parameter, expected int64_param.",
        ),
    ],
    ids=["version", "inputs", "parameter"],
)
def test_a_refused_request_is_told_with_its_id_and_nothing_else(server: Server, message: Any, text: str) -> None:
    with opened(server) as stream:
        response = stream.send(message, echo("next")).next()
        assert response.error_message == text
        assert response.infer_response == service_pb2.ModelInferResponse(id="e")
        assert stream.next().infer_response.id == "next"


def test_in_the_strict_form_an_error_is_the_status_of_the_stream(server: Server) -> None:
    with opened(server, ("triton_grpc_error", "true")) as stream:
        stream.send(echo("first"))
        assert stream.next().infer_response.id == "first"
        stream.send(echo("bad", model_version="9"))
        with pytest.raises(grpc.RpcError):
            stream.next()
        assert stream.call.code() is grpc.StatusCode.NOT_FOUND
        assert stream.call.details() == "Request for unknown model: 'echo' version 9 is not found"


def test_bytes_that_are_no_request_end_the_stream_and_harm_nobody(server: Server) -> None:
    with opened(server) as stream, opened(server) as other:
        stream.send(echo("first"), b"\xff\xff\xff")
        assert stream.next().infer_response.id == "first"
        with pytest.raises(grpc.RpcError):
            stream.next()
        assert (stream.call.code(), stream.call.details()) == (grpc.StatusCode.INTERNAL, "Unable to parse request")
        assert other.send(echo("other")).next().infer_response.id == "other"


def test_an_output_may_be_wanted_as_classes(server: Server) -> None:
    message = echo("c", np.array([1, 4, 3], np.float32))
    wanted = message.outputs.add(name="OUTPUT0")
    wanted.parameters["classification"].int64_param = 2
    with opened(server) as stream:
        inner = stream.send(message).next().infer_response
    assert (inner.outputs[0].datatype, list(inner.outputs[0].shape)) == ("BYTES", [2])
    assert inner.raw_output_contents[0] == b"\x0a\0\0\x004.000000:1\x0a\0\0\x003.000000:2"


# ---- ends ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["cancel", "deadline"])
def test_a_stream_that_ends_early_leaves_nothing_and_its_waiting_requests_are_not_run(
    own_server: Server, end: str
) -> None:
    with opened(own_server, timeout_s=1.5 if end == "deadline" else _DEADLINE_S) as stream:
        stream.send(*(slow_one(str(number), 500) for number in range(24)))
        if end == "cancel":
            eventually(lambda: any(pending >= 2 for _, pending in pool_use(own_server).values()), "they are in flight")
            stream.call.cancel()
        else:
            with pytest.raises(grpc.RpcError):
                list(stream.call)
            assert stream.call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    wait_pool_empty(own_server)
    assert statistics(own_server, "slow")["inference_count"] <= 12
    with opened(own_server) as stream:
        assert stream.send(echo("next")).next().infer_response.id == "next"


def test_a_client_that_never_reads_is_not_read_from_for_ever_and_holds_up_nobody(own_server: Server) -> None:
    big = np.zeros(250_000, np.float32)
    with opened(own_server) as hoarder:
        hoarder.send(*(echo(str(number), big) for number in range(300)))
        with opened(own_server) as stream:
            for _ in range(20):
                assert stream.send(echo("x")).next().infer_response.id == "x"
        assert [hoarder.next().infer_response.id for _ in range(300)] == [str(number) for number in range(300)]
    wait_pool_empty(own_server)


def test_during_a_stop_a_stream_gets_its_answers_and_new_requests_are_refused(own_server: Server) -> None:
    with opened(own_server) as stream, Connection(own_server) as before:
        assert before.call(_READY).status == 200
        stream.send(slow_one("old", 6000))
        eventually(lambda: any(pending >= 1 for _, pending in pool_use(own_server).values()), "it is in flight")
        own_server.signal(signal.SIGTERM)
        own_server.wait_for_log(r"Signal \(15\) received\.")
        eventually(lambda: before.call(_READY).status != 200, "the frontend knows")
        stream.send(echo("new"))
        assert (stream.next().infer_response.id, stream.next().error_message) == (
            "old",
            "GRPC server is shutting down and has stopped accepting new requests.",
        )
    assert own_server.wait_ended() == 0
