"""Decoupled Python models, and senders of any model: responses one by one, from any thread, to every kind of client."""

import http.client
import json
import queue
from collections.abc import Iterator
from typing import Any, Final

import grpc
import pytest
from tritonclient.grpc import service_pb2

from tests.e2e.python_server import python_face, python_server, refused, said
from tests.harness.faces import Face
from tests.harness.observing import statistics
from tests.harness.server import HOST, Server
from tests.harness.waiting import eventually

__all__ = ["python_face", "python_server"]

_METHOD: Final = "/inference.GRPCInferenceService/ModelStreamInfer"
_DEADLINE_S: Final = 30.0
_THREE: Final = "s = request.get_response_sender(); [s.send(R(i)) for i in range(3)]; "
_IN_A_THREAD: Final = """
def work(sender):
    for number in range(3):
        sender.send(R(number))
    sender.send(flags=1)
threading.Thread(target=work, args=(request.get_response_sender(),)).start()
"""
#: A response, and whether it is the last: its strings, or the text of its error.
Told = tuple[list[str] | str, bool]


def message(code: str, request_id: str = "", *, empty_final: bool = True, model: str = "code_decoupled") -> Any:
    asked = service_pb2.ModelInferRequest(model_name=model, id=request_id)
    asked.inputs.add(name="CODE", datatype="BYTES", shape=[1])
    data = code.encode()
    asked.raw_input_contents.append(len(data).to_bytes(4, "little") + data)
    if empty_final:
        asked.parameters["triton_enable_empty_final_response"].bool_param = True
    return asked


class Stream:
    """A stream over bare gRPC."""

    def __init__(self, server: Server) -> None:
        self.channel = grpc.insecure_channel(server.grpc_address)
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        call = self.channel.stream_stream(
            _METHOD,
            request_serializer=service_pb2.ModelInferRequest.SerializeToString,
            response_deserializer=service_pb2.ModelStreamInferResponse.FromString,
        )
        self.call = call(iter(self._requests.get, None), timeout=_DEADLINE_S)

    def send(self, *messages: Any) -> None:
        for each in messages:
            self._requests.put(each)

    def end(self) -> None:
        self._requests.put(None)

    def told(self) -> Told:
        response = next(self.call)
        inner = response.infer_response
        final = inner.parameters["triton_final_response"].bool_param
        if response.error_message:
            return response.error_message, final
        return [data[4:].decode() for data in inner.raw_output_contents], final

    def close(self) -> None:
        self.end()
        self.call.cancel()
        self.channel.close()


@pytest.fixture
def stream(python_server: Server) -> Iterator[Stream]:
    opened = Stream(python_server)
    yield opened
    opened.close()


def answers(stream: Stream, code: str, count: int) -> list[Told]:
    stream.send(message(code))
    return [stream.told() for _ in range(count)]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (_THREE + "s.send(flags=1)", [(["0"], False), (["1"], False), (["2"], False), ([], True)]),
        (_THREE + "s.send(R('z'), 1)", [(["0"], False), (["1"], False), (["2"], False), (["z"], True)]),
        ("request.get_response_sender().send(flags=1)", [([], True)]),
        (_IN_A_THREAD, [(["0"], False), (["1"], False), (["2"], False), ([], True)]),
        (
            "s = request.get_response_sender(); s.send(R(1)); s.send(pb.InferenceResponse(error=pb.TritonError('bad'))); "
            "s.send(R(2)); s.send(flags=1)",
            [(["1"], False), ("bad", False), (["2"], False), ([], True)],
        ),
        (
            "s = request.get_response_sender(); s.send(R(s is request.get_response_sender(), s.is_cancelled()), 1)",
            [(["True", "False"], True)],
        ),
        (
            "s = request.get_response_sender(); s.send(pb.InferenceResponse()); s.send(flags=1)",
            [([], False), ([], True)],
        ),
    ],
)
def test_responses_arrive_as_they_are_sent(stream: Stream, code: str, told: list[Told]) -> None:
    assert answers(stream, code, len(told)) == told
    # Nothing is left in the stream.
    assert answers(stream, "request.get_response_sender().send(R('next'), 1)", 1) == [(["next"], True)]


def test_a_response_leaves_while_execute_still_runs(python_server: Server, stream: Stream) -> None:
    go = python_server.repository.parent / "go"
    waits = f"while not os.path.exists({str(go)!r}): pass"
    stream.send(message(f"s = request.get_response_sender(); s.send(R('early'))\n{waits}\ns.send(flags=1)"))
    assert stream.told() == (["early"], False)
    go.touch()
    assert stream.told() == ([], True)


def test_an_empty_end_is_only_for_clients_that_ask_for_it(stream: Stream) -> None:
    stream.send(message(_THREE + "s.send(flags=1)", empty_final=False))
    assert [stream.told() for _ in range(3)] == [(["0"], False), (["1"], False), (["2"], False)]
    assert answers(stream, "request.get_response_sender().send(R('next'), 1)", 1) == [(["next"], True)]


def test_requests_of_a_stream_are_told_apart(stream: Stream) -> None:
    stream.send(*(message(_IN_A_THREAD, str(number)) for number in range(5)))
    seen: dict[str, list[str]] = {}
    ended = 0
    while ended < 5:
        response = next(stream.call).infer_response
        seen.setdefault(response.id, []).extend(data[4:].decode() for data in response.raw_output_contents)
        ended += response.parameters["triton_final_response"].bool_param
    assert seen == {str(number): ["0", "1", "2"] for number in range(5)}


@pytest.mark.parametrize(
    "code",
    [
        "s = request.get_response_sender(); s.send(flags=1); s.send(R(1))",
        "s = request.get_response_sender(); s.send(flags=1); s.send(flags=1)",
        "s = request.get_response_sender(); s.send(flags=1); raise ValueError('late')",
        "s = request.get_response_sender(); s.send(flags=1); out = 7",
    ],
)
def test_after_the_last_response_nothing_more_is_told(stream: Stream, code: str) -> None:
    assert answers(stream, code, 1) == [([], True)]
    assert answers(stream, "request.get_response_sender().send(R('next'), 1)", 1) == [(["next"], True)]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("raise ValueError('boom')", "ValueError: boom\n\nAt:\n"),
        ("s = request.get_response_sender(); s.send(R(1)) if 0 else None; sys.exit(1)", "SystemExit: 1\n\nAt:\n"),
        (
            "out = [R(1)]",
            "Python model 'code_decoupled_0_0' is using the decoupled mode and the execute function must return None.",
        ),
        ("pass", "model 'code_decoupled' gave no response"),
    ],
)
def test_an_error_ends_the_request(stream: Stream, code: str, text: str) -> None:
    (found, final), *_ = answers(stream, code, 1)
    assert isinstance(found, str)
    assert text in found
    assert final


def test_a_sender_that_is_dropped_ends_its_request(stream: Stream) -> None:
    assert answers(stream, "s = request.get_response_sender(); s.send(R(1))", 2) == [(["1"], False), ([], True)]


def test_large_responses_are_right_while_the_model_goes_on(stream: Stream) -> None:
    code = """
def work(sender):
    array = np.zeros(200_000, np.float32)
    for number in range(20):
        array[:] = number
        sender.send(pb.InferenceResponse([pb.Tensor("X", array)]))
    sender.send(flags=1)
threading.Thread(target=work, args=(request.get_response_sender(),)).start()
"""
    stream.send(message(code))
    for number in range(20):
        (data,) = next(stream.call).infer_response.raw_output_contents
        values = memoryview(data).cast("f")
        assert (len(values), values[0], values[-1]) == (200_000, number, number)
    assert stream.told() == ([], True)


def test_generate_stream_gives_every_response_as_an_event(python_server: Server) -> None:
    connection = http.client.HTTPConnection(HOST, python_server.http_port, timeout=_DEADLINE_S)
    body = json.dumps({"CODE": _THREE + "s.send(flags=1)"})
    connection.request("POST", "/v2/models/code_decoupled/generate_stream", body)
    answer = connection.getresponse()
    events = [json.loads(line[6:])["OUT"] for line in answer.read().decode().split("\n\n") if line]
    connection.close()
    assert (answer.status, events) == (200, ["0", "1", "2"])


def test_a_decoupled_request_is_one_success(python_server: Server, stream: Stream) -> None:
    before = statistics(python_server, "code_decoupled")["inference_stats"]["success"]["count"]
    answers(stream, _THREE + "s.send(flags=1)", 4)
    eventually(
        lambda: statistics(python_server, "code_decoupled")["inference_stats"]["success"]["count"] == before + 1,
        "the request is counted",
    )


# ---- senders of models that are not decoupled --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "request.get_response_sender().send(R('a'))",
        "s = request.get_response_sender(); s.send(R('a')); s.send(flags=1)",
        "request.get_response_sender().send(R('a'), 1); out = [None]",
        "request.get_response_sender().send(R('a'), 1); out = [R('b')]",
        "request.get_response_sender().send(R('a'), 1); raise ValueError('late')",
        "s = request.get_response_sender(); s.send(R('a')); s.send(R('b'))",
        "threading.Thread(target=lambda s: s.send(R('a'), 1), args=(request.get_response_sender(),)).start(); out = [None]",
    ],
)
def test_the_one_response_of_a_plain_model_may_come_from_its_sender(python_face: Face, code: str) -> None:
    assert said(python_face, code) == "a"


def test_a_dropped_sender_without_a_response_fails_its_request(python_face: Face) -> None:
    text = "model 'code' dropped the response sender of the request without a response"
    assert text in refused(python_face, "s = request.get_response_sender()").text
