"""Requests that are known by their bytes: they mean what the protobuf library says, whatever they look like."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as pb

from tests.unit.frontend.connection import DATA, SPEC
from tests.unit.frontend.test_grpc_infer_call import Bench
from tis.contracts import messages as m
from tis.contracts.inference import Answer, InferRequest, OutputTensor
from tis.contracts.plan import Plan
from tis.settings import ServerSettings
from tis_frontend.grpc import infer_call
from tis_frontend.grpc.infer_call import fill_response
from tis_frontend.grpc.planned import PlannedInfer, response_head, take_apart
from tis_frontend.grpc.wire import varint
from tis_frontend.model_table import ServedModel

_names = st.text(max_size=200)


@st.composite
def _requests(draw: st.DrawFn) -> Any:
    message = pb.ModelInferRequest(model_name=draw(_names), model_version=draw(_names), id=draw(_names))
    for _ in range(draw(st.integers(0, 3))):
        message.inputs.add(
            name=draw(_names), datatype="FP32", shape=draw(st.lists(st.integers(-1, 1 << 40), max_size=3))
        )
    for _ in range(draw(st.integers(0, 2))):
        message.outputs.add(name=draw(_names))
    if draw(st.booleans()):
        message.parameters["priority"].int64_param = draw(st.integers(0, 5))
    message.raw_input_contents.extend(draw(st.lists(st.binary(max_size=300), max_size=3)))
    return message


def _without_id_and_data(message: Any) -> Any:
    rest = pb.ModelInferRequest()
    rest.CopyFrom(message)
    rest.ClearField("id")
    rest.ClearField("raw_input_contents")
    return rest


@given(_requests())
def test_pieces_are_the_fields_that_the_library_reads(message: Any) -> None:
    pieces = take_apart(message.SerializeToString())
    assert pieces is not None
    assert pieces.client_id == message.id
    assert list(map(bytes, pieces.data)) == list(message.raw_input_contents)


@given(_requests(), _requests())
def test_two_messages_have_one_key_only_where_they_differ_in_nothing_but_id_and_data(one: Any, other: Any) -> None:
    pieces, others = (take_apart(each.SerializeToString(deterministic=True)) for each in (one, other))
    assert pieces is not None
    assert others is not None
    alike = _without_id_and_data(one) == _without_id_and_data(other)
    sizes_alike = list(map(len, one.raw_input_contents)) == list(map(len, other.raw_input_contents))
    assert (pieces.key == others.key) == (alike and sizes_alike)


@given(_requests(), st.text(max_size=9), st.data())
def test_another_id_and_other_data_have_the_same_key(message: Any, client_id: str, data: st.DataObject) -> None:
    before = take_apart(message.SerializeToString(deterministic=True))
    message.id = client_id
    contents = [data.draw(st.binary(min_size=len(each), max_size=len(each))) for each in message.raw_input_contents]
    del message.raw_input_contents[:]
    message.raw_input_contents.extend(contents)
    after = take_apart(message.SerializeToString(deterministic=True))
    assert before is not None
    assert after is not None
    assert before.key == after.key


@given(st.binary(max_size=60) | _requests().map(lambda message: message.SerializeToString()), st.data())
def test_whatever_is_taken_apart_is_what_the_library_reads_if_it_reads_it(message: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(message)))
    odd = message[:at] + data.draw(st.binary(max_size=4)) + message[data.draw(st.integers(at, len(message))) :]
    pieces = take_apart(odd)
    if pieces is None:
        return
    try:
        read = pb.ModelInferRequest.FromString(odd)
    except Exception:  # noqa: BLE001 - such a request is refused when it comes for the first time, so it is never known
        return
    assert pieces.client_id == read.id
    assert list(map(bytes, pieces.data)) == list(read.raw_input_contents)


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(b"\x0a", id="a tag alone"),
        pytest.param(b"\x0a\x05m", id="a field that is cut off"),
        pytest.param(b"\x0a\xff\xff\xff\xff\xff\xff\x01", id="a length without end"),
        pytest.param(b"\x08\x01", id="a number"),
        pytest.param(b"\xba\x00\x01x", id="a tag that is longer than it need be"),
        pytest.param(b"\x1a\x02\xff\xff", id="an id that is no text"),
    ],
)
def test_odd_messages_are_left_to_the_library(odd: bytes) -> None:
    assert take_apart(odd) is None


@given(
    st.text(max_size=200),
    st.lists(st.tuples(_names, st.lists(st.integers(0, 1 << 40), max_size=3), st.binary(max_size=300)), max_size=3),
)
def test_responses_are_byte_for_byte_what_the_library_writes(
    client_id: str, outputs: list[tuple[str, list[int], bytes]]
) -> None:
    tensors = [OutputTensor(name, "FP32", tuple(shape), memoryview(data)) for name, shape, data in outputs]
    answer = Answer(tensors)
    request = InferRequest("m", 3, client_id, [])
    model = ServedModel(SPEC, ready=True)
    planned = PlannedInfer(model, request, Plan("m", 3, 1, b"", (), None, ()), (), 0)
    expected = pb.ModelInferResponse()
    fill_response(expected, model, request, answer)
    for _ in range(2):
        raw = [b"\x32" + varint(len(data)) + data for _, _, data in outputs]
        assert response_head(planned, client_id, answer) + b"".join(raw) == expected.SerializeToString()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench(ServerSettings())
    yield made
    made.loop.close()


def _request(client_id: str = "", data: bytes = DATA, **fields: Any) -> bytes:
    message = pb.ModelInferRequest(model_name="m", id=client_id, **fields)
    message.inputs.add(name="A", datatype="FP32", shape=[4])
    message.raw_input_contents.append(data)
    serialized: bytes = message.SerializeToString()
    return serialized


def _response(bench: Bench, task: "asyncio.Task[bytes]", number: int = 0) -> Any:
    bench.core.answer(number)
    bench.turn()
    return pb.ModelInferResponse.FromString(task.result())


def test_a_request_like_one_before_is_not_parsed_and_has_its_own_id_and_data(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _response(bench, bench.begin(_request("first"))).id == "first"

    def parse(*_: Any) -> Any:
        raise AssertionError("parsed")

    monkeypatch.setattr(infer_call, "parse", parse)
    task = bench.begin(_request("second", DATA[::-1]))
    assert bench.core.tensor(1) == DATA[::-1]
    response = _response(bench, task, 1)
    assert (response.id, response.model_name) == ("second", "m")


def test_a_known_request_is_looked_at_anew_when_the_model_table_changes(bench: Bench) -> None:
    _response(bench, bench.begin(_request()))
    bench.server.table.replace(m.Table(2, (m.TableEntry(SPEC, False),), ()))
    _, text = bench.fault(_request())
    assert text == "Request for unknown model: 'm' has no available versions"


def test_a_known_request_is_refused_once_the_server_stops(bench: Bench) -> None:
    _response(bench, bench.begin(_request()))
    bench.server.stopping = True
    _, text = bench.fault(_request())
    assert text == "Server exiting"


def test_requests_with_typed_contents_are_never_known(bench: Bench) -> None:
    message = pb.ModelInferRequest(model_name="m")
    message.inputs.add(name="A", datatype="FP32", shape=[4]).contents.fp32_contents.extend([1.0, 2.0, 3.0, 4.0])
    for _ in range(2):
        bench.begin(message.SerializeToString())
    assert not bench.server.table.remembered


def test_what_is_known_is_bounded(bench: Bench) -> None:
    for number in range(600):
        bench.begin(_request(parameters={"n": pb.InferParameter(int64_param=number)}))
    assert 0 < len(bench.server.table.remembered) <= 256


def test_further_raw_contents_do_not_reach_the_block(bench: Bench) -> None:
    message = pb.ModelInferRequest.FromString(_request())
    message.raw_input_contents.append(b"more")
    for number in range(2):
        task = bench.begin(message.SerializeToString())
        assert bench.core.tensor(number) == DATA
        assert _response(bench, task, number).model_name == "m"
